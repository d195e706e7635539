"""The engines that files are attached to: used again, never mixed up, given up after an error."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from saturation.errors import StoreBusyError, StoreError
from saturation.settings import ROOT
from saturation.store import Store, connection
from saturation.store import store as store_module
from saturation.store.connection import connect


@pytest.fixture(autouse=True)
def _no_engine_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_idle", [])


def make(path: Path, number: int) -> Path:
    with connect(path, read_only=False) as store:
        store.execute("CREATE TABLE numbers AS SELECT ? AS number", [number])
        store.execute("CREATE VIEW main.doubled AS SELECT 2 * number AS number FROM main.numbers")
    return path


def number(path: Path, table: str = "numbers") -> int:
    with connect(path, read_only=True) as store:
        return store.execute(f"SELECT number FROM main.{table}").fetchall()[0][0]


def test_an_engine_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, made, before = make(tmp_path / "a.duckdb", 1), [], duckdb.connect
    monkeypatch.setattr(connection.duckdb, "connect", lambda: made.append(1) or before())
    assert [number(path) for _ in range(5)] == [1] * 5
    assert not made
    assert len(connection._idle) == 1


def test_files_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    paths = [make(tmp_path / "one" / "a.duckdb", 1), make(tmp_path / "two" / "a.duckdb", 2)]
    with ThreadPoolExecutor(8) as pool:
        asked = [paths[turn % 2] for turn in range(60)]
        assert list(pool.map(number, asked)) == [1, 2] * 30


def test_a_file_holds_no_word_of_how_it_was_opened(tmp_path: Path) -> None:
    path = make(tmp_path / 'it\'s "a" name.duckdb', 4)
    assert number(path, "doubled") == 8
    other = path.rename(tmp_path / "other.duckdb")
    assert number(other, "doubled") == 8
    with duckdb.connect(str(other), read_only=True) as alone:
        assert alone.execute("SELECT number FROM doubled").fetchall() == [(8,)]


def test_what_was_registered_is_gone(tmp_path: Path) -> None:
    path = make(tmp_path / "a.duckdb", 1)
    with connect(path, read_only=False) as store:
        store.register("incoming", store.sql("SELECT 7 AS number").to_arrow_table())
        store.execute("CREATE TEMP TABLE passing AS SELECT 1")
        store.execute("INSERT INTO numbers SELECT * FROM incoming")
    with connect(path, read_only=True) as store:
        for name in ("incoming", "passing"):
            with pytest.raises(duckdb.CatalogException):
                store.execute(f"SELECT * FROM {name}")


def test_what_is_not_committed_is_not_there(tmp_path: Path) -> None:
    path = make(tmp_path / "a.duckdb", 1)

    def fail(error: Callable[[duckdb.DuckDBPyConnection], object]) -> None:
        with connect(path, read_only=False) as store:
            store.begin()
            store.execute("UPDATE numbers SET number = 9")
            error(store)

    with pytest.raises(ZeroDivisionError):
        fail(lambda store: 1 / 0)
    assert number(path) == 1
    with pytest.raises(StoreError, match=r"a\.duckdb failed"):
        fail(lambda store: store.execute("SELECT nothing FROM nowhere"))
    assert not connection._idle  # whatever the error left behind is gone with its engine
    assert number(path) == 1


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "a.duckdb", 1)
    with pytest.raises(StoreError, match="read-only"), connect(path, read_only=True) as store:
        store.execute("UPDATE numbers SET number = 9")


def test_a_write_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = make(tmp_path / "a.duckdb", 1)
    with connect(path, read_only=False) as store:
        store.execute("UPDATE numbers SET number = 9")
    assert not Path(f"{path}.wal").exists()
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(path.read_bytes())
    assert number(copy) == 9


def test_a_forked_process_makes_its_own(tmp_path: Path) -> None:
    path = make(tmp_path / "a.duckdb", 3)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom saturation.store import connection\n"
        "def number():\n    with connection.connect(Path(sys.argv[1]), read_only=True) as store:\n"
        "        return store.execute('SELECT number FROM numbers').fetchall()[0][0]\n"
        "assert number() == 3\nassert len(connection._idle) == 1\n"
        "child = os.fork()\n"
        "if child == 0:\n    os._exit(0 if not connection._idle and number() == 3 else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0


class TestTogether:
    """Several calls over one connection of a store."""

    def test_the_file_is_opened_once_and_what_was_written_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store(make(tmp_path / "a.duckdb", 1), bundled=tmp_path / "none")
        opened, before = [], store_module.connect
        monkeypatch.setattr(store_module, "connect", lambda *given: opened.append(given[1]) or before(*given))
        with store.together():
            with store.write() as held:
                held.execute("UPDATE main.numbers SET number = 2")
            assert store.frame("SELECT number FROM main.numbers")["number"].tolist() == [2]
        assert opened == [False]
        assert number(store.path) == 2
        assert opened == [False]

    def test_another_thread_has_its_own_and_waits(self, tmp_path: Path) -> None:
        store = Store(make(tmp_path / "a.duckdb", 1), wait_seconds=0.2, bundled=tmp_path / "none")
        with ThreadPoolExecutor(1) as threads, store.together(), pytest.raises(StoreBusyError):
            threads.submit(store.frame, "SELECT 1").result()

    def test_after_an_error_the_next_opens_anew(self, tmp_path: Path) -> None:
        store = Store(make(tmp_path / "a.duckdb", 1), bundled=tmp_path / "none")

        def half() -> None:
            with store.together(), store.write() as held:
                held.begin()
                held.execute("UPDATE main.numbers SET number = 2")
                held.execute("SELECT nothing FROM nowhere")

        with pytest.raises(StoreError):
            half()
        assert store.frame("SELECT number FROM main.numbers")["number"].tolist() == [1]
