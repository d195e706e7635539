"""Documents of a file, in pieces: a text file is one document, a line of .jsonl and a row of .parquet each one more.

A document of up to PIECE characters is one piece, so that a tokenizer sees it whole; a longer one is cut behind the
last line end before that length (within a line where there is none), which may change the tokens at the cut.
"""

import codecs
import gzip
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from saturation.errors import TextError

PIECE = 10_000_000
BLOCK = 1 << 20
FORMATS = {".txt": "text", ".md": "text", ".jsonl": "jsonl", ".parquet": "parquet"}
FIELD = "text"


class Piece(NamedTuple):
    """A part of a document; last: the document ends with it."""

    text: str
    last: bool


def format_of(name: str) -> str | None:
    """text, jsonl or parquet, by the ending of a file's name with .gz left out; None for what cannot be read."""
    return FORMATS.get(Path(name.lower().removesuffix(".gz")).suffix)


def pieces(path: Path, name: str, size: int = PIECE) -> Iterator[Piece]:
    """The documents of a file in order. name: what the file is called, which tells its format, also in errors.

    Raises TextError for a file that cannot be read or is not what its name says.
    """
    kind = format_of(name)
    try:
        with _opened(path, name) as stream:
            if kind == "jsonl":
                yield from _lines(stream, name, size)
            elif kind == "parquet":
                yield from _rows(stream, name, size)
            else:
                yield from _text(stream, name, size)
    except (OSError, EOFError, zlib.error) as error:  # the last two: a .gz that was cut off or is damaged
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise TextError(f"{name} cannot be read ({reason}); check the file.") from error


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        if not name.lower().endswith(".gz"):
            yield raw
            return
        with gzip.open(raw) as unpacked:
            if format_of(name) != "parquet":
                yield unpacked  # type: ignore[misc]
                return
            with tempfile.TemporaryFile() as whole:  # Parquet is read from its end
                shutil.copyfileobj(unpacked, whole, BLOCK)
                yield whole


def _text(stream: IO[bytes], name: str, size: int) -> Iterator[Piece]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    held, read = "", 0
    while block := stream.read(BLOCK):
        held += _decoded(decoder, block, name, read)
        read += len(block)
        if len(held) > size:
            *whole, held = _cut(held, size)
            yield from (Piece(part, False) for part in whole)
    held += _decoded(decoder, b"", name, read, final=True)
    if held:
        yield Piece(held, True)


def _decoded(decoder: codecs.IncrementalDecoder, block: bytes, name: str, read: int, final: bool = False) -> str:
    waiting = len(decoder.getstate()[0])
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        place = read - waiting + error.start
        raise TextError(f"{name} is not UTF-8 text (byte {place}); convert it to UTF-8.") from error


def _cut(text: str, size: int) -> list[str]:
    """Parts of at most `size` characters that end with a line where they can; the last may be shorter."""
    parts = []
    start = 0
    while len(text) - start > size:
        stop = text.rfind("\n", start, start + size) + 1 or start + size
        parts.append(text[start:stop])
        start = stop
    return [*parts, text[start:]]


def _document(text: str, size: int) -> Iterator[Piece]:
    *whole, rest = _cut(text, size)
    yield from (Piece(part, False) for part in whole)
    if rest:
        yield Piece(rest, True)


def _lines(stream: IO[bytes], name: str, size: int) -> Iterator[Piece]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)[FIELD]
        except (ValueError, KeyError, TypeError) as error:
            raise TextError(f"Line {number} of {name} is no JSON object with a field '{FIELD}'; mend it.") from error
        if not isinstance(text, str):
            raise TextError(f"The field '{FIELD}' in line {number} of {name} is no text; mend it.")
        yield from _document(text, size)


def _rows(stream: IO[bytes], name: str, size: int) -> Iterator[Piece]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(stream)
        columns = table.schema_arrow.names
        if FIELD not in columns or not _is_text(table.schema_arrow.field(FIELD).type):
            raise TextError(
                f"{name} has no text column '{FIELD}', only {', '.join(columns)}; rename the one that is meant."
            )
        for batch in table.iter_batches(batch_size=256, columns=[FIELD]):
            for text in batch.column(0).to_pylist():
                if text:
                    yield from _document(text, size)
    except pa.ArrowException as error:
        raise TextError(f"{name} is no Parquet file that can be read ({str(error).splitlines()[0]}).") from error


def _is_text(kind: object) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
