"""One DuckDB file, many processes and threads: nobody loses a row, nobody sees an error."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_rows import checkpoint, empty_store, loss, spectrum

from saturation.errors import StoreBusyError
from saturation.store import Store, queries

WRITERS, STEPS = 3, 3


def write(path: Path, number: int) -> None:
    store = empty_store(path)
    for step in range(STEPS):
        row = checkpoint(f"run~{number}", step)
        store.add([spectrum(row, entropy=step / 100), loss(row, nats=float(step))])


def write_in_a_process(path: Path, number: int, failures: "multiprocessing.Queue[str]") -> None:
    try:
        write(path, number)
    except BaseException as error:
        failures.put(f"writer {number}: {error}")
        raise


def in_threads(*tasks: Callable[[], object]) -> list[str]:
    """What went wrong in any of the tasks, run at once."""
    start = threading.Barrier(len(tasks))

    def run(task: Callable[[], object]) -> None:
        start.wait()
        task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        errors = [future.exception() for future in [pool.submit(run, task) for task in tasks]]
    return [f"{type(error).__name__}: {error}" for error in errors if error]


def assert_all_there(store: Store) -> None:
    found = queries.trajectory(store, "local")
    expected = [(f"run~{number}", step) for number in range(WRITERS) for step in range(STEPS)]
    assert list(zip(found["model"], found["step"], strict=True)) == expected
    assert found["nats_per_token"].tolist() == [float(step) for _, step in expected]
    assert found["singular_entropy"].tolist() == [step / 100 for _, step in expected]


def test_processes_that_write_and_one_that_reads(tmp_path: Path) -> None:
    """All start on a file that does not exist yet."""
    store = empty_store(tmp_path / "store.duckdb")
    context = multiprocessing.get_context("spawn")
    failures: multiprocessing.Queue[str] = context.Queue()
    writers = [
        context.Process(target=write_in_a_process, args=(store.path, number, failures)) for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    seen = [0]
    while any(writer.is_alive() for writer in writers):
        found = queries.trajectory(store, "local")
        # Spectrum and loss of a checkpoint are written in one transaction: none is ever seen alone.
        assert not found[["nats_per_token", "singular_entropy"]].isna().any().any()
        seen.append(len(found))
    assert seen == sorted(seen)
    assert failures.empty(), failures.get()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert_all_there(store)


def test_threads_that_write_and_read(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "store.duckdb")
    writers = [lambda number=number: write(store.path, number) for number in range(WRITERS)]
    readers = [lambda: [queries.trajectory(store, "local") for _ in range(5)] for _ in range(2)]
    assert in_threads(*writers, *readers) == []
    assert_all_there(store)


def test_threads_that_start_at_once(tmp_path: Path) -> None:
    """Two browser tabs on a fresh dashboard."""
    store = empty_store(tmp_path / "store.duckdb")
    assert in_threads(*[store.ensure, lambda: queries.models(store)] * 4) == []


def test_threads_that_write_the_same_checkpoint(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "store.duckdb")
    assert in_threads(*[lambda: [store.add([spectrum(), loss()]) for _ in range(4)]] * 3) == []
    assert len(queries.provenance(store, "local")) == 2


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that has the file open for writing until its stdin closes."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert next(iter(process.stdout or ())) == "open\n"
    return process


@pytest.fixture
def held(tmp_path: Path) -> tuple[Path, subprocess.Popen[str]]:
    store = empty_store(tmp_path / "store.duckdb")
    store.add([spectrum()])
    process = hold(store.path)
    yield store.path, process
    process.communicate("")


@pytest.mark.parametrize("action", ["read", "write"])
def test_a_lock_that_stays_names_its_holder(held: tuple[Path, subprocess.Popen[str]], action: str) -> None:
    path, process = held
    store = empty_store(path, wait_seconds=0.2)
    task = {"read": lambda: queries.models(store), "write": lambda: store.add([loss()])}[action]
    with pytest.raises(StoreBusyError, match=rf"^store\.duckdb was locked by process {process.pid} \(.*\) for 0 s; .*"):
        task()


def test_a_lock_that_goes_is_waited_for(held: tuple[Path, subprocess.Popen[str]]) -> None:
    path, process = held
    store = empty_store(path, wait_seconds=60)
    timer = threading.Timer(0.5, lambda: process.communicate(""))
    timer.start()
    store.add([loss()])
    timer.join()
    assert len(queries.provenance(store, "local")) == 2


def test_a_thread_that_holds_the_file_too_long(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "store.duckdb", wait_seconds=0.2)
    store.ensure()
    with store.write():
        failures = in_threads(lambda: queries.models(store))
    assert failures == ["StoreBusyError: store.duckdb was in use by this process for 0 s; try again."]
    assert len(queries.models(store)) == 0


def test_nothing_is_kept_open(tmp_path: Path) -> None:
    """Or the worker could not write while a dashboard runs."""
    store = empty_store(tmp_path / "store.duckdb")
    store.add([spectrum()])
    queries.spectra(store, "local", "run~1")
    open_files = {os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    assert not any(name.startswith(str(store.path)) for name in open_files)
