"""Opening the DuckDB file late and closing it early, so that many processes share it.

One process with the file open for writing shuts out all others, so every operation opens the file for itself, waits
a bounded time for the lock, and closes it at once. To make a DuckDB with all its functions takes 24 ms and more, to
attach a file to one that is there 4: engines without a file are kept for the next operation.
The threads of one process take turns: two engines of one process would not see each other's locks, and transactions
that touch the same rows conflict.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from saturation.errors import DamagedStoreError, StoreBusyError, StoreError
from saturation.store.recovery import is_damage

WAIT_SECONDS = 15.0
POLL_SECONDS = 0.003
_turns: dict[Path, threading.RLock] = {}
_idle: list[duckdb.DuckDBPyConnection] = []  # engines that have no file attached
MOST_IDLE = 2
_left: list[duckdb.DuckDBPyConnection] = []  # engines of the process that this one was forked from
FULL = "No space left on device"
HOLDER = re.compile(r"lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


def _is_locked(error: BaseException) -> bool:
    """Another process holds the file, or this one has it open in the other mode for a moment."""
    if isinstance(error, duckdb.ConnectionException):
        return "different configuration" in str(error)
    return isinstance(error, duckdb.IOException) and "Could not set lock" in str(error)


def _busy(path: Path, error: BaseException, seconds: float) -> StoreBusyError:
    match = HOLDER.search(str(error))
    holder = f"process {match['pid']} ({match['program']})" if match else "another process"
    return StoreBusyError(f"{path.name} was locked by {holder} for {seconds:.0f} s; stop that process or try again.")


@contextmanager
def _turn(path: Path, wait_seconds: float) -> Iterator[None]:
    lock = _turns.setdefault(path.resolve(), threading.RLock())
    if not lock.acquire(timeout=wait_seconds):
        raise StoreBusyError(f"{path.name} was in use by this process for {wait_seconds:.0f} s; try again.")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _queue(path: Path, read_only: bool, wait_seconds: float) -> Iterator[None]:
    """Let no reader in before a writer that waits: readers that overlap would keep it out for ever.

    A writer holds a lock beside the file from when it waits until it is done, a reader only passes through it (with 16
    readers a writer waited more than 15 s for most of its turns before, 3 s at most after). Where it cannot be had (a
    folder that cannot be written, a process that was stopped), the file's own lock decides as ever.
    """
    lock, held = FileLock(f"{path}.turn"), False
    try:
        lock.acquire(timeout=wait_seconds, poll_interval=POLL_SECONDS)
        held = not read_only
        if read_only:
            lock.release()
    except (Timeout, OSError):
        held = False
    try:
        yield
    finally:
        if held:
            lock.release()
            time.sleep(1.5 * POLL_SECONDS)  # a writer that comes back at once lets those in who have waited


@contextmanager
def connect(path: Path, read_only: bool, wait_seconds: float = WAIT_SECONDS) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for one operation.

    Raises StoreBusyError, which names the holder, when the lock is not free within wait_seconds, and StoreError
    for anything else that DuckDB reports.
    """
    start = time.monotonic()
    with _turn(path, wait_seconds), _queue(path, read_only, wait_seconds):
        left = max(wait_seconds - (time.monotonic() - start), wait_seconds / 10)
        with _opened(path, read_only, left) as connection:
            yield connection


@contextmanager
def _opened(path: Path, read_only: bool, wait_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
    attempts = Retrying(
        retry=retry_if_exception(_is_locked),
        stop=stop_after_delay(wait_seconds),
        wait=wait_random(0.005, 0.05),
        reraise=True,
    )
    engine = _engine()
    try:
        attempts(engine.execute, _attach(path, read_only))
    except duckdb.Error as error:
        engine.close()
        if _is_locked(error):
            raise _busy(path, error, wait_seconds) from error
        raise _told(path, error, "cannot be opened") from error
    sound = False
    connection = engine.cursor()
    try:
        connection.execute(f"USE {_name(path)}")
        yield connection
        connection.close()
        with suppress(duckdb.Error):  # a file that cannot be tidied up is as it was: whoever opens it next is told
            engine.execute(f"DETACH {_name(path)}")
            sound = True
    except duckdb.Error as error:
        raise _told(path, error, "failed") from error
    finally:
        connection.close()
        if sound and len(_idle) < MOST_IDLE:
            _idle.append(engine)
        else:
            engine.close()


def _forked() -> None:
    """A forked process has none of an engine's threads, and would wait for them if it closed one."""
    _left.extend(_idle)
    _idle.clear()


os.register_at_fork(after_in_child=_forked)


def _engine() -> duckdb.DuckDBPyConnection:
    try:
        return _idle.pop()
    except IndexError:
        return duckdb.connect()


def _attach(path: Path, read_only: bool) -> str:
    quoted = str(path).replace("'", "''")
    return f"ATTACH '{quoted}' AS {_name(path)}{' (READ_ONLY)' if read_only else ''}"


def _name(path: Path) -> str:
    """As DuckDB calls a file that is opened alone: what is written into it must not depend on how it was opened."""
    return '"' + path.stem.replace('"', '""') + '"'


def _told(path: Path, error: BaseException, what: str) -> StoreError:
    """What DuckDB reports, in a sentence that says what to do."""
    if FULL in str(error):
        return StoreError(
            f"The disk of {path.parent} is full; free some space and run the same again: what was measured is kept."
        )
    if is_damage(error):
        return DamagedStoreError(f"The store {path} is damaged: {_sentence(error)}")
    return StoreError(f"The store {path.name if what == 'failed' else path} {what}: {_sentence(error)}")


def _sentence(error: BaseException) -> str:
    line = str(error).strip().splitlines()[0]
    return line if line.endswith(".") else line + "."
