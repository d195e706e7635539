"""The table `models` says after every kind of write what all rows say."""

from pathlib import Path

import pytest
from store_rows import checkpoint, empty_store, loss, measurement, spectrum

from saturation.store import Store, migrations, packs, queries, queue, recovery, removal
from saturation.store.queue import Outcome
from saturation.store.store import write_measurements


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three families; of one step two weights, of which those with a spectrum were measured first."""
    store = empty_store(tmp_path / "store.duckdb")
    store.add([spectrum(checkpoint("a", step)) for step in (2, 10, 500)])
    store.add([loss(checkpoint("a", 10, content_id="sha256:new", source="elsewhere"))])
    store.add([spectrum(checkpoint("b", None, parameters=None)), loss(checkpoint("b", 7, hidden_size=8, layers=None))])
    store.add([spectrum(checkpoint("a", 3, family="pythia")), loss(checkpoint("a", 3, family="lab"))])
    return store


def counted(store: Store) -> dict[tuple[str, str], list[int]]:
    """Steps, those with a spectrum, first and last step of each model, by Python from the rows."""
    with store.read() as connection:
        rows = connection.execute("SELECT checkpoint_id, family, model, step FROM checkpoints").fetchall()
        of_rows = connection.execute(
            "SELECT checkpoint_id, measure, coalesce(written, -1), epoch_us(measured_at) FROM measurements"
        ).fetchall()
    known: dict[tuple[str, str], dict[int | None, tuple[tuple[int, int], bool]]] = {}
    # Of one step: the weights written last, else measured last, else the first by name, which come last here.
    for key, family, model, step in sorted(rows, reverse=True):
        mine = [item[1:] for item in of_rows if item[0] == key]
        rank = max((item[1] for item in mine), default=-1), max((item[2] for item in mine), default=-1)
        steps = known.setdefault((family, model), {})
        if step not in steps or rank >= steps[step][0]:
            steps[step] = rank, any(item[0] == "spectrum" for item in mine)
    return {
        name: [len(steps), sum(done for _, done in steps.values()), *ends({step or 0 for step in steps})]
        for name, steps in known.items()
    }


def ends(steps: set[int]) -> tuple[int, int]:
    return min(steps), max(steps)


def told(store: Store) -> dict[tuple[str, str], list[int]]:
    """The same from the table, which must be the view row by row."""
    both = [store.frame(f"SELECT * FROM {name} ORDER BY ALL").to_csv() for name in ("models", "computed_models")]
    assert both[0] == both[1]
    found = queries.models(store)
    columns = ["checkpoints", "measured", "first_step", "last_step"]
    return {(row["family"], row["model"]): [int(row[name]) for name in columns] for row in found.to_dict("records")}


def test_what_was_added(store: Store) -> None:
    assert told(store) == counted(store)
    assert told(store) == {
        ("lab", "a"): [1, 0, 3, 3],
        ("local", "a"): [3, 2, 2, 500],  # the newer weights of step 10 have no spectrum
        ("local", "b"): [2, 1, 0, 7],
        ("pythia", "a"): [1, 1, 3, 3],
    }
    shapes = queries.models(store).query("family == 'local' and model == 'b'")
    assert shapes[["parameters", "hidden_size", "layers", "vocab_size"]].to_numpy().tolist() == [[90, 8, 3, 5]]
    store.add([spectrum(checkpoint("a", 10, content_id="sha256:new", source="elsewhere"))])
    assert told(store)[("local", "a")] == counted(store)[("local", "a")] == [3, 3, 2, 500]
    store.add([measurement(checkpoint("a", 10), "alignment")])  # the older weights again: they count now
    assert told(store) == counted(store)


def test_what_workers_hand_in(store: Store) -> None:
    given = queue.Given("group", "measure", "local/c@4", "{}", False, ("job",), ("spectrum",))
    queue.finish(store, "worker", [(given, Outcome("done", measured=(spectrum(checkpoint("c", 4)),)))])
    assert told(store)[("local", "c")] == counted(store)[("local", "c")] == [1, 1, 4, 4]


def test_packs(store: Store, tmp_path: Path) -> None:
    pack = tmp_path / "x.pack.zip"
    with store.read() as connection:
        packs.save(connection, pack, ["local/a", "pythia/a"])
    other = empty_store(tmp_path / "other.duckdb")
    other.add([loss(checkpoint("a", 10, content_id="sha256:own", source="mine"))])
    for _ in range(2):  # the second time nothing is new
        with other.write() as connection:
            packs.load(connection, pack)
        assert told(other) == counted(other)
        assert told(other) == {("local", "a"): [3, 2, 2, 500], ("pythia", "a"): [1, 1, 3, 3]}


def test_deleted_models(store: Store) -> None:
    removal.delete_models(store, ["local/a", "lab/a"])
    assert set(told(store)) == {("local", "b"), ("pythia", "a")}
    assert told(store) == counted(store)


def test_a_damaged_store(store: Store, tmp_path: Path) -> None:
    before, new = told(store), tmp_path / "new.duckdb"
    recovery._salvage(store.path, new)
    assert told(empty_store(new)) == before


def test_a_store_of_before(store: Store) -> None:
    before = told(store)
    with store.write() as connection:
        connection.execute("DROP VIEW computed_models; DROP TABLE models")
        connection.execute("DELETE FROM migrations WHERE name = 'm008_models'")
        assert migrations.MIGRATIONS[-1][0] == "m008_models"
    again = empty_store(store.path)
    again.ensure()
    assert told(again) == before


def test_a_write_that_is_taken_back_changes_nothing(store: Store) -> None:
    before = told(store)
    with store.write() as connection:
        connection.begin()
        write_measurements(connection, [spectrum(checkpoint("d"))])
        connection.rollback()
    assert told(store) == before
