"""Free SQL on what is held: one reading query, on a copy, in a process of its own that is ended when it takes too much.

The copy holds what was measured and imported, without the queue, and is made anew after the store has changed: the
store itself is open only while its tables are read (80 ms for 14 MB), so that no query, however long, keeps a writer
waiting. See `console_child` for what the query may do.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from saturation.errors import QueryError, StoreBusyError, StoreError
from saturation.store import console_child, removal
from saturation.store.console_tables import TABLES, TRAJECTORY
from saturation.store.places import without_places
from saturation.store.store import Store
from saturation.store.tables import OF_MEASUREMENTS

# Stored as tables; the views over them and the table along training are made of these.
COPIED = [name for name in TABLES if not name.startswith("current_") and name != "trajectory"]
VERSION = 1
MOST_SIGNS = 20_000
# Queries of this process that run at the same time, and how long another one waits for its turn.
AT_ONCE, TURN_SECONDS = 2, 10.0
START_SECONDS = 5.0
LEFT_SECONDS = 3600.0
FOLDER = "console"
_turns = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class Limits:
    """What a query may take. seconds: of running; memory: bytes of address space; rows and bytes: of the result."""

    seconds: float = 10.0
    memory: int = 2 * 2**30
    rows: int = 20_000
    bytes: int = 32 * 2**20


@dataclass(frozen=True)
class View:
    """Which copy of the store a query sees."""

    places: bool
    without: tuple[str, ...]

    @property
    def name(self) -> str:
        return "places" if self.places else "plain"


@dataclass(frozen=True)
class Answer:
    """The rows that a query gave. cut: whether there would have been more than the limits allow."""

    table: pa.Table
    cut: bool
    seconds: float


def ask(
    store: Store, sql: str, limits: Limits | None = None, places: bool = False, without: Sequence[str] = ()
) -> Answer:
    """The result of one reading query.

    places: whether the folders of local checkpoints may be seen. without: families of which nothing is seen.
    Raises QueryError, in one sentence, for anything but a query that reads, for one that fails and for one that takes
    too much; StoreError where no copy can be made.
    """
    limits = limits or Limits()
    text = sql.strip()
    if not text:
        raise QueryError("There is no query; write one, such as SELECT * FROM checkpoints.")
    if len(text) > MOST_SIGNS or "\0" in text:
        raise QueryError(f"The query is longer than {MOST_SIGNS:,} signs or is no text; shorten it.")
    with _turn(), _copy(store, View(places, tuple(sorted(without)))) as copy:
        return _answer(*_run(copy, text, limits), limits, copy)


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=TURN_SECONDS):
        raise StoreBusyError("Other queries are running; try again in a moment.")
    try:
        yield
    finally:
        _turns.release()


def _run(copy: Path, sql: str, limits: Limits) -> tuple[dict[str, Any], bytes]:
    """What the process that ran the query said, and its rows."""
    request = vars(limits) | {"path": str(copy), "sql": sql, "tables": sorted(TABLES)}
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
    try:
        done = subprocess.run(
            [sys.executable, "-I", console_child.__file__],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=limits.seconds + START_SECONDS,
            env={name: os.environ[name] for name in kept if name in os.environ},
            cwd=copy.parent,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"kind": "time"}, b""
    except OSError as error:
        raise StoreError(f"The query cannot be started ({error.strerror or error}); try again.") from error
    head, _, rows = done.stdout.partition(b"\n")
    try:
        return dict(json.loads(head)), rows
    except ValueError:  # the system ended it: no more memory, or no more time
        return {"kind": "time" if -done.returncode in (24, 25) else "memory"}, b""


def _answer(said: dict[str, Any], rows: bytes, limits: Limits, copy: Path) -> Answer:
    kind = said["kind"]
    if kind == "rows":
        return Answer(pa.ipc.open_stream(rows).read_all(), bool(said["cut"]), float(said["seconds"]))
    if kind == "time":
        raise QueryError(f"The query took more than {limits.seconds:g} s and was stopped; ask for less at once.")
    if kind == "memory":
        raise QueryError(f"The query needs more than {limits.memory / 2**30:g} GB of memory; ask for less at once.")
    raise QueryError(_sentence(said["said"], copy))


def _sentence(message: str, copy: Path) -> str:
    """What DuckDB says, in a sentence without the place of the copy and without the query repeated under it."""
    text = message.split("\n\nLINE ")[0].replace(str(copy), "the copy").replace(str(copy.parent), "…")
    text = " ".join(re.sub(r"\nLINE \d+:.*", "", text, flags=re.DOTALL).split())
    text = text if len(text) <= 300 else text[:299] + "…"
    return text if text.endswith((".", "!", "?", "…")) else text + "."


@contextmanager
def _copy(store: Store, view: View) -> Iterator[Path]:
    """The copy of the store as it is now, under a name of this query's own: one made later may take its place."""
    store.ensure()
    folder = store.path.parent / FOLDER
    own = folder / f"query-{uuid.uuid4().hex}.duckdb"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=TURN_SECONDS):
            _link(_made(folder, store, view), own)
    except Timeout as error:
        raise StoreBusyError("Another query is preparing its tables; try again in a moment.") from error
    except (OSError, duckdb.Error) as error:
        raise StoreError(f"No copy of the store can be made for the query ({error}).") from error
    try:
        yield own
    finally:
        with suppress(OSError):
            own.unlink()


def _link(copy: Path, own: Path) -> None:
    try:
        os.link(copy, own)
    except OSError:  # a disk without links
        shutil.copyfile(copy, own)


def _made(folder: Path, store: Store, view: View) -> Path:
    copy = _place(folder, store, view)
    if not copy.exists():
        tables, views = _read(store)  # named by the state before: at worst it is made once too often
        _remove(folder, view)
        _write(copy, tables, views, view)
    return copy


def _place(folder: Path, store: Store, view: View) -> Path:
    state = hashlib.sha256(repr((VERSION, view, store.signature())).encode()).hexdigest()[:16]
    return folder / f"{view.name}-{state}.duckdb"


def _remove(folder: Path, view: View) -> None:
    """Remove older copies of this view, and what a query of a killed process left."""
    for old in (*folder.glob(f"{view.name}-*"), *folder.glob("query-*")):
        with suppress(OSError):  # on some systems not while another process reads it
            if not old.name.startswith("query-") or time.time() - old.stat().st_mtime > LEFT_SECONDS:
                old.unlink()


def _read(store: Store) -> tuple[dict[str, pa.Table], list[str]]:
    """All tables that are shown, as they are, and the views over them as SQL."""
    with store.read() as connection:
        tables = {name: connection.sql(_shown(name)).to_arrow_table() for name in COPIED}
        views = connection.execute(
            "SELECT sql FROM duckdb_views() WHERE NOT internal AND view_name IN (SELECT unnest(?)) "
            "ORDER BY view_name = 'current_measurements'",
            [[name for name in TABLES if name.startswith("current_")]],
        ).fetchall()
    return tables, [sql for (sql,) in views]


def _shown(table: str) -> str:
    """All of a table but what it holds for the sake of speed."""
    return f"SELECT * {'EXCLUDE (of_family)' if table in ('measurements', *OF_MEASUREMENTS) else ''} FROM {table}"


def _write(copy: Path, tables: dict[str, pa.Table], views: list[str], view: View) -> None:
    part = copy.with_name(f"{copy.name}.{os.getpid()}.{time.monotonic_ns()}.part")
    try:
        with duckdb.connect(str(part)) as connection:
            for name, rows in tables.items():
                connection.register("incoming", rows if view.places or name != "checkpoints" else without_places(rows))
                connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
                connection.unregister("incoming")
            for name, where in removal.of_families():
                connection.execute(f"DELETE FROM {name} WHERE {where}", {"families": list(view.without)})
            for sql in views:
                connection.execute(sql)
            connection.execute(f"CREATE TABLE trajectory AS {TRAJECTORY}")
        os.replace(part, copy)
    finally:
        part.unlink(missing_ok=True)
