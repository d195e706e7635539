"""The JSON files that an import reads: bounded, and a word on each that cannot be read. Nothing here raises."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 64 * 2**20
MAX_FILES = 20_000
TOO_LARGE = f"It is larger than {MAX_BYTES // 2**20} MB, which no result file of the harness is."
Problems = list[tuple[str, str]]


@dataclass(frozen=True)
class Raw:
    """A file as it was read. shown: how a report calls it; folder: the name of its folder, '' if not known.

    here: whether it lies on this machine, so that paths in it may be looked for.
    """

    shown: str
    name: str
    folder: str
    data: bytes
    here: bool = True


def gather(paths: Sequence[Path], problems: Problems) -> Iterator[Path]:
    """The files named, and every *.json below the folders named, in order of their names; problems are noted."""
    taken: set[str] = set()
    for path in paths:
        if path.is_dir():
            found = _below(path, problems)
        elif path.exists():
            found = iter([path])
        else:
            problems.append((str(path), "There is no such file or folder."))
            continue
        for file in found:
            if len(taken) == MAX_FILES:
                problems.append(
                    (str(path), f"It holds more than {MAX_FILES:,} JSON files; import its folders one by one.")
                )
                return
            real = os.path.realpath(file)
            if real not in taken:
                taken.add(real)
                yield file


def _below(top: Path, problems: Problems) -> Iterator[Path]:
    visited: set[str] = set()

    def unreadable(error: OSError) -> None:
        problems.append((str(error.filename), f"The folder cannot be read ({error.strerror})."))

    for folder, inside, names in os.walk(top, followlinks=True, onerror=unreadable):
        real = os.path.realpath(folder)
        if real in visited:
            problems.append((folder, "The folder is linked into itself or twice below it; it was read once."))
            inside.clear()
            continue
        visited.add(real)
        inside.sort()
        yield from (Path(folder, name) for name in sorted(names) if name.lower().endswith(".json"))


def read(path: Path, problems: Problems) -> Raw | None:
    """A file with its bytes; None, and a word in the problems, where it cannot be read."""
    try:
        if not path.is_file():
            problems.append((str(path), "It is no regular file, or a link to nowhere."))
        elif path.stat().st_size > MAX_BYTES:
            problems.append((str(path), TOO_LARGE))
        else:
            return Raw(str(path), path.name, path.absolute().parent.name, path.read_bytes())
    except OSError as error:
        problems.append((str(path), f"It cannot be read ({error.strerror})."))
    return None
