"""Measurement packs: one zip of Parquet tables and a manifest, to take measurements from one store to another."""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from saturation.errors import PackError

FORMAT = 1
SUFFIX = ".pack.zip"
MANIFEST = "manifest.json"
# A pack this large holds over a million measurements; anything larger is a mistake or an attack.
MAX_TABLE_BYTES = 1_000_000_000

_text, _int = pa.string(), pa.int64()
PLAIN_COLUMNS = (
    "measure",
    "version",
    "dtype",
    "tokens",
    "context_length",
    "device",
    "measured_at",
    "seconds",
    "bytes_read",
    "software",
)
SCHEMAS = {
    "checkpoints": pa.schema(
        {
            "checkpoint_id": _text,
            "family": _text,
            "model": _text,
            "step": _int,
            "source": _text,
            "revision": _text,
            "commit_sha": _text,
            "content_id": _text,
            "hidden_size": pa.int32(),
            "layers": pa.int32(),
            "vocab_size": pa.int32(),
            "parameters": _int,
            "weight_bytes": _int,
        }
    ),
    "texts": pa.schema({"text_id": _text, "name": _text, "source": _text, "utf8_bytes": _int, "words": _int}),
    "measurements": pa.schema(
        {
            "measurement_id": _text,
            "checkpoint_id": _text,
            "measure": _text,
            "version": pa.int32(),
            "text_id": _text,
            "dtype": _text,
            "tokens": _int,
            "context_length": pa.int32(),
            "device": _text,
            "measured_at": pa.timestamp("us", tz="UTC"),
            "seconds": pa.float64(),
            "bytes_read": _int,
            "software": _text,
        }
    ),
    "scalars": pa.schema({"measurement_id": _text, "name": _text, "value": pa.float64()}),
    "series": pa.schema({"measurement_id": _text, "name": _text, "values": pa.list_(pa.float64())}),
}
KEYS = {"checkpoints": "checkpoint_id", "texts": "text_id", "measurements": "measurement_id"}
# Which rows belong to the chosen models; {models} is a list of 'family/model'.
_SELECT = {
    "checkpoints": "SELECT * FROM checkpoints WHERE family || '/' || model IN (SELECT unnest(?))",
    "measurements": "SELECT m.* FROM measurements m JOIN checkpoints c USING (checkpoint_id) "
    "WHERE family || '/' || model IN (SELECT unnest(?))",
}


def bundled(folder: Path) -> list[Path]:
    """The packs that come with the project, by name."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def fingerprint(pack: Path) -> str:
    """Hash of the pack's bytes."""
    with pack.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _arrow(connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[object] | None = None) -> pa.Table:
    return connection.sql(sql, params=parameters or []).to_arrow_table()


def save(connection: duckdb.DuckDBPyConnection, pack: Path, models: Sequence[str]) -> dict[str, int]:
    """Write all that is stored of the models ('family/model') to a pack; returns the rows of each table.

    Raises PackError when nothing is stored of them.
    """
    tables = {name: _arrow(connection, sql, [list(models)]) for name, sql in _SELECT.items()}
    if tables["measurements"].num_rows == 0:
        raise PackError(f"Nothing is stored of {', '.join(models)}; measure it before exporting.")
    connection.register("chosen", tables["measurements"])
    tables["texts"] = _arrow(connection, "SELECT * FROM texts WHERE text_id IN (SELECT text_id FROM chosen)")
    for name in ("scalars", "series"):
        sql = f"SELECT * FROM {name} WHERE measurement_id IN (SELECT measurement_id FROM chosen)"
        tables[name] = _arrow(connection, sql)
    ordered = {name: tables[name].cast(SCHEMAS[name]).sort_by(SCHEMAS[name].names[0]) for name in SCHEMAS}
    rows = {name: table.num_rows for name, table in ordered.items()}
    part = pack.with_name(pack.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST, json.dumps({"format": FORMAT, "models": sorted(models), "rows": rows}, indent=1))
        for name, table in ordered.items():
            buffer = io.BytesIO()
            pq.write_table(table, buffer, compression="zstd", compression_level=12)
            archive.writestr(f"{name}.parquet", buffer.getvalue())
    part.replace(pack)
    return rows


def _read(pack: Path) -> dict[str, pa.Table]:
    """The tables of a pack, checked against the schema. Only names known beforehand are opened: no path escapes."""
    try:
        with zipfile.ZipFile(pack) as archive:
            manifest = json.loads(archive.read(MANIFEST))
            if manifest.get("format") != FORMAT:
                raise PackError(f"{pack.name} has the format {manifest.get('format')}; this version reads {FORMAT}.")
            tables = {}
            for name, schema in SCHEMAS.items():
                if archive.getinfo(f"{name}.parquet").file_size > MAX_TABLE_BYTES:
                    raise PackError(f"{pack.name} is too large: its table {name} is over a gigabyte.")
                tables[name] = pq.read_table(io.BytesIO(archive.read(f"{name}.parquet"))).cast(schema)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, pa.ArrowException, AttributeError) as error:
        raise PackError(f"{pack.name} is no measurement pack or is damaged; export or download it again.") from error
    known = set(tables["measurements"]["measurement_id"].to_pylist())
    for name in ("scalars", "series"):
        if not known.issuperset(tables[name]["measurement_id"].to_pylist()):
            raise PackError(f"{pack.name} is damaged: its table {name} names measurements it does not hold.")
    return tables


def load(connection: duckdb.DuckDBPyConnection, pack: Path) -> int:
    """Add what a pack holds and the store does not, in one transaction; returns the measurements added.

    Raises PackError for a damaged pack; the store is then unchanged.
    """
    tables = _read(pack)
    connection.begin()
    connection.register("incoming", tables["measurements"])
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE added AS SELECT measurement_id FROM incoming "
        "WHERE measurement_id NOT IN (SELECT measurement_id FROM measurements)"
    )
    for name, table in tables.items():
        connection.register("incoming", table)
        if name in KEYS:
            connection.execute(f"INSERT OR IGNORE INTO {name} BY NAME SELECT * FROM incoming")
        else:
            connection.execute(
                f"INSERT INTO {name} BY NAME SELECT * FROM incoming "
                "WHERE measurement_id IN (SELECT measurement_id FROM added)"
            )
    connection.execute("INSERT OR REPLACE INTO packs VALUES (?, ?, now())", [pack.name, fingerprint(pack)])
    added = connection.execute("SELECT count(*) FROM added").fetchall()[0][0]
    connection.commit()
    return int(added)
