"""A damaged store: kept aside whole, replaced by one with all that can be read, and said so."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import store_rows
from command_line import saturation
from streamlit.testing.v1 import AppTest

from saturation.errors import DamagedStoreError, StoreError
from saturation.settings import ROOT
from saturation.store import Store, queries, queue, recovery
from saturation.store.queue import Asked

MODELS, STEPS = 12, 60


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """720 checkpoints with a spectrum and a loss each, in a file of several megabytes, and one job that waits."""
    store = store_rows.empty_store(tmp_path_factory.mktemp("sound") / "measurements.duckdb")
    rows = []
    for model in range(MODELS):
        for step in range(STEPS):
            row = store_rows.checkpoint(f"run~{model}", step)
            number = model * STEPS + step
            values = [float((number * 7919 + place * 104729) % 99991) for place in range(600)]
            rows += [
                store_rows.measurement(
                    row, "spectrum", scalars={"singular_entropy": float(number)}, series={"singular_values": values}
                ),
                store_rows.measurement(row, "loss", scalars={"nats_per_token": number / 7}, tokens=5),
            ]
    store.add(rows)
    queue.ask(store, "waiting", [Asked("measure", "local/run@1", "{}", "spectrum")])
    return store.path


def numbers(store: Store) -> dict[str, object]:
    """Everything that each measurement says, by its id."""
    scalars = store.frame(
        "SELECT m.measurement_id, m.measure, c.model, c.step, s.name, s.value FROM measurements m "
        "JOIN checkpoints c USING (checkpoint_id) LEFT JOIN scalars s USING (measurement_id)"
    )
    series = store.frame('SELECT measurement_id, name, "values" FROM series').set_index("measurement_id")
    return {
        row[0]: (*row[1:], tuple(series.loc[row[0], "values"]) if row[0] in series.index else None)
        for row in scalars.itertuples(index=False, name=None)
    }


def overwritten(place: float, length: int) -> Callable[[Path], None]:
    """Random bytes at a place between 0 and 1 of the file."""

    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(int(path.stat().st_size * place))
            file.write(os.urandom(length))

    return damage


DAMAGE: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: os.truncate(path, 0),
    "cut off early": lambda path: os.truncate(path, 5000),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "no database": lambda path: path.write_text("hello " * 5000),
    "headers": lambda path: overwritten(4096 / path.stat().st_size, 8192)(path),
    **{f"a block at {place:.0%}": overwritten(place, 200) for place in (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)},
}


def read_until_sound(store: Store) -> dict[str, object]:
    """What a reader sees who asks again when told to."""
    return asked_again(lambda: numbers(store))


def asked_again(action: Callable[[], Any]) -> Any:
    """What comes of an action that is done again when the store says that it has been replaced."""
    for _ in range(4):
        try:
            return action()
        except DamagedStoreError as error:
            said = str(error)
        assert said.startswith("The store was damaged and ")
        assert said.endswith(" Ask again.")
    raise AssertionError(said)


@pytest.mark.parametrize("name", DAMAGE)
def test_whatever_is_damaged(sound: Path, tmp_path: Path, name: str) -> None:
    """What is there afterwards is whole and right; the damaged file is kept as it was; new rows can be written."""
    path = tmp_path / "measurements.duckdb"
    shutil.copy(sound, path)
    DAMAGE[name](path)
    damaged, expected = path.read_bytes(), numbers(store_rows.empty_store(sound))
    store = store_rows.empty_store(path)
    found = read_until_sound(store)
    assert all(expected[key] == value for key, value in found.items())
    row = store_rows.measurement(store_rows.checkpoint("new", 1), scalars={"singular_entropy": 1.0})
    asked_again(lambda: store.add([row]))
    asked_again(lambda: queue.ask(store, "new", [Asked("measure", "local/new@1", "{}", "spectrum")]))
    found = {key: value for key, value in numbers(store).items() if key != row.measurement_id}
    assert all(expected[key] == value for key, value in found.items())
    assert list(store.load([row.measurement_id])) == [row.measurement_id]
    kept = list(tmp_path.glob("measurements.damaged-*.duckdb"))
    if not kept:  # the bytes belonged to nothing
        assert len(found) == len(expected)
        return
    assert damaged in [file.read_bytes() for file in kept]
    (_, notice) = recovery.notices(path)[-1]
    assert notice.recovered == len(found)
    if notice.lost is not None and len(kept) == 1:
        assert notice.lost == len(expected) - len(found)


def test_most_of_a_file_with_one_bad_block_is_recovered(sound: Path, tmp_path: Path) -> None:
    """Of six places, most cost a part only; and some do damage something."""
    shares, hurt = [], 0
    for name in [name for name in DAMAGE if name.startswith("a block")]:
        folder = tmp_path / name.replace(" ", "")
        folder.mkdir()
        path = folder / "measurements.duckdb"
        shutil.copy(sound, path)
        DAMAGE[name](path)
        shares.append(len(read_until_sound(store_rows.empty_store(path))) / (2 * MODELS * STEPS))
        hurt += bool(recovery.notices(path))
    assert hurt >= 2
    assert sorted(shares)[2] > 0.3, shares


def test_the_queue_is_kept(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "measurements.duckdb"
    shutil.copy(sound, path)
    with duckdb.connect(str(path)) as connection:  # so that only the largest table is hit
        connection.execute("CHECKPOINT")
    DAMAGE["a block at 55%"](path)
    store = store_rows.empty_store(path)
    read_until_sound(store)
    assert queue.active(store) == 1


def test_a_damaged_log_is_kept_too(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "measurements.duckdb"
    path.write_text("nothing")
    Path(f"{path}.wal").write_bytes(b"log")
    assert numbers(store_rows.empty_store(path)) == {}
    (kept,) = tmp_path.glob("measurements.damaged-*.duckdb")
    assert Path(f"{kept}.wal").read_bytes() == b"log"


def test_several_at_once_replace_it_once(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "measurements.duckdb"
    shutil.copy(sound, path)
    DAMAGE["headers"](path)
    failures: list[Exception] = []

    def look() -> None:
        try:
            read_until_sound(store_rows.empty_store(path))
        except Exception as error:  # noqa: BLE001 (all of them are looked at)
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list(tmp_path.glob("measurements.damaged-*.duckdb"))) == 1


@pytest.mark.parametrize(
    "message",
    [
        'IO Error: Could not set lock on file "x": Conflicting lock is held in python (PID 3)',
        "IO Error: Could not write file: No space left on device",
        "Out of Memory Error: failed to allocate data",
        "IO Error: Trying to read a database file with version number 99, but we can only read others",
        "Constraint Error: Duplicate key",
    ],
)
def test_other_errors_are_no_damage(message: str) -> None:
    assert not recovery.is_damage(duckdb.IOException(message))


def test_bundled_results_are_there_again_and_the_command_line_says_so(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.mkdir()
    (cache / "measurements.duckdb").write_text("no database")
    outcome = saturation("onset", "lab/w8", "--json")
    assert outcome.json["best_step"] == 28000
    assert "is kept as measurements.damaged-" in caplog.text  # without a handler, logging prints it on stderr


def test_the_page_says_so_until_it_is_dismissed(cache: Path) -> None:
    cache.mkdir()
    (cache / "measurements.duckdb").write_text("no database")
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert not page.exception
    said = [element.value for element in page.markdown if "is kept as measurements.damaged-" in element.value]
    assert len(said) == 1
    assert page.get("plotly_chart")
    next(button for button in page.button if button.label == "Dismiss").click().run()
    assert not [element.value for element in page.markdown if "is kept as" in element.value]
    assert len(list(cache.glob("measurements.damaged-*.duckdb"))) == 1


def test_a_folder_that_cannot_be_written(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "measurements.duckdb"
    path.write_text("nothing")

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StoreError, match=r"is damaged and cannot be replaced \(No space left on device\); free some"):
        queries.models(store_rows.empty_store(path))
    assert path.read_text() == "nothing"
