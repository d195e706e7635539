"""Sweeps on the workers of a Dask cluster: the same values as in this process, also when a worker is killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from command_line import saturation
from distributed import Client, LocalCluster
from test_sweep import break_step, run

from saturation.store import Store

__all__ = ["run"]  # a fixture of another file


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers with two threads each, as `dask scheduler` and `dask worker` would give."""
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, memory_limit=0, dashboard_address=None
    ) as made:
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


def test_two_workers_give_what_one_process_gives(run: Path, tmp_path: Path) -> None:
    serial = sweep(run, tmp_path / "serial")
    assert sweep(run, tmp_path / "many", "--workers", 2) == serial
    assert serial["computed"] == 3
    expected = values(tmp_path / "serial")
    assert len(expected) > 100
    assert values(tmp_path / "many") == expected


def test_a_worker_that_is_killed_costs_its_jobs_a_new_start(run: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    """One of two workers is killed while both compute; every checkpoint is measured all the same."""
    (run.parent / "text.txt").write_text(tiny.text(120_000), encoding="utf-8")
    expected_by = sweep(run, tmp_path / "serial")
    killed: list[int] = []

    def kill() -> None:
        with Client(cluster.scheduler_address, set_as_default=False) as client:
            deadline = time.monotonic() + 60
            while not killed and time.monotonic() < deadline:
                busy = [address for address, tasks in client.processing().items() if tasks]
                if busy:
                    time.sleep(1.0)
                    pids = client.run(os.getpid, workers=busy[:1])
                    os.kill(next(iter(pids.values())), signal.SIGKILL)
                    killed.extend(pids.values())

    thread = threading.Thread(target=kill)
    thread.start()
    found = sweep(run, tmp_path / "many", "--dask", cluster.scheduler_address)
    thread.join()
    assert len(killed) == 1
    assert found == expected_by
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
