"""Measurement packs: what goes in comes out, what is damaged stays out."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import saturation
from store_rows import OTHER_TEXT, anisotropy, checkpoint, empty_store, evaluation, loss, measurement, spectrum

from saturation.errors import PackError
from saturation.settings import BUNDLED
from saturation.store import Store, packs, queries
from saturation.store.tables import SCHEMAS

TABLES = tuple(SCHEMAS)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store of two models, and a pack of one of them; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("filled")
    store = empty_store(folder / "store.duckdb")
    for model in ("a~1", "b~1"):
        rows = [checkpoint(model, step, revision=None if step else "main") for step in (None, 5, 10)]
        store.add([spectrum(row) for row in rows])
        store.add([loss(row, nats=float(row.step or 1)) for row in rows] + [anisotropy(row) for row in rows[:1]])
    store.add([loss(checkpoint("a~1", 5), text=OTHER_TEXT)])
    store.add([measurement(checkpoint("a~1", 5), "alignment", labels={"top_tokens": ["the", "ß"]})])
    store.add_evaluations([evaluation("a~1", 5), evaluation("b~1", 5), evaluation("b~1", 10, value=0.5, stderr=None)])
    export(store, folder / "x.pack.zip", "local/a~1")
    return store.path, folder / "x.pack.zip"


@pytest.fixture
def store(filled: tuple[Path, Path], tmp_path: Path) -> Store:
    shutil.copy(filled[0], tmp_path / "store.duckdb")
    return empty_store(tmp_path / "store.duckdb")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    store = empty_store(tmp_path / "other.duckdb")
    store.ensure()
    return store


def export(store: Store, pack: Path, *models: str) -> dict[str, int]:
    with store.read() as connection:
        return packs.save(connection, pack, models)


def load(store: Store, pack: Path) -> int:
    with store.write() as connection:
        return packs.load(connection, pack)


def contents(store: Store) -> dict[str, int]:
    return {name: int(store.frame(f"SELECT count(*) FROM {name}").iloc[0, 0]) for name in (*TABLES, "packs")}


def frames(store: Store) -> dict[str, pd.DataFrame]:
    queried = {name: getattr(queries, name)(store) for name in ("models", "steps", "evaluated")}
    for name in ("texts", "trajectory", "layer_anisotropy", "provenance", "evaluations"):
        queried[name] = getattr(queries, name)(store, "local")
    for model in ("a~1", "b~1"):
        queried[f"spectra {model}"] = queries.spectra(store, "local", model)
    return queried


def same(first: pd.DataFrame, second: pd.DataFrame) -> None:
    first, second = (frame.drop(columns="source", errors="ignore") for frame in (first, second))
    order = [name for name in ("family", "model", "step", "measure", "text_id", "task") if name in first]
    first, second = (frame.sort_values(order, ignore_index=True) if order else frame for frame in (first, second))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def rewritten(pack: Path, edit: Callable[[str, pa.Table], pa.Table], manifest: dict[str, Any] | None = None) -> Path:
    """The same pack with its tables edited."""
    to = pack.with_name("edited" + packs.SUFFIX)
    with zipfile.ZipFile(pack) as old, zipfile.ZipFile(to, "w") as new:
        new.writestr(packs.MANIFEST, json.dumps(json.loads(old.read(packs.MANIFEST)) | (manifest or {})))
        for name in TABLES:
            buffer = io.BytesIO()
            pq.write_table(edit(name, pq.read_table(io.BytesIO(old.read(f"{name}.parquet")))), buffer)
            new.writestr(f"{name}.parquet", buffer.getvalue())
    return to


def column(table: str, name: str, value: Callable[[pa.Table], pa.Array]) -> Callable[[str, pa.Table], pa.Table]:
    def edit(at: str, held: pa.Table) -> pa.Table:
        return held if at != table else held.set_column(held.column_names.index(name), name, value(held))

    return edit


def only(table: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[str, pa.Table], pa.Table]:
    return lambda at, held: change(held) if at == table else held


EDITS: dict[str, tuple[Callable[[str, pa.Table], pa.Table], str]] = {
    "a column is missing": (only("texts", lambda held: held.drop_columns(["words"])), "is damaged"),
    "a column too many": (only("texts", lambda held: held.append_column("x", held["words"])), "is damaged"),
    "columns in another order": (only("texts", lambda held: held.select(held.column_names[::-1])), "is damaged"),
    "text for a number": (
        column("scalars", "value", lambda held: pa.array(["many"] * len(held))),
        "is no measurement pack or is damaged",
    ),
    "no family": (
        column("checkpoints", "family", lambda held: pa.nulls(len(held), pa.string())),
        "its table checkpoints has no family in some rows",
    ),
    "no id of a text": (
        column("texts", "text_id", lambda held: pa.nulls(len(held), pa.string())),
        "its table texts has no text_id in some rows",
    ),
    "NaN": (
        column("scalars", "value", lambda held: pa.array([float("nan")] * len(held))),
        "it holds values that are no numbers",
    ),
    "NaN in a series": (
        column("series", "values", lambda held: pa.array([[1.0, float("nan")]] * len(held))),
        "it holds values that are no numbers",
    ),
    "a gap in a series": (
        column("series", "values", lambda held: pa.array([[1.0, None]] * len(held))),
        "it holds values that are no numbers",
    ),
    "a row twice": (
        only("scalars", lambda held: pa.concat_tables([held, held.slice(0, 1)])),
        "its table scalars holds a row twice",
    ),
    "no checkpoints": (
        only("checkpoints", lambda held: held.slice(0, 0)),
        "its table measurements names checkpoints that it does not hold",
    ),
    "no texts": (
        only("texts", lambda held: held.slice(0, 0)),
        "its table measurements names texts that it does not hold",
    ),
    "no measurements": (
        only("measurements", lambda held: held.slice(0, 0)),
        "its table scalars names measurements that it does not hold",
    ),
}


class TestThereAndBack:
    def test_every_query_gives_the_same(self, store: Store, other: Store, tmp_path: Path) -> None:
        written = export(store, tmp_path / "x.pack.zip", "local/a~1", "local/b~1")
        assert written == {
            "checkpoints": 6,
            "texts": 2,
            "measurements": 16,
            "scalars": 22,
            "series": 16,
            "labels": 1,
            "evaluations": 3,
            "ngrams": 0,
            "playground": 0,
        }
        assert load(other, tmp_path / "x.pack.zip") == 16
        for name, frame in frames(store).items():
            same(frame, frames(other)[name])

    def test_where_a_run_lies_stays_here(self, store: Store, other: Store, tmp_path: Path) -> None:
        place = tmp_path / "home" / "mine"
        store.add([spectrum(checkpoint("mine~1", 7, source=str(place / "checkpoint-7")))])
        store.add([spectrum(checkpoint("mine~1", None, source=str(place)))])
        export(store, tmp_path / "x.pack.zip", "local/mine~1")
        assert str(tmp_path).encode() not in (tmp_path / "x.pack.zip").read_bytes()
        load(other, tmp_path / "x.pack.zip")
        assert set(other.frame("SELECT source FROM checkpoints")["source"]) == {"mine", "mine/checkpoint-7"}
        assert load(store, tmp_path / "x.pack.zip") == 0  # known by the same id where it came from

    def test_some_models_only(self, store: Store, other: Store, tmp_path: Path) -> None:
        export(store, tmp_path / "x.pack.zip", "local/b~1")
        assert load(other, tmp_path / "x.pack.zip") == 7
        assert queries.models(other)["model"].tolist() == ["b~1"]
        assert contents(other)["texts"] == 1

    def test_again_adds_nothing(self, store: Store, other: Store, tmp_path: Path) -> None:
        export(store, tmp_path / "x.pack.zip", "local/a~1")
        load(other, tmp_path / "x.pack.zip")
        before = contents(other)
        assert load(other, tmp_path / "x.pack.zip") == 0
        assert contents(other) == before

    def test_what_is_there_stays_as_it_is(self, store: Store, other: Store, tmp_path: Path) -> None:
        export(store, tmp_path / "x.pack.zip", "local/a~1")
        mine = spectrum(checkpoint("a~1", 5), entropy=0.123)
        other.add([mine])
        assert load(other, tmp_path / "x.pack.zip") == 8
        assert other.load([mine.measurement_id])[mine.measurement_id]["scalars"] == {"singular_entropy": 0.123}
        assert contents(other)["scalars"] == 3 + 2 * 4 + 1

    def test_the_same_twice_gives_the_same_tables(self, store: Store, tmp_path: Path) -> None:
        found = []
        for name in ("x.pack.zip", "y.pack.zip"):
            export(store, tmp_path / name, "local/a~1")
            with zipfile.ZipFile(tmp_path / name) as archive:
                found.append([archive.read(f"{table}.parquet") for table in ("checkpoints", "texts", "measurements")])
        assert found[0] == found[1]

    def test_nothing_to_export(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(PackError, match=r"^Nothing is stored of local/c~1; measure it before exporting\.$"):
            export(store, tmp_path / "x.pack.zip", "local/c~1")
        assert list(tmp_path.glob("x*")) == []

    def test_by_the_command_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pack = tmp_path / "mine.pack.zip"
        assert saturation("--cache", tmp_path / "one", "families").code == 0  # imports the bundled measurements
        exported = saturation("--cache", tmp_path / "one", "export", pack, "--models", "lab/w8, lab/w16")
        assert exported.stdout == f"{pack}: 484 measurements of 82 checkpoints.\n"
        assert saturation("--cache", tmp_path / "two", "import", pack).stdout == "0 measurements added.\n"
        sentence = saturation("--cache", tmp_path / "one", "export", pack, "--models", "lab/w9").sentence
        assert sentence == "Nothing is stored of lab/w9; measure it before exporting."


class TestDamaged:
    @pytest.fixture
    def pack(self, filled: tuple[Path, Path], tmp_path: Path) -> Path:
        return Path(shutil.copy(filled[1], tmp_path / "x.pack.zip"))

    def refused(self, store: Store, pack: Path, message: str) -> None:
        store.add([spectrum()])
        before = contents(store)
        with pytest.raises(PackError, match=message):
            load(store, pack)
        assert contents(store) == before

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x05\x06" + bytes(18), b"PAR1" * 9])
    def test_foreign(self, other: Store, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "f.pack.zip").write_bytes(content)
        self.refused(other, tmp_path / "f.pack.zip", r"^f\.pack\.zip is no measurement pack or is damaged")

    @pytest.mark.parametrize("manifest", ["{", "[]", "3", '"text"'])
    def test_a_manifest_that_is_none(self, other: Store, tmp_path: Path, manifest: str) -> None:
        with zipfile.ZipFile(tmp_path / "f.pack.zip", "w") as archive:
            archive.writestr(packs.MANIFEST, manifest)
        self.refused(other, tmp_path / "f.pack.zip", "is no measurement pack or is damaged")

    @pytest.mark.parametrize("version", [0, 4, None, "1"])
    def test_another_format(self, other: Store, pack: Path, version: object) -> None:
        edited = rewritten(pack, lambda name, table: table, {"format": version})
        self.refused(other, edited, rf"has the format {version}; this version reads 1 to 3\.")

    def test_cut_off(self, other: Store, pack: Path) -> None:
        pack.write_bytes(pack.read_bytes()[:-100])
        self.refused(other, pack, "is no measurement pack or is damaged")

    def test_any_bit_of_any_table(self, other: Store, pack: Path) -> None:
        whole, draws = pack.read_bytes(), np.random.default_rng(0)
        with zipfile.ZipFile(pack) as archive:
            spans = [(item.header_offset, item.compress_size, len(item.filename)) for item in archive.infolist()]
        for start, size, name in spans:
            for place in draws.integers(start + 30 + name, start + 30 + name + size, 6):
                damaged = bytearray(whole)
                damaged[place] ^= 1 << int(draws.integers(8))
                pack.write_bytes(damaged)
                with pytest.raises(PackError, match="is no measurement pack or is damaged"):
                    load(other, pack)
        assert set(contents(other).values()) == {0}

    @pytest.mark.parametrize("edit", EDITS)
    def test_rows_that_cannot_be(self, other: Store, pack: Path, edit: str) -> None:
        change, message = EDITS[edit]
        self.refused(other, rewritten(pack, change), message)

    def test_an_import_that_breaks_off_leaves_nothing(
        self, other: Store, pack: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def breaks(path: Path) -> str:
            raise OSError("The disk is gone.")

        monkeypatch.setattr(packs, "fingerprint", breaks)
        with pytest.raises(OSError, match="The disk is gone"):
            load(other, pack)
        assert set(contents(other).values()) == {0}


class TestBundled:
    @pytest.fixture
    def folder(self, store: Store, tmp_path: Path) -> Path:
        (tmp_path / "packs").mkdir()
        export(store, tmp_path / "packs" / "one.pack.zip", "local/a~1")
        return tmp_path / "packs"

    def test_are_imported_at_the_first_start(self, folder: Path, tmp_path: Path) -> None:
        fresh = Store(tmp_path / "new" / "store.duckdb", bundled=folder)
        assert queries.models(fresh)["model"].tolist() == ["a~1"]
        held = fresh.frame("SELECT name, sha256 FROM packs")
        assert held.to_numpy().tolist() == [["one.pack.zip", packs.fingerprint(folder / "one.pack.zip")]]

    def test_are_imported_once_after_a_change(self, folder: Path, store: Store, tmp_path: Path) -> None:
        fresh = Store(tmp_path / "new.duckdb", bundled=folder)
        fresh.ensure()
        before = fresh.signature()
        fresh.ensure()
        assert fresh.signature() == before
        export(store, folder / "one.pack.zip", "local/a~1", "local/b~1")
        fresh.ensure()
        assert queries.models(fresh)["model"].tolist() == ["a~1", "b~1"]
        assert contents(fresh)["packs"] == 1
        changed = fresh.signature()
        fresh.ensure()
        assert fresh.signature() == changed

    def test_a_damaged_one_is_named(self, folder: Path, tmp_path: Path) -> None:
        (folder / "two.pack.zip").write_bytes(b"hello")
        with pytest.raises(PackError, match=r"^two\.pack\.zip is no measurement pack"):
            Store(tmp_path / "new.duckdb", bundled=folder).ensure()

    @pytest.mark.parametrize("pack", packs.bundled(BUNDLED / "packs"), ids=lambda pack: pack.name)
    def test_those_of_the_project_can_be_read(self, pack: Path, other: Store) -> None:
        with zipfile.ZipFile(pack) as archive:
            rows = json.loads(archive.read(packs.MANIFEST))["rows"]
        assert load(other, pack) == rows["measurements"]
        assert {name: contents(other)[name] for name in TABLES} == dict.fromkeys(TABLES, 0) | rows
