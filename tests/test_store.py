"""The store: schema, what is written, what a second writing leaves, which rows are current."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from store_rows import OTHER_TEXT, START, TEXT, anisotropy, checkpoint, empty_store, loss, measurement, spectrum

from saturation.errors import NotFiniteError, StoreError
from saturation.store import Store, migrations, queries


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return empty_store(tmp_path / "cache" / "store.duckdb")


def count(store: Store, table: str) -> int:
    return int(store.frame(f"SELECT count(*) FROM {table}").iloc[0, 0])


class TestMigrations:
    NAMES = tuple(name for name, _ in migrations.MIGRATIONS)

    def test_are_recorded_in_order(self, store: Store) -> None:
        store.ensure()
        assert tuple(store.frame("SELECT name FROM migrations ORDER BY name")["name"]) == self.NAMES
        assert list(self.NAMES) == sorted(set(self.NAMES))

    def test_a_second_start_changes_nothing(self, store: Store) -> None:
        store.add([spectrum()])
        before = store.frame("SELECT * FROM migrations"), store.signature()
        store.ensure()
        with store.write() as connection:
            migrations.migrate(connection)
        assert store.frame("SELECT * FROM migrations").equals(before[0])
        assert count(store, "measurements") == 1

    def test_a_start_that_has_nothing_to_do_does_not_write(self, store: Store) -> None:
        store.ensure()
        before = store.signature()
        store.ensure()
        queries.models(store)
        assert store.signature() == before

    def test_a_new_step_is_applied_once_to_an_old_file(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.add([spectrum()])
        calls: list[str] = []

        def m999_note(connection: duckdb.DuckDBPyConnection) -> None:
            calls.append("m999_note")
            connection.execute("CREATE TABLE notes (note VARCHAR)")

        monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, ("m999_note", m999_note)])
        store.ensure()
        store.ensure()
        assert calls == ["m999_note"]
        assert (count(store, "notes"), count(store, "measurements")) == (0, 1)

    def test_a_step_that_fails_leaves_no_half_of_it(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.ensure()

        def m999_broken(connection: duckdb.DuckDBPyConnection) -> None:
            connection.execute("CREATE TABLE notes (note VARCHAR)")
            connection.execute("SELECT nonsense")

        monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, ("m999_broken", m999_broken)])
        with pytest.raises(StoreError, match="nonsense"):
            store.ensure()
        with store.read() as connection:
            assert migrations.applied(connection) == set(self.NAMES)
            assert connection.execute("FROM duckdb_tables() WHERE table_name = 'notes'").fetchall() == []


class TestWriting:
    def test_what_was_written_is_read(self, store: Store) -> None:
        item = replace(
            anisotropy(),
            scalars={"anisotropy": 0.1 + 0.2, "perplexity": math.inf, "tiny": 5e-324},
            labels={"top_tokens": ["a", "", "ß"]},
        )
        assert store.add([item, spectrum()]) == 2
        held = store.load([item.measurement_id, "nothing"])
        assert held == {
            item.measurement_id: {
                "measured_at": START,
                "seconds": 1.5,
                "bytes_read": 40,
                "device": "cpu",
                "software": "saturation, torch",
                "scalars": {"anisotropy": 0.1 + 0.2, "perplexity": math.inf, "tiny": 5e-324},
                "series": {"layers": [0.1, 0.2, 0.3, 0.4], "centred_layers": [0.01, 0.02, 0.03, 0.04]},
                "labels": {"top_tokens": ["a", "", "ß"]},
            }
        }
        assert replace(item, **held[item.measurement_id]) == item

    def test_twice_leaves_one_the_newer(self, store: Store) -> None:
        store.add([spectrum(entropy=0.5), loss()])
        again = measurement(minute=5, scalars={"singular_entropy": 0.7}, series={"singular_values": [9.0]})
        store.add([again])
        tables = ("checkpoints", "texts", "measurements", "scalars", "series")
        assert [count(store, name) for name in tables] == [1, 1, 2, 1 + 2, 1]
        held = store.load([again.measurement_id])[again.measurement_id]
        assert (held["scalars"], held["series"]) == ({"singular_entropy": 0.7}, {"singular_values": [9.0]})
        assert held["measured_at"] == START.replace(minute=5)

    def test_twice_in_one_call_leaves_one(self, store: Store) -> None:
        store.add([spectrum(), spectrum()])
        assert [count(store, name) for name in ("measurements", "scalars", "series")] == [1, 1, 2]

    def test_nothing(self, store: Store) -> None:
        assert store.add([]) == 0
        assert not store.path.exists()

    @pytest.mark.parametrize(
        "values", [{"scalars": {"a": 1.0, "b": math.nan}}, {"series": {"a": [1.0], "b": [2.0, math.nan]}}]
    )
    def test_nan_is_refused(self, values: dict[str, Any]) -> None:
        with pytest.raises(NotFiniteError, match="The measure spectrum gave no number for b; it was not stored"):
            measurement(**values)

    def test_a_failure_in_the_middle_writes_nothing(self, store: Store) -> None:
        store.add([spectrum()])
        with pytest.raises(StoreError, match=r"The store store\.duckdb failed: .*NOT NULL.*device"):
            store.add([loss(), measurement(measure="loss", device=None)])
        assert [count(store, name) for name in ("texts", "measurements", "scalars")] == [0, 1, 1]

    def test_the_signature_follows_every_write(self, store: Store) -> None:
        signatures = [store.signature()]
        for item in (spectrum(), loss(), spectrum(minute=1)):
            store.add([item])
            signatures.append(store.signature())
        assert len(set(signatures)) == 4


class TestIds:
    BASE = loss()

    @pytest.mark.parametrize(
        "change",
        [
            {"checkpoint": checkpoint(content_id="sha256:new")},
            {"checkpoint": checkpoint(source="/elsewhere")},
            {"checkpoint": checkpoint(step=2)},
            {"checkpoint": checkpoint(model="run~2")},
            {"checkpoint": checkpoint(family="lab")},
            {"measure": "anisotropy"},
            {"version": 2},
            {"text": OTHER_TEXT},
            {"text": None},
            {"dtype": "float64"},
            {"tokens": 8},
            {"context_length": 5},
            {"inputs": "sha256:tokens"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_follow_everything_that_a_value_depends_on(self, change: dict[str, Any]) -> None:
        assert replace(self.BASE, **change).measurement_id != self.BASE.measurement_id

    @pytest.mark.parametrize(
        "change",
        [
            {"device": "cuda:0"},
            {"seconds": 9.0},
            {"measured_at": START.replace(minute=9)},
            {"software": "other"},
            {"text": replace(TEXT, name="renamed")},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_follow_nothing_else(self, change: dict[str, Any]) -> None:
        assert replace(self.BASE, **change).measurement_id == self.BASE.measurement_id


class TestWhatIsCurrent:
    def test_new_weights_in_the_same_folder(self, store: Store) -> None:
        old, new = checkpoint(content_id="sha256:old"), checkpoint(content_id="sha256:new")
        store.add([spectrum(old, entropy=0.1), loss(old, nats=1.0)])
        store.add([spectrum(new, entropy=0.2, minute=1)])
        assert count(store, "checkpoints") == 2
        found = queries.trajectory(store, "local")
        assert found["singular_entropy"].tolist() == [0.2]
        assert found["nats_per_token"].isna().tolist() == [True]  # a loss of the old weights is none of the new
        assert queries.provenance(store, "local")["content_id"].tolist() == ["sha256:new"]

    @pytest.mark.parametrize(
        ("kept", "other"),
        [
            ({"version": 2}, {"version": 1, "minute": 5}),
            ({"tokens": 9}, {"tokens": 5, "minute": 5}),
            ({"context_length": 4}, {"context_length": 2, "minute": 5}),
            ({"dtype": "float32"}, {"dtype": "bfloat16", "minute": 5}),
            ({"inputs": "a", "minute": 5}, {"inputs": "b", "minute": 4}),
        ],
        ids=["version", "tokens", "window", "dtype", "time"],
    )
    def test_of_two_measurements(self, store: Store, kept: dict[str, Any], other: dict[str, Any]) -> None:
        store.add([loss(nats=1.0, **kept), loss(nats=2.0, **other)])
        assert queries.trajectory(store, "local")["nats_per_token"].tolist() == [1.0]
        assert len(queries.provenance(store, "local")) == 1

    def test_a_doubt_is_marked_and_taken_back(self, store: Store) -> None:
        store.add([spectrum(checkpoint(step=step)) for step in (1, 2)])
        store.mark("local", "run~1", {2: "same weights as step 1"})
        assert queries.trajectory(store, "local")["doubtful"].tolist()[1] == "same weights as step 1"
        store.add([spectrum(checkpoint(step=2), minute=3)])  # measuring again does not settle a doubt
        assert queries.spectra(store, "local", "run~1")["doubtful"].tolist()[1] == "same weights as step 1"
        store.mark("local", "run~1", {})
        assert queries.trajectory(store, "local")["doubtful"].isna().all()
