"""A corpus: files read one after another, known by a hash of their bytes.

From paths here, from the hub in `hub_dataset`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from saturation.corpora.documents import BLOCK, Piece, format_of, pieces
from saturation.errors import TextError

HUB = "hub:"


@dataclass(frozen=True)
class CorpusFile:
    """A file and what it is called; content_id: `sha256:` and the hash of its bytes where that is known already."""

    path: Path
    name: str
    content_id: str | None = None

    def digest(self) -> str:
        """sha256 of the bytes in hexadecimal. Raises TextError."""
        if self.content_id is not None:
            return self.content_id.removeprefix("sha256:")
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as stream:
                while block := stream.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise TextError(f"{self.name} cannot be read ({error.strerror}); check its permissions.") from error
        return digest.hexdigest()


@dataclass(frozen=True)
class Corpus:
    """Files in the order in which they are read. source: where they came from, in words. skipped: names left out."""

    name: str
    source: str
    files: tuple[CorpusFile, ...]
    skipped: tuple[str, ...] = ()

    @cached_property
    def corpus_id(self) -> str:
        """`sha256:` and a hash: of the bytes of a single text file, else of the files' formats and hashes in order."""
        digests = [(_way(file.name), file.digest()) for file in self.files]
        if len(digests) == 1 and digests[0][0] == "text":
            return f"sha256:{digests[0][1]}"
        told = "\n".join(f"{way} {digest}" for way, digest in digests)
        return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"

    @property
    def size(self) -> int:
        """Bytes of all files as they lie on disk."""
        return sum(file.path.stat().st_size for file in self.files)

    def pieces(self) -> Iterator[Piece]:
        """All documents in order, in pieces; never more than one piece is held. Raises TextError."""
        for file in self.files:
            yield from pieces(file.path, file.name)


def _way(name: str) -> str:
    """How the bytes of a file are read."""
    return f"{format_of(name) or 'text'}{'.gz' if name.lower().endswith('.gz') else ''}"


def open_corpus(given: str | Sequence[str], cache: Path | None = None) -> Corpus:
    """The corpus that a user names: a file, several, a folder, or `hub:owner/name[@revision][:split]`.

    Of a folder the files that end in .txt, .md, .jsonl, .parquet or one of these and .gz, sorted by name; hidden ones
    are passed over, others named as skipped. A single file of another name is read as text. cache: where listings of
    the hub are kept. Raises TextError, HubError.
    """
    names = [given] if isinstance(given, str) else list(given)
    if not names or not all(name.strip() for name in names):
        raise TextError("No corpus was named; give a file, a folder, or hub:owner/name.")
    if any(name.startswith(HUB) for name in names):
        if len(names) > 1:
            raise TextError("A dataset of the hub is a corpus by itself; name nothing beside it.")
        from saturation.corpora.hub_dataset import hub_corpus

        return hub_corpus(names[0].removeprefix(HUB), cache)
    paths = [Path(name).expanduser() for name in names]
    if len(paths) == 1 and paths[0].is_dir():
        return _folder(paths[0])
    for path in paths:
        if not path.is_file():
            raise TextError(f"There is no text file {path}; check the path.")
    files = tuple(CorpusFile(path, path.name) for path in paths)
    called = ", ".join(path.name for path in paths)
    name = paths[0].name if len(paths) == 1 else f"{paths[0].name} and {len(paths) - 1} more"
    return Corpus(name, f"{'file' if len(paths) == 1 else 'files'} {called}", files)


def _folder(folder: Path) -> Corpus:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    shown = sorted(name for name in found if not any(part.startswith(".") for part in name.split("/")))
    read = [name for name in shown if format_of(name)]
    if not read:
        raise TextError(f"{folder} holds no .txt, .md, .jsonl or .parquet file; choose another folder.")
    name = folder.resolve().name
    return Corpus(
        name,
        f"folder {name} of {len(read)} file{'s' if len(read) > 1 else ''}",
        tuple(CorpusFile(found[file], file) for file in read),
        tuple(file for file in shown if not format_of(file)),
    )
