"""Sweeps on the workers of a Dask cluster: the same values as in this process, also when a worker is killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from command_line import saturation
from distributed import LocalCluster
from test_sweep import break_step, run

from saturation.jobs import lanes
from saturation.store import Store

__all__ = ["run"]  # a fixture of another file


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler with a worker of two threads, as `dask scheduler` and `dask worker` would give, in this process."""
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as made:
        yield made


def values(cache: Path) -> dict[tuple[object, ...], object]:
    """Every number that is stored of local runs."""
    store = Store(cache / "measurements.duckdb")
    found = {}
    for table in ("scalars", "series", "labels"):
        column = "value" if table == "scalars" else '"values"'
        rows = store.frame(
            f"SELECT c.step, m.measure, x.name, {column} AS value, m.bytes_read, m.tokens FROM {table} x "
            "JOIN measurements m USING (measurement_id) JOIN checkpoints c USING (checkpoint_id) WHERE family = 'local'"
        )
        for step, measure, name, value, *rest in rows.itertuples(index=False, name=None):
            found[step, measure, name] = (value if table == "scalars" else tuple(value), *rest)
    return found


def sweep(run: Path, cache: Path, *options: object) -> dict[str, object]:
    outcome = saturation("--cache", cache, "sweep", run, "--text", run.parent / "text.txt", "--json", *options)
    return outcome.json


def test_a_cluster_gives_what_one_process_gives(run: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    serial = sweep(run, tmp_path / "serial")
    assert sweep(run, tmp_path / "many", "--dask", cluster.scheduler_address) == serial
    assert serial["computed"] == 3
    expected = values(tmp_path / "serial")
    assert len(expected) > 100
    assert values(tmp_path / "many") == expected


def test_two_workers_of_which_one_is_killed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs its jobs a new start and nothing else: every value equals that of one undisturbed process."""
    (run.parent / "text.txt").write_text(tiny.text(20_000), encoding="utf-8")
    expected = sweep(run, tmp_path / "serial")
    made: list[lanes.LocalCluster] = []
    killed: list[int] = []

    class Watched(lanes.LocalCluster):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    def kill() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            time.sleep(0.05)
            busy = [address for address, tasks in made[0]._client.processing().items() if tasks] if made else []
            if busy:
                time.sleep(1.0)
                pids = made[0]._client.run(os.getpid, workers=busy[:1])
                os.kill(next(iter(pids.values())), signal.SIGKILL)
                killed.extend(pids.values())

    monkeypatch.setattr(lanes, "LocalCluster", Watched)
    thread = threading.Thread(target=kill)
    thread.start()
    found = sweep(run, tmp_path / "many", "--workers", 2)
    thread.join()
    assert len(killed) == 1
    assert killed[0] != os.getpid()
    assert found == expected
    assert values(tmp_path / "many") == values(tmp_path / "serial")


def test_what_fails_there_is_said_here(run: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    break_step(run, 10, "model.decoder.embed_tokens.weight")
    outcome = saturation("sweep", run, "--measures", "spectrum", "--dask", cluster.scheduler_address)
    assert outcome.code == 1
    assert "@10: The head holds NaN or infinite values; this checkpoint cannot be measured." in outcome.stderr
    assert outcome.stdout.startswith("3 checkpoints: 2 measured, 0 were stored, 1 failed")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "tcp://"])
def test_no_scheduler(run: Path, cache: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saturation.jobs.lanes.CONNECT_SECONDS", 0.5)
    outcome = saturation("sweep", run, "--dask", address)
    assert outcome.sentence == (f"No Dask scheduler answers at {address}; check the address (such as tcp://host:8786).")


def test_no_workers(run: Path, cache: Path) -> None:
    assert saturation("sweep", run, "--workers", 0).sentence == "--workers is 0; give at least 1."
