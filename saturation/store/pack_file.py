"""Reading a pack that anybody may have made: nothing is unpacked to disk, and everything is bounded before it is read.

A zip of a kilobyte can hold gigabytes, and so can a Parquet table inside it (one long text named a million times), so
that sizes are read off the directories first, and texts are kept as dictionaries until their lengths are known.
"""

import io
import json
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from saturation.errors import PackError

MANIFEST = "manifest.json"
ENDING = ".parquet"
# A table this large holds over a million measurements; anything larger is a mistake or an attack.
MOST_TABLE_BYTES = 1_000_000_000
MOST_BYTES = 2_000_000_000
MOST_MANIFEST_BYTES = 1_000_000
# Values of one column, those inside of lists counted one by one.
MOST_VALUES = 50_000_000
# Parquet is compressed already: what shrinks further by so much, and is large, was made to be a burden.
MOST_RATIO, RATIO_FROM = 100, 10_000_000
# Signs of one text: the longest of the project's own have a few hundred.
MOST_SIGNS = 4000
# Ways of storing a column whose size the directory tells.
ENCODINGS = {"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY", "BIT_PACKED", "BYTE_STREAM_SPLIT"}


def entries(archive: zipfile.ZipFile, pack: Path, tables: frozenset[str]) -> None:
    """Raises PackError for an archive that holds anything but tables and a manifest, each once, of a bounded size."""
    allowed = {MANIFEST, *(f"{name}{ENDING}" for name in tables)}
    held = archive.infolist()
    names = [item.filename for item in held]
    for item in held:
        if item.filename not in allowed or stat.S_ISLNK(item.external_attr >> 16) or item.orig_filename not in allowed:
            raise PackError(
                f"{pack.name} holds '{shown(item.orig_filename)}', which is no table of a pack; export it again."
            )
        most = MOST_MANIFEST_BYTES if item.filename == MANIFEST else MOST_TABLE_BYTES
        if item.file_size > most:
            raise PackError(f"{pack.name} is too large: its {item.filename} is over {_size(most)}.")
        if item.file_size > max(RATIO_FROM, MOST_RATIO * item.compress_size):
            raise PackError(f"{pack.name} is no pack of ours: its {item.filename} is empty at {_size(item.file_size)}.")
    if len(names) != len(set(names)):
        twice = next(name for name in names if names.count(name) > 1)
        raise PackError(f"{pack.name} is damaged: it holds {twice} twice; export or download it again.")
    if sum(item.file_size for item in held) > MOST_BYTES:
        raise PackError(f"{pack.name} is too large: its tables are over {_size(MOST_BYTES)}.")


def manifest(archive: zipfile.ZipFile, pack: Path) -> dict[str, Any]:
    """What a pack says of itself. Raises PackError where that is too long to be true, ValueError where it is none."""
    if archive.getinfo(MANIFEST).file_size > MOST_MANIFEST_BYTES:
        raise PackError(f"{pack.name} is too large: its {MANIFEST} is over {_size(MOST_MANIFEST_BYTES)}.")
    try:
        found = json.loads(archive.read(MANIFEST))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def table(archive: zipfile.ZipFile, pack: Path, name: str, schema: pa.Schema) -> pa.Table:
    """One table with its schema. Raises PackError for one that would grow beyond the bounds, Arrow's errors."""
    content = io.BytesIO(archive.read(f"{name}{ENDING}"))
    directory = pq.ParquetFile(content)
    if directory.schema_arrow.names != schema.names:
        raise ValueError("other columns")
    texts = _check_directory(directory.metadata, pack, name)
    content.seek(0)
    held = pq.ParquetFile(content, read_dictionary=texts).read(use_threads=False)
    for column in held.columns:
        _check_texts(column, pack, name)
    return held.cast(schema)


def _check_directory(directory: Any, pack: Path, name: str) -> list[str]:
    """Paths of the columns that hold texts."""
    texts: set[str] = set()
    values: dict[str, int] = {}
    size = 0
    for group in range(directory.num_row_groups):
        for place in range(directory.num_columns):
            column = directory.row_group(group).column(place)
            path = column.path_in_schema
            if column.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"):
                texts.add(path)
            if not set(column.encodings) <= ENCODINGS:
                raise PackError(f"{pack.name} was written in a way that packs are not; export it again.")
            values[path] = values.get(path, 0) + column.num_values
            size += column.total_uncompressed_size
    if max([directory.num_rows, *values.values()]) > MOST_VALUES or size > MOST_TABLE_BYTES:
        raise PackError(f"{pack.name} is too large: its table {name} has over {MOST_VALUES:,} values or a gigabyte.")
    return sorted(texts)


def _check_texts(column: pa.ChunkedArray, pack: Path, name: str) -> None:
    total = 0
    for chunk in column.chunks:
        inner = chunk.flatten() if pa.types.is_list(chunk.type) else chunk
        if not pa.types.is_dictionary(inner.type):
            continue
        lengths = pc.binary_length(inner.dictionary)
        if (pc.max(lengths).as_py() or 0) > 4 * MOST_SIGNS:
            raise PackError(
                f"{pack.name} is no pack of ours: its table {name} holds a text of over {MOST_SIGNS:,} signs."
            )
        total += pc.sum(pc.take(lengths.cast(pa.int64()), inner.indices)).as_py() or 0
    if total > MOST_TABLE_BYTES:
        raise PackError(f"{pack.name} is too large: the texts of its table {name} are over a gigabyte.")


def rows_told(found: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> bool:
    """Whether the manifest, where it tells numbers of rows, tells those of the tables."""
    told = found.get("rows", {})
    return isinstance(told, dict) and all(told[name] == tables[name].num_rows for name in tables if name in told)


def shown(value: object) -> str:
    """A foreign name or value in a sentence: not too long, and without signs that cannot be seen."""
    seen = "".join(sign if sign.isprintable() else "□" for sign in str(value)[:60])
    return f"{seen}{'…' if len(str(value)) > 60 else ''}"


def _size(count: int) -> str:
    return f"{count / 1e9:.0f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
