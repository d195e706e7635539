"""The store: created on first use, filled from the bundled packs, written in whole transactions."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from threading import get_ident
from typing import Any, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from saturation.errors import DamagedStoreError, StoreError
from saturation.settings import BUNDLED
from saturation.store import migrations, packs, recovery, summary
from saturation.store.connection import WAIT_SECONDS, connect
from saturation.store.records import Evaluation, Measurement, NgramCurve, PlaygroundRow
from saturation.store.tables import INSERT_VALUES, OF_MEASUREMENTS, PLAIN_COLUMNS, SCHEMAS, UNIQUE

Row = TypeVar("Row", NgramCurve, PlaygroundRow)


class Store:
    """One DuckDB file. Holds no connection: each call opens, works and closes (see `connection`, and `together`)."""

    def __init__(self, path: Path, wait_seconds: float = WAIT_SECONDS, bundled: Path = BUNDLED / "packs") -> None:
        self.path = Path(path)
        self.wait_seconds = wait_seconds
        self.bundled = bundled
        self._ensured: tuple[object, ...] | None = None  # the state that is known to be up to date
        self._shared: dict[int, duckdb.DuckDBPyConnection] = {}  # by thread, inside `together`

    def read(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A read-only connection for one query."""
        if (shared := self._shared.get(get_ident())) is not None:
            return nullcontext(shared)
        if not self.path.exists():
            self.ensure()
        return self._connection(read_only=True)

    def write(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection for one write; all other processes wait meanwhile."""
        if (shared := self._shared.get(get_ident())) is not None:
            return nullcontext(shared)
        return self._connection(read_only=False)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What this thread reads and writes inside goes over one connection: the file is locked and opened once.

        Each write still is a transaction of its own.
        """
        with self._connection(read_only=False) as connection:
            self._shared[get_ident()] = connection
            try:
                yield
            finally:
                del self._shared[get_ident()]

    @contextmanager
    def _connection(self, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to a sound file: one that shows damage is replaced on the spot (see `recovery`).

        Raises DamagedStoreError where the damage showed in the middle of a query; the next one finds the new store.
        """
        with ExitStack() as stack:
            number = self._file_number()
            try:
                connection = stack.enter_context(connect(self.path, read_only, self.wait_seconds))
            except DamagedStoreError:
                recovery.repair(self.path, number, opened=False)
                self.ensure()
                connection = stack.enter_context(connect(self.path, read_only, self.wait_seconds))
            try:
                yield connection
            except duckdb.Error as error:
                if not recovery.is_damage(error):
                    raise
                stack.close()
                notice = recovery.repair(self.path, number, opened=True)
                self.ensure()
                what = notice.sentence() if notice else "The store was damaged and has been replaced."
                raise DamagedStoreError(f"{what} Ask again.") from error

    def _file_number(self) -> int | None:
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return None

    def ensure(self) -> None:
        """Create the file, bring its schema up to date and import bundled packs it has not seen.

        Done once for a file and its packs: whoever makes another file in its place does the same.
        """
        if self._ensured is not None and self._state() == self._ensured:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The folder {self.path.parent} cannot be made ({error.strerror}).") from error
        wanted = {pack.name: packs.fingerprint(pack) for pack in packs.bundled(self.bundled)}
        if not (self.path.exists() and self._up_to_date(wanted)):
            self._bring_up_to_date(wanted)
        self._ensured = self._state()

    def _state(self) -> tuple[object, ...] | None:
        """What `ensure` depends on, told without reading a byte; None where there is no file."""
        try:
            stats = [(pack.name, stat.st_mtime_ns, stat.st_size) for pack, stat in self._packs()]
            return self.path.stat().st_ino, len(migrations.MIGRATIONS), *stats
        except FileNotFoundError:
            return None

    def _packs(self) -> list[tuple[Path, os.stat_result]]:
        return [(pack, pack.stat()) for pack in packs.bundled(self.bundled)]

    def _bring_up_to_date(self, wanted: dict[str, str]) -> None:
        with self.write() as connection:
            migrations.migrate(connection)
            held = dict(connection.execute("SELECT name, sha256 FROM packs").fetchall())
            for pack in packs.bundled(self.bundled):
                if held.get(pack.name) != wanted[pack.name]:
                    packs.load(connection, pack)

    def _up_to_date(self, wanted: dict[str, str]) -> bool:
        with self._connection(read_only=True) as connection:
            if migrations.applied(connection) < {name for name, _ in migrations.MIGRATIONS}:
                return False
            held = dict(connection.execute("SELECT name, sha256 FROM packs").fetchall())
        return all(held.get(name) == digest for name, digest in wanted.items())

    def signature(self) -> tuple[int, ...]:
        """Changes whenever anything was written: time and size of the file and of its write-ahead log."""
        parts: list[int] = []
        for path in (self.path, Path(f"{self.path}.wal")):
            try:
                stat = os.stat(path)
            except FileNotFoundError:
                parts += [0, 0]
            else:
                parts += [stat.st_mtime_ns, stat.st_size]
        return tuple(parts)

    def frame(self, sql: str, parameters: list[Any] | dict[str, Any] | None = None) -> pd.DataFrame:
        """The result of one read-only query."""
        with self.read() as connection:
            return connection.execute(sql, parameters or []).df()

    def add(self, measured: Iterable[Measurement]) -> int:
        """Write measurements with their checkpoints and texts in one transaction; returns how many.

        Writing the same measurement twice leaves one: the newer.
        """
        rows = list(measured)
        if not rows:
            return 0
        self.ensure()
        with self.write() as connection:
            connection.begin()
            write_measurements(connection, rows)
            connection.commit()
        return len(rows)

    def add_evaluations(self, results: Iterable[Evaluation]) -> int:
        """Write results of an evaluation harness in one transaction, a newer over an older; returns how many."""
        key = UNIQUE["evaluations"]
        return self._add("evaluations", {tuple(getattr(row, name) for name in key): asdict(row) for row in results})

    def add_ngrams(self, curves: Iterable[NgramCurve]) -> int:
        """Write W-error curves of n-gram matrices in one transaction, a newer over an older; returns how many."""
        return self._add("ngrams", {row.curve_id: {"curve_id": row.curve_id, **asdict(row)} for row in curves})

    def ngram(self, curve_id: str) -> NgramCurve | None:
        """The curve of this id, None where the store has none."""
        return next(iter(self._held("ngrams", NgramCurve, [curve_id]).values()), None)

    def add_playground(self, rows: Iterable[PlaygroundRow]) -> int:
        """Write trained widths in one transaction, a newer over an older; returns how many."""
        return self._add("playground", {row.row_id: {"row_id": row.row_id, **asdict(row)} for row in rows})

    def playground(self, row_ids: Iterable[str]) -> dict[str, PlaygroundRow]:
        """Of the ids that the store holds: the trained width."""
        return self._held("playground", PlaygroundRow, list(row_ids))

    def _add(self, table: str, rows: Mapping[Any, dict[str, Any]]) -> int:
        """Write rows, by what each is known by, in one transaction; of two of one key the later counts."""
        if rows:
            self.ensure()
            with self.write() as connection:
                connection.begin()
                _upsert(connection, table, pa.Table.from_pylist(list(rows.values()), schema=SCHEMAS[table]))
                connection.commit()
        return len(rows)

    def _held(self, table: str, kind: type[Row], ids: list[str]) -> dict[str, Row]:
        self.ensure()
        key = UNIQUE[table][0]
        with self.read() as connection:
            found = connection.sql(f"SELECT * FROM {table} WHERE {key} IN (SELECT unnest(?))", params=[ids])
            rows = found.to_arrow_table().cast(SCHEMAS[table]).to_pylist()
        return {row.pop(key): kind(**row) for row in rows}

    def mark(self, family: str, model: str, doubtful: Mapping[int, str]) -> None:
        """Replace what is held to be wrong with a model's checkpoints: step -> reason, as an audit found it."""
        self.ensure()
        with self.write() as connection:
            connection.begin()
            connection.execute("DELETE FROM doubts WHERE family = ? AND model = ?", [family, model])
            rows = [[family, model, step, reason] for step, reason in doubtful.items()]
            if rows:
                connection.executemany("INSERT OR REPLACE INTO doubts VALUES (?, ?, ?, ?)", rows)
            connection.commit()

    def load(self, measurement_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Of the ids that the store holds: when, how and at what cost it was measured, scalars, series and labels."""
        self.ensure()
        wanted = list(measurement_ids)
        inside = "WHERE measurement_id IN (SELECT unnest(?))"
        with self.read() as connection:
            rows = connection.execute(
                "SELECT measurement_id, epoch_us(measured_at), seconds, bytes_read, device, software "
                f"FROM measurements {inside}",
                [wanted],
            ).fetchall()
            values = {
                table: connection.execute(f"SELECT * EXCLUDE (of_family) FROM {table} {inside}", [wanted]).fetchall()
                for table in OF_MEASUREMENTS
            }
        names = ("measured_at", "seconds", "bytes_read", "device", "software")
        held: dict[str, dict[str, Any]] = {}
        for key, *rest in rows:
            held[key] = dict(zip(names, rest, strict=True)) | {table: {} for table in OF_MEASUREMENTS}
            held[key]["measured_at"] = datetime.fromtimestamp(held[key]["measured_at"] / 1e6, UTC)
        for table, found in values.items():
            for key, name, value in found:
                held[key][table][name] = value
        return held


def write_measurements(connection: duckdb.DuckDBPyConnection, rows: Sequence[Measurement]) -> None:
    """Write measurements with their checkpoints and texts inside the transaction that is open."""
    tables = _tables(rows)
    for name in ("checkpoints", "texts"):
        _upsert(connection, name, tables[name])
    connection.register("incoming", tables["measurements"])
    connection.execute(
        "INSERT OR REPLACE INTO measurements BY NAME "
        "SELECT i.*, (SELECT coalesce(max(written), 0) + 1 FROM measurements) AS written, c.family AS of_family "
        "FROM incoming i JOIN checkpoints c USING (checkpoint_id)"
    )
    connection.register("written", tables["measurements"])
    for name in OF_MEASUREMENTS:
        connection.register("incoming", tables[name])
        connection.execute(f"DELETE FROM {name} WHERE measurement_id IN (SELECT measurement_id FROM written)")
        connection.execute(INSERT_VALUES.format(table=name))
    summary.refresh(connection, {(row.checkpoint.family, row.checkpoint.model) for row in rows})


def _upsert(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    if table.num_rows == 0:
        return
    connection.register("incoming", table)
    connection.execute(f"INSERT OR REPLACE INTO {name} BY NAME SELECT * FROM incoming")


def _tables(rows: Sequence[Measurement]) -> dict[str, pa.Table]:
    """The rows of every table, as Arrow with the schema of the packs."""
    checkpoints = {row.checkpoint.checkpoint_id: row.checkpoint for row in rows}
    texts = {row.text.text_id: row.text for row in rows if row.text}
    measurements = {row.measurement_id: row for row in rows}
    columns: dict[str, list[dict[str, Any]]] = {
        "checkpoints": [{"checkpoint_id": key, **asdict(value)} for key, value in checkpoints.items()],
        "texts": [asdict(text) for text in texts.values()],
        "measurements": [
            {
                "measurement_id": key,
                "checkpoint_id": row.checkpoint.checkpoint_id,
                "text_id": row.text.text_id if row.text else None,
                **{name: getattr(row, name) for name in PLAIN_COLUMNS},
            }
            for key, row in measurements.items()
        ],
        "scalars": [
            {"measurement_id": key, "name": name, "value": float(value)}
            for key, row in measurements.items()
            for name, value in row.scalars.items()
        ],
        "series": [
            {"measurement_id": key, "name": name, "values": [float(value) for value in values]}
            for key, row in measurements.items()
            for name, values in row.series.items()
        ],
        "labels": [
            {"measurement_id": key, "name": name, "values": list(words)}
            for key, row in measurements.items()
            for name, words in row.labels.items()
        ],
    }
    return {name: pa.Table.from_pylist(columns[name], schema=SCHEMAS[name]) for name in columns}
