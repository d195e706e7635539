"""Which workers live: each holds a lock on a file of its own, which the system takes back however the process ends.

No clock decides: a lock that is free means a dead worker, and a beat that this process has seen stand still for
minutes of its own running time means one that hangs or was stopped. Beside the lock lies what the worker is at.
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

BEAT_SECONDS = 0.5
# Longer than any single call into LAPACK that might keep the beating thread waiting.
FROZEN_SECONDS = 300.0


@dataclass(frozen=True)
class Progress:
    """How far a group of jobs is: parts done, of how many, and what is being done."""

    done: int
    total: int
    message: str

    def line(self) -> str:
        """The message, with a percentage where the parts are many."""
        return f"{self.message} {self.done / self.total:.0%}" if self.total > 1 else self.message


@dataclass(frozen=True)
class Life:
    """What a worker says of itself. doing: progress by group. note: what it waits for, if anything."""

    worker: str
    pid: int
    beat: int
    doing: dict[str, Progress] = field(default_factory=dict)
    note: str = ""


class Presence:
    """This process as a worker, for as long as the context lasts. Never fails for want of disk space."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.worker = uuid.uuid4().hex[:16]
        self._doing: dict[str, Progress] = {}
        self._note = ""
        self._beat = 0
        self._ended = threading.Event()
        self._lock = FileLock(_lock_file(folder, self.worker))

    def __enter__(self) -> "Presence":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock.acquire(timeout=0)
        self._write()
        self._thread = threading.Thread(target=self._live, name="beat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        _life_file(self.folder, self.worker).unlink(missing_ok=True)
        self._lock.release()
        _lock_file(self.folder, self.worker).unlink(missing_ok=True)

    def tell(self, group_id: str, done: int, total: int, message: str) -> None:
        """Note how far a group is; the next beat writes it."""
        self._doing = self._doing | {group_id: Progress(done, total, message)}

    def forget(self, group_id: str) -> None:
        self._doing = {key: value for key, value in self._doing.items() if key != group_id}

    def message(self) -> str:
        """What this worker is at, in a line."""
        return self._note or "; ".join(progress.line() for progress in self._doing.values())

    def note(self, sentence: str) -> None:
        """Say what the worker waits for; empty for nothing."""
        self._note = sentence

    def _live(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self._beat += 1
            self._write()

    def _write(self) -> None:
        path = _life_file(self.folder, self.worker)
        life = Life(self.worker, os.getpid(), self._beat, dict(self._doing), self._note)
        with suppress(OSError):  # a full disk costs the news, not the work
            part = path.with_suffix(".part")
            part.write_text(json.dumps(asdict(life)), encoding="utf-8")
            part.replace(path)


def _lock_file(folder: Path, worker: str) -> Path:
    return folder / f"{worker}.lock"


def _life_file(folder: Path, worker: str) -> Path:
    return folder / f"{worker}.json"


def life(folder: Path, worker: str) -> Life | None:
    """What a worker wrote last, None where nothing can be read."""
    try:
        values: dict[str, Any] = json.loads(_life_file(folder, worker).read_text(encoding="utf-8"))
        values["doing"] = {group: Progress(**progress) for group, progress in values["doing"].items()}
        return Life(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def lives(folder: Path) -> list[Life]:
    """What every worker that has not ended in order wrote last; some may be dead."""
    found = [life(folder, path.stem) for path in sorted(folder.glob("*.json"))]
    return [each for each in found if each is not None]


def living(folder: Path, workers: Iterable[str] | None = None) -> set[str]:
    """Those of the workers, or of all, whose process has not ended."""
    names = [path.stem for path in folder.glob("*.json")] if workers is None else workers
    return {name for name in names if _held(folder, name)}


def _held(folder: Path, worker: str) -> bool:
    path = _lock_file(folder, worker)
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


class Watch:
    """Tells the living from the dead; remembers when it saw each beat."""

    def __init__(self, folder: Path, frozen_seconds: float = FROZEN_SECONDS) -> None:
        self.folder = folder
        self._frozen_seconds = frozen_seconds
        self._seen: dict[str, tuple[int, float]] = {}

    def dead(self, workers: Iterable[str]) -> set[str]:
        """Those of the workers whose process has ended, or whose beat stands still."""
        return {worker for worker in workers if self._released(worker) or self._frozen(worker)}

    def _released(self, worker: str) -> bool:
        if _held(self.folder, worker):
            return False
        for left in (_lock_file(self.folder, worker), _life_file(self.folder, worker)):
            left.unlink(missing_ok=True)
        return True

    def _frozen(self, worker: str) -> bool:
        found, now = life(self.folder, worker), time.monotonic()
        beat = -1 if found is None else found.beat
        last, since = self._seen.get(worker, (None, now))
        if last != beat:
            self._seen[worker] = (beat, now)
            return False
        return now - since > self._frozen_seconds
