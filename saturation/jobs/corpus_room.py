"""Room for what is kept of corpora: their tokens, tokenizers trained on them, uploads. What was used longest ago goes.

Imports no torch.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from saturation.corpora.corpus import Corpus
from saturation.errors import SaturationError
from saturation.jobs.corpus_tokens import ENDS, IDS, STATE
from saturation.settings import Settings
from saturation.store import Store, in_use

log = logging.getLogger(__name__)
TOKENS, TOKENIZERS = "tokens", "tokenizers"


@dataclass(frozen=True)
class Entry:
    """A folder of tokens, a tokenizer's file, or the folder of an upload. used: when, in seconds since 1970."""

    path: Path
    size: int
    used: float


def entries(folder: Path) -> list[Entry]:
    """What the folder `corpora` holds; links and what vanishes meanwhile are left out."""
    found = []
    for place in (folder, folder / TOKENS, folder / TOKENIZERS):
        if place.is_symlink() or not place.is_dir():
            continue
        for path in place.iterdir():
            if place != folder or path.name not in (TOKENS, TOKENIZERS):
                found.append(_entry(path))
    return [entry for entry in found if entry is not None]


def _entry(path: Path) -> Entry | None:
    size, used = 0, 0.0
    try:
        if path.is_symlink():
            return None
        for file in path.iterdir() if path.is_dir() else [path]:
            if file.is_file() and not file.is_symlink() and file.name != "lock":
                stat = file.stat()
                size, used = size + stat.st_size, max(used, stat.st_mtime)
    except OSError:
        return None
    return Entry(path, size, used) if size else None


def uploads_in_use(settings: Settings) -> set[Path]:
    """Folders and files that corpora which wait or are being counted are in. Raises StoreError."""
    if not settings.store_path.exists():
        return set()
    named: set[Path] = set()
    for text in in_use.active_settings(Store(settings.store_path), "ngram"):
        corpus = json.loads(text).get("corpus") or []
        named |= {Path(name).expanduser().resolve() for name in ([corpus] if isinstance(corpus, str) else corpus)}
    return named | {path.parent for path in named}


def touch(settings: Settings, corpus: Corpus) -> None:
    """Note that uploads are used now."""
    own = (settings.cache / "corpora").resolve()
    for file in corpus.files:
        if own in file.path.resolve().parents:
            with suppress(OSError):
                os.utime(file.path)


def make_room(settings: Settings, limit: int, keep: Iterable[Path] = ()) -> int:
    """Remove what was used longest ago until the rest takes at most `limit` bytes; returns the bytes removed.

    What a job uses stays, and so does `keep`. Whoever counted must not fail for it: where the queue cannot be read,
    nothing is removed.
    """
    held = sorted(entries(settings.cache / "corpora"), key=lambda entry: entry.used)
    total = sum(entry.size for entry in held)
    if total <= limit:
        return 0
    try:
        used = uploads_in_use(settings) | set(keep)
    except SaturationError as error:
        log.warning("Nothing of the corpora kept was removed: %s", error)
        return 0
    removed = 0
    for entry in held:
        if total - removed <= limit:
            break
        if entry.path not in used and _remove(entry):
            removed += entry.size
    return removed


def _remove(entry: Entry) -> bool:
    """Whether the entry is gone; tokens that are being written stay."""
    if entry.path.parent.name != TOKENS:
        try:
            if entry.path.is_dir():
                shutil.rmtree(entry.path)
            else:
                entry.path.unlink()
        except OSError:
            return False
        return True
    try:
        with FileLock(entry.path / "lock", timeout=0):  # the lock itself stays: another may be about to take it
            for name in (STATE, IDS, ENDS):  # the state first: without it the rest counts for nothing
                (entry.path / name).unlink(missing_ok=True)
    except (Timeout, OSError):
        return False
    return True
