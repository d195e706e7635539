"""Measurement packs: one zip of Parquet tables and a manifest, to take measurements from one store to another."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from saturation.errors import PackError
from saturation.store import pack_file, pack_rows, summary
from saturation.store.pack_file import MANIFEST
from saturation.store.places import without_places
from saturation.store.tables import (
    ADDED_LATER,
    INSERT_VALUES,
    OF_MEASUREMENTS,
    OF_NO_MODEL,
    OPTIONAL,
    POINTS,
    SCHEMAS,
    UNIQUE,
)

FORMAT = 3
READS = (1, 2, 3)
SUFFIX = ".pack.zip"

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,  # encrypted, or packed in a way that zipfile does not know
    AttributeError,
    pa.ArrowException,
)
# Which rows belong to the chosen models; {models} is a list of 'family/model'.
_SELECT = {
    "checkpoints": "SELECT * FROM checkpoints WHERE family || '/' || model IN (SELECT unnest(?))",
    "measurements": "SELECT m.* FROM measurements m JOIN checkpoints c USING (checkpoint_id) "
    "WHERE family || '/' || model IN (SELECT unnest(?))",
    "evaluations": "SELECT * FROM evaluations WHERE family || '/' || model IN (SELECT unnest(?))",
}


def bundled(folder: Path) -> list[Path]:
    """The packs that come with the project, by name."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def manifest(pack: Path) -> dict[str, Any]:
    """What a pack says of itself: format, models ('family/model') and rows by table. Raises PackError."""
    try:
        with zipfile.ZipFile(pack) as archive:
            return dict(json.loads(archive.read(MANIFEST)))
    except UNREADABLE as error:
        raise PackError(f"{pack.name} is no measurement pack or is damaged; export or download it again.") from error


def models(tables: Mapping[str, pa.Table]) -> set[tuple[str, str]]:
    """Family and model of all rows of a pack (`read`), whatever its manifest says."""
    named = [tables[name].select(["family", "model"]).to_pylist() for name in ("checkpoints", "evaluations")]
    return {(row["family"], row["model"]) for rows in named for row in rows}


def fingerprint(pack: Path) -> str:
    """Hash of the pack's bytes."""
    with pack.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _arrow(connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[object] | None = None) -> pa.Table:
    return connection.sql(sql, params=parameters or []).to_arrow_table()


def save(
    connection: duckdb.DuckDBPyConnection, pack: Path, models: Sequence[str], bottleneck: bool = False
) -> dict[str, int]:
    """Write all that is stored of the models ('family/model') to a pack; returns the rows of each table.

    Of local checkpoints the folder's name is written, not where on this machine it lies.
    bottleneck: also what belongs to no model, the n-gram matrices and the playground.
    Raises PackError when nothing is stored of them, or where the file cannot be written: then there is none.
    """
    tables = {name: _arrow(connection, sql, [list(models)]) for name, sql in _SELECT.items()}
    tables |= {name: _arrow(connection, f"SELECT * FROM {name} WHERE ?", [bottleneck]) for name in OF_NO_MODEL}
    if not any(table.num_rows for name, table in tables.items() if name != "checkpoints"):
        what = ", ".join([*models, *(["corpora or the playground"] if bottleneck else [])])
        raise PackError(f"Nothing is stored of {what}; measure it before exporting.")
    connection.register("chosen", tables["measurements"])
    tables["texts"] = _arrow(connection, "SELECT * FROM texts WHERE text_id IN (SELECT text_id FROM chosen)")
    for name in OF_MEASUREMENTS:
        sql = f"SELECT * FROM {name} WHERE measurement_id IN (SELECT measurement_id FROM chosen)"
        tables[name] = _arrow(connection, sql)
    tables = {name: tables[name].select(SCHEMAS[name].names) for name in SCHEMAS}
    tables["checkpoints"] = without_places(tables["checkpoints"])
    ordered = {name: tables[name].cast(SCHEMAS[name]).sort_by(SCHEMAS[name].names[0]) for name in SCHEMAS}
    rows = {name: table.num_rows for name, table in ordered.items()}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST, json.dumps({"format": FORMAT, "models": sorted(models), "rows": rows}, indent=1))
        for name, table in ordered.items():
            buffer = io.BytesIO()
            pq.write_table(table, buffer, compression="zstd", compression_level=12)
            archive.writestr(f"{name}.parquet", buffer.getvalue())
    part = pack.with_name(pack.name + ".part")
    try:
        part.write_bytes(content.getbuffer())
        part.replace(pack)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PackError(
            f"{pack} cannot be written ({error.strerror}); free some space, or write it elsewhere."
        ) from error
    return rows


def read(pack: Path) -> dict[str, pa.Table]:
    """The tables of a pack, checked: their schema, their sizes, their rows. Nothing is written anywhere.

    Raises PackError for anything that is no sound pack.
    """
    try:
        if pack.stat().st_size > pack_file.MOST_BYTES:
            raise PackError(f"{pack.name} is too large to be a pack.")
        with zipfile.ZipFile(pack) as archive:
            manifest = pack_file.manifest(archive, pack)
            form = manifest.get("format")
            if type(form) is not int or form not in READS:
                raise PackError(
                    f"{pack.name} has the format {pack_file.shown(form)}; this version reads {READS[0]} to {READS[-1]}."
                )
            pack_file.entries(archive, pack, frozenset(SCHEMAS))
            tables = {
                name: schema.empty_table()
                if form < ADDED_LATER.get(name, 1)
                else pack_file.table(archive, pack, name, schema)
                for name, schema in SCHEMAS.items()
            }
    except UNREADABLE as error:
        raise PackError(f"{pack.name} is no measurement pack or is damaged; export or download it again.") from error
    fault = _fault(tables) or pack_rows.fault(tables)
    if fault is None and not pack_file.rows_told(manifest, tables):
        fault = "its manifest tells other numbers of rows"
    if fault:
        raise PackError(f"{pack.name} is damaged: {fault}; export or download it again.")
    return tables


def _fault(tables: dict[str, pa.Table]) -> str | None:
    """What is wrong with the rows of a pack, None when nothing is."""
    for name, table in tables.items():
        needed = [column for column in table.column_names if column in UNIQUE[name] or column not in OPTIONAL]
        empty = [column for column in needed if table[column].null_count]
        if empty:
            return f"its table {name} has no {empty[0]} in some rows"
        if table.group_by(UNIQUE[name]).aggregate([]).num_rows != table.num_rows:
            return f"its table {name} holds a row twice"
    for name, column, target in POINTS:
        known = pc.is_in(tables[name][column].drop_null(), value_set=tables[target][column].combine_chunks())
        if not pc.all(known).as_py() and len(known):
            return f"its table {name} names {target} that it does not hold"
    numbers = (
        tables["scalars"]["value"],
        pc.list_flatten(tables["series"]["values"]),
        tables["evaluations"]["value"],
        *(pc.list_flatten(tables["ngrams"][name]) for name in ("w_error", "w_error_low", "w_error_high")),
        *(tables["playground"][name] for name in ("gap", "entropy", "w_error", "tail")),
    )
    if pc.list_flatten(tables["labels"]["values"]).null_count:
        return "it holds labels that are no text"
    if any(column.null_count or pc.any(pc.is_nan(column)).as_py() for column in numbers):
        return "it holds values that are no numbers"
    return None


def load(connection: duckdb.DuckDBPyConnection, pack: Path) -> int:
    """Add what a pack holds and the store does not, in one transaction; returns the measurements added.

    Raises PackError for a damaged pack; the store is then unchanged.
    """
    return add(connection, pack, read(pack))


def add(connection: duckdb.DuckDBPyConnection, pack: Path, tables: Mapping[str, pa.Table]) -> int:
    """The same for a pack whose tables are read already."""
    connection.begin()
    connection.register("incoming", tables["measurements"])
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE added AS SELECT measurement_id FROM incoming "
        "WHERE measurement_id NOT IN (SELECT measurement_id FROM measurements)"
    )
    for name, table in tables.items():
        connection.register("incoming", table)
        if name == "measurements":
            connection.execute(
                "INSERT OR IGNORE INTO measurements BY NAME "
                "SELECT i.*, c.family AS of_family FROM incoming i JOIN checkpoints c USING (checkpoint_id)"
            )
        elif name not in OF_MEASUREMENTS:
            connection.execute(f"INSERT OR IGNORE INTO {name} BY NAME SELECT * FROM incoming")
        else:
            wanted = " WHERE measurement_id IN (SELECT measurement_id FROM added)"
            connection.execute(INSERT_VALUES.format(table=name) + wanted)
    summary.refresh(connection, models(tables))
    connection.execute("INSERT OR REPLACE INTO packs VALUES (?, ?, now())", [pack.name, fingerprint(pack)])
    added = connection.execute("SELECT count(*) FROM added").fetchall()[0][0]
    connection.commit()
    return int(added)
