"""Free SQL: what reads is answered, everything else is refused in one sentence, and nobody waits for it."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import saturation
from store_rows import anisotropy, checkpoint, empty_store, evaluation, loss, spectrum

from saturation.errors import QueryError
from saturation.store import Store, console, console_child, queries
from saturation.store.console_tables import TABLES, examples
from saturation.store.taken import csv_of, parquet_of

QUICK = console.Limits(seconds=0.8, memory=2**30, rows=1000, bytes=2**20)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = empty_store(tmp_path_factory.mktemp("console") / "measurements.duckdb")
    rows = [checkpoint("a~1", step) for step in (5, 10)]
    store.add([row for item in rows for row in (spectrum(item), anisotropy(item), loss(item, nats=float(item.step)))])
    store.add_evaluations([evaluation("a~1", 5)])
    return store


@pytest.fixture(scope="module")
def copy(store: Store) -> Path:
    """The copy that queries run on."""
    console.ask(store, "SELECT 1")
    return next((store.path.parent / "console").glob("plain-*.duckdb"))


def inside(copy: Path, sql: str) -> pa.Table:
    """What the process of a query does, in this one: a start of Python costs more than most queries."""
    request = vars(QUICK) | {"path": str(copy), "sql": sql, "tables": sorted(TABLES)}
    return console_child.plain(console_child.answer(request)[0])


def asked(store: Store, sql: str, places: bool = False) -> list[tuple]:
    return [tuple(row.values()) for row in console.ask(store, sql, QUICK, places).table.to_pylist()]


def refused(store: Store, sql: str) -> str:
    with pytest.raises(QueryError) as found:
        console.ask(store, sql, QUICK)
    message = str(found.value)
    assert "\n" not in message
    assert str(store.path.parent) not in message
    return message


class TestAnswers:
    def test_numbers_along_training(self, store: Store) -> None:
        sql = "SELECT step, singular_entropy, anisotropy, nats_per_token FROM trajectory ORDER BY step"
        assert asked(store, sql) == [(5, 0.5, 0.4, 5.0), (10, 0.5, 0.4, 10.0)]

    def test_the_table_along_training_is_the_query_of_the_pages(self, store: Store) -> None:
        along = console.ask(store, "SELECT * FROM trajectory").table.to_pandas()
        drawn = queries.trajectory(store, "local")
        both = [name for name in along if name in drawn and name not in ("text_name", "doubtful")]
        pd.testing.assert_frame_equal(along[both], drawn[both], check_dtype=False)

    def test_tables_are_described_as_they_are(self, copy: Path) -> None:
        for name, (_, columns) in TABLES.items():
            assert inside(copy, f"DESCRIBE {name}")["column_name"].to_pylist() == list(columns), name

    def test_every_example_runs(self, copy: Path) -> None:
        answers = {title: inside(copy, sql) for title, sql in examples("local", "a~1", "sciq").items()}
        assert answers["Best loss by model"].to_pylist()[0]["worse_by_percent"] == pytest.approx(100.0)
        assert answers["Evaluations of a task"].num_rows == 1
        assert answers["Anisotropy by layer at the last step"]["anisotropy"].to_pylist() == [0.1, 0.2, 0.3, 0.4]

    def test_names_in_examples_are_quoted(self) -> None:
        assert "family = 'o''x' AND model = '''; --'" in examples("o'x", "'; --")["Singular entropy along a run"]

    def test_what_is_written_later_is_found(self, tmp_path: Path) -> None:
        store = empty_store(tmp_path / "measurements.duckdb")
        for step in (1, 2):
            store.add([spectrum(checkpoint(step=step))])
            assert asked(store, "SELECT count(*) FROM measurements") == [(step,)]
        assert len(list((tmp_path / "console").glob("*.duckdb"))) == 1

    def test_a_query_keeps_its_copy_while_others_are_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, run = empty_store(tmp_path / "measurements.duckdb"), console._run
        store.add([spectrum(checkpoint(step=1))])

        def late(copy: Path, sql: str, limits: console.Limits) -> object:
            monkeypatch.setattr(console, "_run", run)
            store.add([spectrum(checkpoint(step=2))])
            assert asked(store, sql) == [(2,)]
            return run(copy, sql, limits)

        monkeypatch.setattr(console, "_run", late)
        assert asked(store, "SELECT count(*) FROM checkpoints") == [(1,)]

    def test_families_that_a_visitor_does_not_see(self, tmp_path: Path) -> None:
        store = empty_store(tmp_path / "measurements.duckdb")
        store.add([spectrum(checkpoint(family="local", step=1)), spectrum(checkpoint(family="lab", step=2))])

        tables = ("checkpoints", "measurements", "trajectory", "current_measurements", "scalars")
        counts = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in tables)
        scalars = []
        for without, each in (((), 2), (("live", "local"), 1)):
            found = console.ask(store, counts, without=without).table.to_pylist()[0]
            scalars.append(found.pop("scalars"))
            assert set(found.values()) == {each}
        assert scalars[0] == 2 * scalars[1] > 0
        rows = console.ask(store, "SELECT DISTINCT family FROM trajectory", without=("local",)).table
        assert rows.to_pylist() == [{"family": "lab"}]

    def test_kinds_that_a_table_does_not_know_come_as_text(self, copy: Path) -> None:
        found = inside(copy, "SELECT 1.5 AS a, {'x': 1} AS b, sum(step) AS c, 1 AS a FROM checkpoints")
        assert found.to_pylist() == [{"a": 1.5, "b": "{'x': 1}", "c": 15.0, "a_2": 1}]

    def test_rows_are_bounded(self, store: Store) -> None:
        found = console.ask(store, "FROM range(100000)", QUICK)
        assert (found.table.num_rows, found.cut) == (1000, True)

    def test_bytes_are_bounded(self, copy: Path) -> None:
        assert inside(copy, "SELECT repeat('x', 10000) FROM range(90000)").nbytes <= QUICK.bytes

    def test_to_take_away(self) -> None:
        table = pa.table({"a": [1, None], "b": [[0.5, 1.0], None], "c": ["ä,b", ""]})
        assert csv_of(table) == 'a,b,c\n1,"[0.5, 1.0]","ä,b"\n,,\n'
        assert pq.read_table(pa.BufferReader(parquet_of(table))).equals(table)


READS_FILES = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM glob('{file}')",
    "SELECT * FROM '{file}'",
    'SELECT * FROM "{file}"',
    "SELECT 1 WHERE EXISTS (FROM read_text('{file}'))",
    "WITH a AS MATERIALIZED (FROM read_text('{file}')) FROM a",
    "SELECT * FROM query('FROM read_text(''{file}'')')",
    "SELECT * FROM query_table('{file}')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{file}'')'))",
    "DESCRIBE SELECT * FROM read_csv('{file}')",
    "SUMMARIZE '{file}'",
]
TELLS = [
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM main.pragma_database_list",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM sqlite_master",
    "SHOW DATABASES",
    "SHOW ALL TABLES",
    "SELECT current_setting('allowed_paths')",
    "SELECT getenv('HOME')",
    "SELECT * FROM histogram('pragma_database_list', path)",
    "WITH pragma_database_list AS (SELECT 1) SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_database_list, (WITH pragma_database_list AS (SELECT 1) SELECT 1)",
    "SELECT * FROM jobs",
    "SELECT * FROM requests",
    "SELECT * FROM packs",
]
WRITES = [
    "COPY texts TO '{file}'",
    "COPY (SELECT 1) TO '{file}' (FORMAT parquet)",
    "EXPORT DATABASE '{file}'",
    "ATTACH '{file}' AS x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET memory_limit = '64GB'",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL enable_logging()",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE MACRO f(x) AS x",
    "INSERT INTO texts SELECT * FROM texts",
    "UPDATE texts SET name = 'x'",
    "DELETE FROM measurements",
    "DROP TABLE measurements",
    "WITH a AS (DELETE FROM texts RETURNING *) FROM a",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE x AS SELECT 1",
    "EXECUTE x",
    "CHECKPOINT",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE texts",
    "SELECT 1 /* ; */; -- \n DROP TABLE texts",
    "SELECT write_log('x')",
    "SELECT nextval('x')",
]
# These change nothing outside of the query's own process, or nothing at all.
HARMLESS = ("PRAGMA", "CALL", "EXPLAIN", "PREPARE", "CREATE TEMP", "CHECKPOINT", "SELECT write_log", "SELECT 1")


class TestAttacks:
    @pytest.fixture(autouse=True)
    def secret(self, tmp_path: Path) -> Iterator[Path]:
        file = tmp_path / "secret.csv"
        file.write_text("secret\n42\n")
        yield file
        assert os.listdir(tmp_path) == ["secret.csv"]
        assert file.read_text() == "secret\n42\n"

    @pytest.mark.parametrize("sql", [*READS_FILES, *TELLS, *WRITES])
    def test_nothing_but_reading_tables(self, copy: Path, secret: Path, sql: str) -> None:
        with pytest.raises((console_child.Refused, duckdb.ParserException)) as found:
            inside(copy, sql.replace("{file}", str(secret)))
        assert "42" not in str(found.value)

    @pytest.mark.parametrize("sql", [*READS_FILES, *(sql for sql in WRITES if not sql.startswith(HARMLESS))])
    def test_nor_without_the_reading_of_the_query(
        self, copy: Path, secret: Path, sql: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The database itself refuses what the check of the parse tree might miss."""
        monkeypatch.setattr(console_child, "check", lambda *_: None)
        with pytest.raises(duckdb.Error):
            inside(copy, sql.replace("{file}", str(secret)))

    def test_refusals_in_the_process_of_a_query(self, store: Store, secret: Path) -> None:
        assert "read_text is not available" in refused(store, f"SELECT * FROM read_text('{secret}')")
        assert "Only one query" in refused(store, f"COPY texts TO '{secret}'")

    @pytest.mark.parametrize(
        ("sql", "said"),
        [
            ("SELECT count(*) FROM range(1000000) a, range(1000000) b", "took more than 0.8 s"),
            ("SELECT sleep_ms(60000)", "took more than 0.8 s"),
            ("SELECT len(range(1000000000))", "needs more than 1 GB"),  # outside of DuckDB's own limit
            ("SELECT list(range || repeat('x', 1000)) FROM range(10000000)", "needs more than 1 GB"),
        ],
    )
    def test_what_takes_too_much_is_ended(self, store: Store, sql: str, said: str) -> None:
        start = time.monotonic()
        assert said in refused(store, sql)
        assert time.monotonic() - start < 8

    @pytest.mark.parametrize(
        ("sql", "said"),
        [
            ("", "There is no query"),
            ("SELEC 1", "syntax error"),
            ("SELECT nope FROM texts", 'Referenced column "nope" not found'),
            ("SELECT * FROM nowhere", "There is no table 'nowhere' here"),
            ("SELECT '" + "x" * 20_000 + "'", "longer than 20,000 signs"),
            ("SELECT 1\0", "no text"),
            ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "error"),
            ("SELECT error('" + "x" * 5000 + "')", "…"),
        ],
    )
    def test_errors_are_one_sentence(self, store: Store, sql: str, said: str) -> None:
        message = refused(store, sql)
        assert said in message
        assert len(message) < 400

    def test_writers_do_not_wait_for_a_query(self, store: Store) -> None:
        asked(store, "SELECT 1")
        slow = threading.Thread(target=refused, args=(store, "SELECT sleep_ms(60000)"))
        slow.start()
        time.sleep(0.4)
        start = time.monotonic()
        with store.write() as connection:
            connection.execute("SELECT 1")
        assert time.monotonic() - start < 0.5
        assert slow.is_alive()
        slow.join()

    def test_places_are_shown_only_where_they_may_be(self, store: Store) -> None:
        sql = "SELECT DISTINCT source FROM checkpoints ORDER BY 1"
        assert asked(store, sql, places=True) == [("/somewhere/a~1/10",), ("/somewhere/a~1/5",)]
        assert asked(store, sql) == [("10",), ("5",)]


def test_by_the_command_line(store: Store) -> None:
    def run(*arguments: object) -> object:
        return saturation("--cache", store.path.parent, "sql", *arguments)

    sql = "SELECT model, step, 0.0/0 AS x, ['a'] AS words FROM trajectory WHERE family = 'local' ORDER BY step"
    assert run(sql, "--csv").stdout.splitlines()[:2] == ["model,step,x,words", 'a~1,5,,"[""a""]"']
    found = run(sql, "--json").json
    assert found["columns"] == ["model", "step", "x", "words"]
    assert found["rows"][:1] == [["a~1", 5, None, ["a"]]]
    assert run("DROP TABLE texts").sentence.startswith("Only one query at a time is answered")
    assert "singular_entropy" in run("--tables").stdout
    assert run().code == 2
