"""A damaged store: kept aside whole, replaced by a new one with all that can still be read of it.

DuckDB checks every block that it reads, so that damage shows as an error of a few kinds and never as a wrong number.
"""

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from filelock import FileLock

from saturation.errors import StoreError
from saturation.store import migrations, summary
from saturation.store.tables import OF_MEASUREMENTS

log = logging.getLogger(__name__)
# What DuckDB says of a damaged file; a lock, a full disk or a file of a newer version are told in other words.
DAMAGE = re.compile(
    r"not a valid DuckDB database file|Could not read enough bytes|Corrupt database file|Failure while replaying WAL"
)
ATTEMPTS, PAUSE_SECONDS = 5, 0.1
# A vector of DuckDB: what one damaged block costs at least.
CHUNK_ROWS = 2048
# Not `packs`: what came from packs is read from them again.
PLAIN = ("checkpoints", "texts", "doubts", "evaluations", "ngrams", "playground", "jobs", "requests", "request_jobs")


@dataclass(frozen=True)
class Notice:
    """What was done about a damaged store: the file that was kept, and how many measurements could be read of it."""

    kept: str
    recovered: int
    lost: int | None
    at: str

    def sentence(self) -> str:
        """What a reader should know."""
        lost = "an unknown number was" if self.lost is None else f"{self.lost:,} were"
        return (
            f"The store was damaged and is kept as {Path(self.kept).name}; {self.recovered:,} measurements were "
            f"recovered into a new one and {lost} lost: bundled results are read again, for others run the same sweep."
        )


def is_damage(error: BaseException) -> bool:
    """Whether an error of DuckDB says that the file itself is damaged."""
    return DAMAGE.search(str(error)) is not None


def repair(path: Path, file_number: int | None, opened: bool) -> Notice | None:
    """Keep a damaged store aside and put a new one of what can be read in its place.

    file_number: of the file (`st_ino`) in which the damage was seen. opened: whether it could be opened at all. None
    where there is nothing to do any more: another process has replaced it, or had only begun to make it.
    Raises StoreError where the folder cannot be written.
    """
    try:
        with FileLock(path.with_suffix(".repair.lock")):
            if _file_number(path) != file_number or (not opened and _can_be_opened(path)):
                return None
            now = datetime.now(UTC)
            kept, part = _free_name(path, now), path.with_suffix(".new")
            part.unlink(missing_ok=True)
            os.link(path, kept)
            log_file = Path(f"{path}.wal")
            if log_file.exists():
                log_file.rename(Path(f"{kept}.wal"))
            recovered, lost = _salvage(kept, part)
            part.replace(path)  # in one step: whoever opens the store meanwhile finds the one or the other
            notice = Notice(str(kept), recovered, lost, now.isoformat())
            kept.with_suffix(".json").write_text(json.dumps(asdict(notice)), encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"The store {path} is damaged and cannot be replaced ({error.strerror}); free some space, or move the file "
            "away."
        ) from error
    log.warning(notice.sentence())
    return notice


def _file_number(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _can_be_opened(path: Path) -> bool:
    """Whether the file opens after all, or another process has it: one that is just being made is no damaged one."""
    for _ in range(ATTEMPTS):
        try:
            duckdb.connect(str(path), read_only=True).close()
        except duckdb.Error as error:
            if not is_damage(error):
                return True
            time.sleep(PAUSE_SECONDS)
        else:
            return True
    return False


def notices(path: Path) -> list[tuple[Path, Notice]]:
    """What was done about damage to this store and nobody has dismissed yet, with the file that says so."""
    found = []
    for file in sorted(path.parent.glob(f"{path.stem}.damaged-*.json")):
        with suppress(OSError, ValueError, TypeError):
            found.append((file, Notice(**json.loads(file.read_text(encoding="utf-8")))))
    return found


def _free_name(path: Path, now: datetime) -> Path:
    """A name that no file has: what is kept is never written over."""
    stamp, number = now.strftime("%Y%m%dT%H%M%SZ"), 1
    while True:
        kept = path.with_name(f"{path.stem}.damaged-{stamp}{'' if number == 1 else f'-{number}'}{path.suffix}")
        if not kept.exists():
            return kept
        number += 1


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    rows = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'main' AND table_name IN "
        "(SELECT table_name FROM duckdb_tables()) ORDER BY column_index"
    ).fetchall()
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(column)
    return found


def _salvage(kept: Path, new: Path) -> tuple[int, int | None]:
    """Fill a new store from what can be read of a damaged one: measurements recovered and, where known, lost."""
    with duckdb.connect(str(new)) as connection:
        migrations.migrate(connection)
        columns = _columns(connection)
        for table in PLAIN:
            for chunk, _ in _chunks(kept, table, columns[table]):
                if chunk is not None and chunk.num_columns > 1:
                    _insert(connection, table, chunk)
        measured, doubtful, total = _measurements(kept, columns)
        whole = set(measured["measurements"]["measurement_id"].to_pylist()) if "measurements" in measured else set()
        whole -= doubtful
        for table, rows in measured.items():
            keep = pa.array([key in whole for key in rows["measurement_id"].to_pylist()], type=pa.bool_())
            _insert(connection, table, rows.filter(keep))
        # A measurement without its checkpoint says nothing.
        for table in ("measurements", *OF_MEASUREMENTS):
            connection.execute(
                f"DELETE FROM {table} WHERE measurement_id NOT IN "
                "(SELECT measurement_id FROM measurements JOIN checkpoints USING (checkpoint_id))"
            )
        connection.execute(
            "UPDATE measurements SET of_family = c.family FROM checkpoints c "
            "WHERE c.checkpoint_id = measurements.checkpoint_id"
        )
        for table in OF_MEASUREMENTS:  # a store of before had no families there
            connection.execute(
                f"UPDATE {table} SET of_family = m.of_family FROM measurements m "
                f"WHERE m.measurement_id = {table}.measurement_id"
            )
        summary.refresh_all(connection)
        recovered = int(connection.execute("SELECT count(*) FROM measurements").fetchall()[0][0])
    return recovered, None if total is None else total - recovered


def _measurements(kept: Path, columns: dict[str, list[str]]) -> tuple[dict[str, pa.Table], set[str], int | None]:
    """Rows by table, the ids of which some rows may be missing, and how many measurements there were, if known."""
    found: dict[str, pa.Table] = {}
    doubtful: set[str] = set()
    blind: set[str] = set()  # tables with a gap of which nobody knows whose rows it held
    total: int | None = None
    for table in ("measurements", *OF_MEASUREMENTS):
        chunks: list[pa.Table] = []
        for chunk, count in _chunks(kept, table, columns[table]):
            total = count if table == "measurements" else total
            if chunk is None:
                blind.add(table)
            elif chunk.num_columns == 1:  # all that is left of these rows is whose they were
                doubtful |= set(chunk["measurement_id"].to_pylist())
            else:
                chunks.append(chunk)
                ids = chunk["measurement_id"].to_pylist()
                # Rows of one measurement lie together: those beside a gap may be incomplete.
                doubtful |= {ids[0], ids[-1]} if table in blind and ids else set()
        if chunks:
            found[table] = pa.concat_tables(chunks)
    if "measurements" not in found:
        return {}, doubtful, total
    kinds = dict(zip(*(found["measurements"][name].to_pylist() for name in ("measurement_id", "measure")), strict=True))
    for table in blind - {"measurements"}:
        having = set(found[table]["measurement_id"].to_pylist()) if table in found else set()
        # None of the rows that others of the same measure have: they lay in the gap.
        measures = {kinds[key] for key in having if key in kinds} if having else set(kinds.values())
        doubtful |= {key for key, measure in kinds.items() if measure in measures and key not in having}
    return found, doubtful, total


def _chunks(kept: Path, table: str, columns: list[str]) -> Iterator[tuple[pa.Table | None, int | None]]:
    """The rows of a table chunk by chunk, and how many rows the table has.

    Of a chunk that cannot be read its measurements' ids alone, None where not even they can be.
    """
    try:
        with duckdb.connect(str(kept), read_only=True) as connection:
            held = _columns(connection).get(table, [])
            count = int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]) if held else 0
    except duckdb.Error:
        yield None, None
        return
    names = [f'"{name}"' for name in columns if name in held]
    for start in range(0, count, CHUNK_ROWS):
        chunk = _read(kept, table, names, start)
        if chunk is None and "measurement_id" in held:
            chunk = _read(kept, table, ["measurement_id"], start)
        yield chunk, count


def _read(kept: Path, table: str, names: list[str], start: int) -> pa.Table | None:
    """Columns of CHUNK_ROWS rows. An error may spoil the connection, so that each chunk has its own."""
    try:
        with duckdb.connect(str(kept), read_only=True) as connection:
            sql = f"SELECT {', '.join(names)} FROM {table} WHERE rowid >= {start} AND rowid < {start + CHUNK_ROWS}"
            return connection.sql(sql).to_arrow_table()
    except duckdb.Error:
        return None


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    connection.register("salvaged", rows)
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM salvaged")
    connection.unregister("salvaged")
