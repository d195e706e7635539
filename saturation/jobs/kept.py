"""What the cache folder keeps on disk, by kind, and clearing what can be made again. Imports no torch.

Links are not followed: what lies behind one is not counted and not removed.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from saturation.errors import InputError, JobError, StoreError
from saturation.families.registry import unknown
from saturation.jobs import hosting, judgements
from saturation.settings import BUNDLED, Settings
from saturation.store import Store, in_use

# A file that is being written by someone who may be alive.
YOUNG_SECONDS = 3600.0


@dataclass(frozen=True)
class Kind:
    """A part of the cache folder. lost: what clearing takes away and how it comes back; '' where it is not cleared."""

    name: str
    title: str
    what: str
    lost: str = ""

    @property
    def clearable(self) -> bool:
        return bool(self.lost)


KINDS = (
    Kind("store", "Measurements", "the store: every number that was measured or imported"),
    Kind(
        "damaged",
        "Damaged stores",
        "stores that were damaged and are kept aside",
        "What could be read of them is in the store already; what could not be read is lost for good with them.",
    ),
    Kind(
        "hub",
        "Hub downloads",
        "heads and lists of revisions that were read from the hub",
        "Measurements stay. Measuring the same again reads the heads from the hub again; revisions have to be "
        "listed again, which needs the hub.",
    ),
    Kind(
        "corpora",
        "Corpora",
        "tokens of counted corpora, tokenizers trained on them, uploaded texts",
        "Curves stay. Counting one of these corpora again tokenizes it again, which takes minutes for a large one; an "
        "uploaded text has to be uploaded again.",
    ),
    Kind("live", "Live runs", "what monitors of training runs wrote"),
    Kind("lab", "Lab runs", "checkpoints of lab runs that were trained here"),
    Kind("bundled", "Bundled", "packs and checkpoints that come with the project"),
    Kind(
        "work",
        "Work files",
        "files of workers, verdicts, and the copy of the store that SQL queries read",
    ),
    Kind("other", "Other", "files that this program did not write"),
)
BY_NAME = {kind.name: kind for kind in KINDS}
CLEARABLE = tuple(kind.name for kind in KINDS if kind.clearable)
_FOLDERS = {"hub": "hub", "corpora": "corpora", "live": "live", "lab": "lab"}
_FOLDERS |= dict.fromkeys(("workers", "console", "states", judgements.FOLDER), "work")


@dataclass(frozen=True)
class Kept:
    """How much there is of a kind: bytes and number of files."""

    kind: Kind
    bytes: int
    files: int


def listing(settings: Settings) -> list[Kept]:
    """What the cache folder holds of each kind, in the order of `KINDS`; what vanishes meanwhile is left out."""
    sizes: dict[str, list[int]] = {kind.name: [] for kind in KINDS}
    for entry in _scanned(settings.cache):
        sizes[_kind(settings, entry.name)] += [size for _, size in _files(entry.path)]
    return [Kept(kind, sum(sizes[kind.name]), len(sizes[kind.name])) for kind in KINDS]


def words(size: float) -> str:
    """A number of bytes for a reader, in powers of ten."""
    for unit, least in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:,.1f} {unit}"
    return f"{size:,.0f} bytes"


def _kind(settings: Settings, name: str) -> str:
    store = settings.store_path
    if name.startswith(f"{store.stem}.damaged-"):
        return "damaged"
    if name.startswith(f"{store.stem}."):
        return "store"
    if name in ("packs", "checkpoints") and settings.cache == BUNDLED.resolve():
        return "bundled"
    return _FOLDERS.get(name, "other")


def _scanned(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _files(path: str) -> Iterator[tuple[str, int]]:
    """All files at or below a path with their sizes; neither links nor what is behind them."""
    try:
        found = os.lstat(path)
    except OSError:
        return
    if stat.S_ISREG(found.st_mode):
        yield path, found.st_size
    elif stat.S_ISDIR(found.st_mode):
        for entry in _scanned(path):
            yield from _files(entry.path)


def clear(settings: Settings, name: str) -> Kept:
    """Remove what there is of a kind of `CLEARABLE`; returns what was removed.

    Raises RefusedError on a hosted server, UnknownNameError and InputError for what is not cleared, JobError where a
    running job uses it, StoreError where a file cannot be removed.
    """
    hosting.check_owner(settings)
    if name not in BY_NAME:
        raise unknown("kind", name, list(CLEARABLE))
    if name not in CLEARABLE:
        raise InputError(
            f"'{name}' cannot be made again and is not cleared at once; what can be is {', '.join(CLEARABLE)}."
        )
    _check_unused(settings, name)
    if name == "damaged":
        mending = settings.store_path.with_suffix(".repair.lock")
        with _locked(mending, "A damaged store is being read just now; try again in a minute."):
            return _removed(settings, name, keep_folders=True)
    if name == "hub":  # somebody may be about to write into one of its folders
        return _removed(settings, name, keep_folders=True)
    return _removed(settings, name, keep_folders=False)


def _check_unused(settings: Settings, name: str) -> None:
    if not settings.store_path.exists():
        return
    store = Store(settings.store_path)
    doing = in_use.running_kinds(store)
    if name == "hub" and doing - {"playground"}:
        raise JobError("A job that is running may be reading from the hub; wait for it to end, or cancel it.")
    if name == "corpora" and in_use.active_settings(store, "ngram"):
        raise JobError("A corpus is being counted, or waits for it; wait for it to end, or cancel it.")


def _removed(settings: Settings, name: str, keep_folders: bool) -> Kept:
    gone: list[int] = []
    for entry in _scanned(settings.cache):
        if _kind(settings, entry.name) != name:
            continue
        if entry.is_symlink():
            raise StoreError(f"{entry.name} in the cache folder is a link to another place; clear it there.")
        with ExitStack() as locks:
            for path, _ in _files(entry.path) if name == "corpora" else ():
                if os.path.basename(path) == "lock":
                    locks.enter_context(_locked(path, "A corpus is being tokenized; wait for it to end."))
            gone += [size for path, size in _files(entry.path) if _remove(path)]
            if not keep_folders:
                _remove_folders(entry.path)
    return Kept(BY_NAME[name], sum(gone), len(gone))


@contextmanager
def _locked(path: str | Path, otherwise: str) -> Iterator[None]:
    """Hold a lock. Raises JobError with the sentence where somebody else has it."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise JobError(otherwise) from error
    try:
        yield
    finally:
        lock.release()


def _remove(path: str) -> bool:
    """Whether the file is gone through this; one that is still being written stays."""
    try:
        if path.endswith(".tmp") and time.time() - os.lstat(path).st_mtime < YOUNG_SECONDS:
            return False
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(
            f"{os.path.basename(path)} cannot be removed ({error.strerror}); check the permissions of the cache folder."
        ) from error
    return True


def _remove_folders(path: str) -> None:
    for entry in _scanned(path):
        if entry.is_dir(follow_symlinks=False):
            _remove_folders(entry.path)
    with suppress(OSError):  # something was put into it meanwhile, or a link lies there
        os.rmdir(path)
