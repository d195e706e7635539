"""Packs that were made to harm: each is refused with a sentence, before it has cost anything or written a row."""

import io
import json
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_rows import alignment, anisotropy, checkpoint, empty_store, evaluation, loss, ngram_curve, spectrum

from saturation.errors import PackError
from saturation.jobs.imports import bring_in, bring_in_uploads
from saturation.store import Store, pack_file, packs
from saturation.store.places import without_folders
from saturation.store.tables import SCHEMAS

Entry = tuple[zipfile.ZipInfo | str, bytes]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a pack with something in every table but the playground."""
    folder = tmp_path_factory.mktemp("sound")
    store = empty_store(folder / "store.duckdb")
    row = checkpoint()
    store.add([spectrum(row), loss(row), anisotropy(row), alignment(row)])
    store.add_evaluations([evaluation()])
    store.add_ngrams([ngram_curve()])
    with store.read() as connection:
        packs.save(connection, folder / "x.pack.zip", ["local/run~1"], bottleneck=True)
    return (folder / "x.pack.zip").read_bytes()


def unpacked(sound: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(folder: Path, entries: dict[str, bytes], more: list[Entry] = (), **options: Any) -> Path:
    pack = folder / "x.pack.zip"
    with zipfile.ZipFile(pack, "w", **options) as archive:
        for name, content in (*entries.items(), *more):
            archive.writestr(name, content)
    return pack


def parquet(table: pa.Table, **options: Any) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd", **options)
    return content.getvalue()


def edited(sound: bytes, folder: Path, table: str, change: Callable[[list[dict]], None]) -> Path:
    """The pack with the rows of one table changed, and the manifest's count with them."""
    entries = unpacked(sound)
    rows = pq.read_table(io.BytesIO(entries[f"{table}.parquet"])).to_pylist()
    change(rows)
    entries[f"{table}.parquet"] = parquet(pa.Table.from_pylist(rows, schema=SCHEMAS[table]))
    return packed(folder, entries)


def refused(pack: Path) -> str:
    with pytest.raises(PackError) as found:
        packs.read(pack)
    assert "\n" not in str(found.value)
    assert str(found.value).isprintable()
    return str(found.value)


def test_the_sound_one_is_read(sound: bytes, tmp_path: Path) -> None:
    tables = packs.read(packed(tmp_path, unpacked(sound)))
    assert {name for name, rows in tables.items() if rows.num_rows == 0} == {"playground"}


def _link(name: str) -> zipfile.ZipInfo:
    item = zipfile.ZipInfo(name)
    item.create_system, item.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return item


@pytest.mark.parametrize(
    "name",
    ["../escaped.txt", "/etc/escaped", "a/../../b", "C:\\x", "texts.parquet/", "more.txt", "\x1b[31mred", "x" * 5000],
)
def test_entries_that_belong_to_no_pack(sound: bytes, tmp_path: Path, name: str) -> None:
    said = refused(packed(tmp_path, unpacked(sound), [(name, b"hello")]))
    assert "which is no table of a pack" in said
    assert len(said) < 200
    assert [path.name for path in tmp_path.iterdir()] == ["x.pack.zip"]


def test_links(sound: bytes, tmp_path: Path) -> None:
    entries = unpacked(sound)
    del entries["texts.parquet"]
    assert "'texts.parquet', which is no table" in refused(
        packed(tmp_path, entries, [(_link("texts.parquet"), b"/etc/passwd")])
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["texts.parquet", "manifest.json"])
def test_the_same_entry_twice(sound: bytes, tmp_path: Path, name: str) -> None:
    entries = unpacked(sound)
    assert f"it holds {name} twice" in refused(packed(tmp_path, entries, [(name, entries[name])]))


def test_a_zip_of_nothing(sound: bytes, tmp_path: Path) -> None:
    entries = unpacked(sound) | {"texts.parquet": bytes(300_000_000)}
    pack = packed(tmp_path, entries, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    assert "texts.parquet is empty at 300 MB" in refused(pack)


def test_a_manifest_of_nothing(sound: bytes, tmp_path: Path) -> None:
    entries = unpacked(sound) | {"manifest.json": b'{"format": 3}' + b" " * 2_000_000}
    assert "its manifest.json is over 1 MB" in refused(packed(tmp_path, entries, compression=zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    "manifest", [b"[" * 100_000, b'{"format": true}', b'{"format": 3.0}', b'{"format": "\\u001b' + b"3" * 999 + b'"}']
)
def test_a_manifest_that_is_none(sound: bytes, tmp_path: Path, manifest: bytes) -> None:
    said = refused(packed(tmp_path, unpacked(sound) | {"manifest.json": manifest}))
    assert "has the format" in said or "is no measurement pack" in said


def test_a_manifest_that_counts_otherwise(sound: bytes, tmp_path: Path) -> None:
    entries = unpacked(sound)
    manifest = json.loads(entries["manifest.json"])
    manifest["rows"]["scalars"] += 1
    said = refused(packed(tmp_path, entries | {"manifest.json": json.dumps(manifest).encode()}))
    assert "its manifest tells other numbers of rows" in said


def _one_text(times: int, length: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), ["x" * length])


BOMBS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a text of megabytes a million times": (
        "scalars",
        lambda: parquet(
            pa.table({"measurement_id": _one_text(10**6, 10**6), "name": ["a"] * 10**6, "value": [0.0] * 10**6})
        ),
        "holds a text of over 4,000 signs",
    ),
    "the same in lists": (
        "labels",
        lambda: parquet(
            pa.table(
                {
                    "measurement_id": ["a"],
                    "name": ["a"],
                    "values": pa.ListArray.from_arrays(pa.array([0, 10**5], pa.int32()), _one_text(10**5, 10**6)),
                }
            )
        ),
        "holds a text of over 4,000 signs",
    ),
    "a shorter text more often": (
        "labels",
        lambda: parquet(
            pa.table(
                {
                    "measurement_id": ["a"],
                    "name": ["a"],
                    "values": pa.ListArray.from_arrays(pa.array([0, 10**6], pa.int32()), _one_text(10**6, 4000)),
                }
            )
        ),
        "the texts of its table labels are over a gigabyte",
    ),
    "prefixes that repeat": (
        "texts",
        lambda: parquet(
            pa.Table.from_pylist(
                [{"text_id": "a", "name": "a", "source": "a", "utf8_bytes": 1, "words": 1}], schema=SCHEMAS["texts"]
            ),
            use_dictionary=False,
            column_encoding={"name": "DELTA_BYTE_ARRAY"},
        ),
        "was written in a way that packs are not",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_tables_that_would_grow(sound: bytes, tmp_path: Path, bomb: str) -> None:
    table, make, message = BOMBS[bomb]
    pack = packed(tmp_path, unpacked(sound) | {f"{table}.parquet": make()})
    assert pack.stat().st_size < 2_000_000
    before, start = pa.total_allocated_bytes(), time.monotonic()
    assert message in refused(pack)
    assert time.monotonic() - start < 5
    assert pa.total_allocated_bytes() - before < 10**8


def test_a_number_many_times(sound: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_file, "MOST_VALUES", 1_000_000)
    values = pa.ListArray.from_arrays(pa.array([0, 1_000_001], pa.int32()), pa.array(np.zeros(1_000_001)))
    bomb = parquet(pa.table({"measurement_id": ["a"], "name": ["a"], "values": values}))
    assert len(bomb) < 10_000
    said = refused(packed(tmp_path, unpacked(sound) | {"series.parquet": bomb}))
    assert "over 1,000,000 values" in said


def _set(**values: Any) -> Callable[[list[dict]], None]:
    return lambda rows: rows[0].update(values)


def _of(name: str, **values: Any) -> Callable[[list[dict]], None]:
    return lambda rows: next(row for row in rows if row["name"] == name).update(values)


ROWS: dict[str, tuple[str, Callable[[list[dict]], None], str]] = {
    "a step below 0": ("checkpoints", _set(step=-1), "a step below 0"),
    "no width": ("checkpoints", _set(hidden_size=0), "a shape that cannot be"),
    "parameters below 0": ("checkpoints", _set(parameters=-5), "a size below 0"),
    "an escape sequence": ("checkpoints", _set(model="\x1b[31mred"), "a model of a name that no model has"),
    "a name that turns round": ("checkpoints", _set(model="run\u202egnp"), "a model of a name that no model has"),
    "a line break": ("texts", _set(name="a\nb"), "signs that cannot be shown"),
    "a long name": ("checkpoints", _set(family="x" * 201), "a family of a name that no family has"),
    "no name": ("evaluations", _set(task=""), "a task that is empty or too long"),
    "time before time": ("measurements", _set(seconds=-1.0), "a cost that cannot be"),
    "no number of seconds": ("measurements", _set(seconds=float("nan")), "a cost that cannot be"),
    "no window": ("measurements", _set(context_length=0), "a number below 0"),
    "a cosine of 1.5": ("scalars", _of("anisotropy", value=1.5), "a cosine beyond 1"),
    "a cosine of -1.5 in a layer": ("series", _of("layers", values=[0.1, -1.5, 0.3, 0.4]), "a cosine beyond 1"),
    "layers too many": ("series", _of("layers", values=[0.1] * 5), "a number of layers that is not the model's"),
    "no layers": ("series", _of("centred_layers", values=[]), "a number of layers that is not the model's"),
    "singular values too few": ("series", _of("singular_values", values=[3.0]), "singular values that cannot be"),
    "a singular value below 0": ("series", _of("singular_values", values=[3.0, -1.0]), "singular values that cannot"),
    "a loss below 0": ("scalars", _of("nats_per_token", value=-1.0), "a value below 0 that cannot be"),
    "shots below 0": ("evaluations", _set(shots=-1), "a step or a number of shots below 0"),
    "a deviation below 0": ("evaluations", _set(stderr=-0.1), "a deviation below 0"),
    "lists of two lengths": ("ngrams", _set(w_error_low=[1.0]), "lists of different lengths"),
    "a W-error of 2": ("ngrams", _set(w_error=[2.0, 0.7, 0.4, 0.0]), "a W-error beyond 1"),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_out_of_range(sound: bytes, tmp_path: Path, case: str) -> None:
    table, change, words = ROWS[case]
    assert f"its table {table} holds {words}" in refused(edited(sound, tmp_path, table, change))


def test_a_time_that_no_calendar_has(sound: bytes, tmp_path: Path) -> None:
    entries = unpacked(sound)
    held = pq.read_table(io.BytesIO(entries["measurements.parquet"]))
    far = pa.array([2**62] * len(held), pa.int64()).cast(SCHEMAS["measurements"].field("measured_at").type)
    held = held.set_column(held.column_names.index("measured_at"), "measured_at", far)
    pack = packed(tmp_path, entries | {"measurements.parquet": parquet(held)})
    assert "a time that cannot be" in refused(pack)


def test_words_in_markup_are_only_words(sound: bytes, tmp_path: Path) -> None:
    def hostile(rows: list[dict]) -> None:
        rows[0]["source"] = "'; DROP TABLE texts; -- <script>alert(1)</script>"

    store = empty_store(tmp_path / "store.duckdb")
    report = bring_in(store, [edited(sound, tmp_path, "texts", hostile)])
    assert list(report.packs.values()) == [(4, 1)]
    assert store.frame("SELECT source FROM texts")["source"].tolist() == [
        "'; DROP TABLE texts; -- <script>alert(1)</script>"
    ]


def test_a_refused_upload_writes_nothing_and_keeps_nobody_waiting(
    sound: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store.duckdb", bundled=tmp_path / "none", wait_seconds=0.5)
    store.ensure()
    before, read = store.signature(), packs.read

    def reading(pack: Path) -> dict[str, pa.Table]:
        with store.write() as connection:  # somebody else writes while a pack is looked at
            connection.execute("SELECT 1")
        return read(pack)

    monkeypatch.setattr(packs, "read", reading)
    name = "../../evil\x1b.zip"
    report = bring_in_uploads(store, [(name, edited(sound, tmp_path, "checkpoints", _set(step=-1)).read_bytes())])
    assert [problem[0] for problem in report.not_understood] == [name]
    assert store.signature() == before
    assert sorted(path.name for path in tmp_path.iterdir() if "evil" in path.name) == []


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/home/me/runs/mine/step1000", "mine/step1000"),
        ("/home/me/runs/mine", "mine"),
        ("/home/me/runs/mine/", "mine"),
        (r"C:\Users\me\runs\checkpoint-7", "runs/checkpoint-7"),
        (r"\\server\share\mine", "mine"),
        ("~/mine", "mine"),
        ("/", "local"),
        ("lab/w8", "lab/w8"),
        ("EleutherAI/pythia-70m", "EleutherAI/pythia-70m"),
        ("", ""),
    ],
)
def test_places_without_folders(source: str, shown: str) -> None:
    assert without_folders(source) == shown
