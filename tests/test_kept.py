"""What the cache folder keeps: sizes by kind, clearing, the bound of corpora, deleting models, files that fail."""

import json
import os
from dataclasses import replace
from pathlib import Path

import dashboard_store
import pytest
from command_line import saturation
from filelock import FileLock
from streamlit.testing.v1 import AppTest

from saturation.errors import InputError, JobError, RefusedError, StoreBusyError, StoreError, UnknownNameError
from saturation.jobs import corpus_room, forget, kept
from saturation.settings import BUNDLED, ROOT, Settings, gigabytes
from saturation.store import Store, packs, queue
from saturation.ui import downloads

SIZES = {
    "measurements.duckdb": 100,
    "measurements.duckdb.wal": 20,
    "measurements.damaged-20260101T000000Z.duckdb": 50,
    "measurements.damaged-20260101T000000Z.json": 5,
    "hub/tensors/ab/abc": 1000,
    "hub/refs/org--name.json": 10,
    "corpora/tokens/x/ids.bin": 400,
    "corpora/tokens/x/lock": 0,
    "corpora/tokenizers/bpe.json": 30,
    "corpora/upload/text.txt": 7,
    "live/run.jsonl": 8,
    "lab/w8/step5/model.safetensors": 60,
    "workers/worker.log": 3,
    "mine.txt": 9,
}
BY_KIND = {"store": 120, "damaged": 55, "hub": 1010, "corpora": 437, "live": 8, "lab": 60, "work": 3, "other": 9}


def write(path: Path, size: int, used: float | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    if used is not None:
        os.utime(path, (used, used))
    return path


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """A cache folder with files of known sizes, and no store."""
    for name, size in SIZES.items():
        if not name.startswith("measurements.duckdb"):
            write(tmp_path / "cache" / name, size)
    return Settings(tmp_path / "cache", "local")


@pytest.fixture
def filled(cache: Path) -> Store:
    return dashboard_store.fill(cache / "measurements.duckdb")


def sizes(settings: Settings) -> dict[str, int]:
    return {row.kind.name: row.bytes for row in kept.listing(settings) if row.bytes}


class TestListing:
    def test_bytes_and_files_of_each_kind(self, here: Settings) -> None:
        for name in ("measurements.duckdb", "measurements.duckdb.wal"):
            write(here.cache / name, SIZES[name])
        assert sizes(here) == BY_KIND
        assert {row.kind.name: row.files for row in kept.listing(here)}["corpora"] == 4

    def test_links_are_not_followed(self, here: Settings, tmp_path: Path) -> None:
        write(tmp_path / "elsewhere" / "large", 10_000)
        (here.cache / "hub" / "away").symlink_to(tmp_path / "elsewhere")
        (here.cache / "linked").symlink_to(tmp_path / "elsewhere" / "large")
        assert sizes(here) == {name: size for name, size in BY_KIND.items() if name != "store"}

    def test_of_no_folder(self, tmp_path: Path) -> None:
        assert sizes(Settings(tmp_path / "none", "local")) == {}

    def test_what_comes_with_the_project_is_no_strangers_file(self) -> None:
        found = sizes(Settings(BUNDLED.resolve(), "local"))
        assert found["bundled"] >= sum(pack.stat().st_size for pack in packs.bundled(BUNDLED / "packs"))

    def test_in_words(self) -> None:
        assert [kept.words(size) for size in (0, 999, 1500, 2.5e6, 5e9)] == [
            *("0 bytes", "999 bytes", "1.5 kB", "2.5 MB", "5.0 GB")
        ]


class TestClearing:
    @pytest.mark.parametrize("name", kept.CLEARABLE)
    def test_one_kind_goes_and_the_others_stay(self, here: Settings, name: str) -> None:
        before = sizes(here)
        assert kept.clear(here, name).bytes == before.pop(name)
        assert sizes(here) == before

    def test_nothing_behind_a_link_is_removed(self, here: Settings, tmp_path: Path) -> None:
        outside = write(tmp_path / "elsewhere" / "mine", 5)
        (here.cache / "corpora" / "away").symlink_to(outside.parent)
        kept.clear(here, "corpora")
        assert outside.exists()
        (here.cache / "real").mkdir()
        (here.cache / "hub").rename(here.cache / "real" / "hub")
        (here.cache / "hub").symlink_to(here.cache / "real" / "hub")
        with pytest.raises(StoreError, match=r"^hub in the cache folder is a link to another place; clear it there\.$"):
            kept.clear(here, "hub")
        assert (here.cache / "real" / "hub" / "tensors" / "ab" / "abc").exists()

    @pytest.mark.parametrize("name", ["store", "live", "lab", "other"])
    def test_what_cannot_be_made_again_is_not_cleared(self, here: Settings, name: str) -> None:
        with pytest.raises(InputError, match=f"^'{name}' cannot be made again"):
            kept.clear(here, name)

    def test_an_unknown_kind(self, here: Settings) -> None:
        with pytest.raises(UnknownNameError, match=r"^There is no kind 'hubs'; did you mean hub\?$"):
            kept.clear(here, "hubs")

    @pytest.mark.parametrize("mode", ["demo", "public"])
    def test_no_visitor_clears_or_deletes(self, here: Settings, mode: str) -> None:
        hosted = replace(here, mode=mode)
        for ask in (lambda: kept.clear(hosted, "hub"), lambda: forget.forget(hosted, ["lab/w8"])):
            with pytest.raises(RefusedError, match=r"^What this server keeps stays as it is; run your own"):
                ask()
        assert sizes(here)["hub"] == BY_KIND["hub"]

    def test_a_file_that_is_being_written_stays(self, here: Settings) -> None:
        young, old = (write(here.cache / "hub" / "tensors" / "ab" / name, 1) for name in (".a.tmp", ".b.tmp"))
        os.utime(old, (0, 0))
        kept.clear(here, "hub")
        assert (young.exists(), old.exists()) == (True, False)

    def test_what_jobs_use_stays(self, filled: Store, cache: Path) -> None:
        write(cache / "hub" / "tensors" / "ab" / "abc", 10)
        write(cache / "corpora" / "upload" / "text.txt", 10)
        queue.ask(filled, "x", [queue.Asked("ngram", "x", json.dumps({"corpus": "x.txt"}))])
        with pytest.raises(JobError, match=r"^A corpus is being counted, or waits for it; wait for it to end"):
            kept.clear(Settings(cache, "local"), "corpora")
        assert kept.clear(Settings(cache, "local"), "hub").bytes == 10
        queue.give(filled, "worker", ["ngram"])
        with pytest.raises(JobError, match=r"^A job that is running may be reading from the hub; wait for it to end"):
            kept.clear(Settings(cache, "local"), "hub")

    def test_tokens_that_are_being_written_stay(self, here: Settings) -> None:
        with (
            FileLock(here.cache / "corpora" / "tokens" / "x" / "lock"),
            pytest.raises(JobError, match=r"^A corpus is being tokenized; wait for it to end\.$"),
        ):
            kept.clear(here, "corpora")
        assert sizes(here)["corpora"] == BY_KIND["corpora"]

    def test_on_the_command_line(self, here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_CACHE", str(here.cache))
        monkeypatch.setenv("SATURATION_MODE", "demo")  # who has a shell is no visitor
        found = saturation("kept", "--json").json
        assert {row["kind"]: row["bytes"] for row in found["kinds"] if row["bytes"]} == sizes(here)
        assert "\nhub          1.0 kB       2 files  heads and lists" in saturation("kept").stdout
        assert saturation("kept", "--clear", "hub", "--json").json == {"cleared": "hub", "bytes": 1010, "files": 2}
        assert saturation("kept", "--clear", "live").sentence.startswith("'live' cannot be made again")


class TestRoomForCorpora:
    @pytest.fixture
    def used(self, tmp_path: Path) -> Settings:
        """Four entries of 100 bytes, the first used longest ago."""
        for age, name in enumerate(("tokens/old/ids.bin", "up/a.txt", "tokenizers/bpe.json", "tokens/new/ids.bin")):
            write(tmp_path / "corpora" / name, 100, used=1000.0 + age)
        return Settings(tmp_path, "local")

    def left(self, settings: Settings) -> list[str]:
        found = sorted(corpus_room.entries(settings.cache / "corpora"), key=lambda entry: entry.used)
        return [entry.path.name for entry in found]

    def test_what_was_used_longest_ago_goes_first(self, used: Settings) -> None:
        assert corpus_room.make_room(used, 400) == 0
        assert corpus_room.make_room(used, 250) == 200
        assert self.left(used) == ["bpe.json", "new"]

    def test_what_is_in_use_stays(self, used: Settings) -> None:
        keep = [used.cache / "corpora" / "tokens" / "new"]
        with FileLock(used.cache / "corpora" / "tokens" / "old" / "lock"):
            assert corpus_room.make_room(used, 0, keep) == 200
        assert self.left(used) == ["old", "new"]

    def test_the_upload_of_a_job_that_waits_stays(self, filled: Store, cache: Path) -> None:
        upload = write(cache / "corpora" / "up" / "a.txt", 100)
        write(cache / "corpora" / "other" / "b.txt", 100)
        queue.ask(filled, "x", [queue.Asked("ngram", "x", json.dumps({"corpus": str(upload)}))])
        assert corpus_room.make_room(Settings(cache, "local"), 0) == 100
        assert self.left(Settings(cache, "local")) == ["up"]

    def test_nothing_is_left_of_a_count_where_nothing_may_be_kept(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SATURATION_CORPORA_GB", "0")
        text = tmp_path / "corpus.txt"
        text.write_text("the low newest lower wide " * 200)
        assert saturation("ngram", text, "--tokenizer", "bpe:300", "--order", 2, "--json").json["tokens"] > 0
        assert corpus_room.entries(cache / "corpora") == []

    def test_the_bound_is_set_in_gigabytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert gigabytes("corpora") == 5_000_000_000
        monkeypatch.setenv("SATURATION_CORPORA_GB", "0.5")
        assert saturation("settings", "--json").json["corpora_gb"] == "0.5"
        monkeypatch.setenv("SATURATION_CORPORA_GB", "much")
        assert saturation("settings").sentence.startswith("SATURATION_CORPORA_GB is 'much'; set it to a size in GB")


class TestDeletingModels:
    def test_all_rows_of_the_model_and_no_others(self, filled: Store, cache: Path, tmp_path: Path) -> None:
        here, names = Settings(cache, "local"), ["pythia/14m"]
        steps = len(dashboard_store.STEPS)
        pack = tmp_path / "mine.pack.zip"
        with filled.read() as connection:
            packs.save(connection, pack, names)
        other = forget.held(here, ["pythia/31m"])
        found = forget.held(here, names)
        assert (found["checkpoints"], found["evaluations"]) == (steps, 0)
        assert forget.forget(here, names) == found
        assert set(forget.held(here, names).values()) == {0}
        assert forget.held(here, ["pythia/31m"]) == other
        left = filled.frame("SELECT count(*) AS n FROM series ANTI JOIN measurements USING (measurement_id)")
        assert left["n"].tolist() == [0]
        with filled.write() as connection:
            assert packs.load(connection, pack) == found["measurements"]
        assert forget.held(here, names) == found
        with pytest.raises(InputError, match=r"^Nothing is held of pythia/none; choose models"):
            forget.forget(here, ["pythia/none"])

    def test_what_comes_with_the_project_comes_back_by_an_import_only(self, cache: Path) -> None:
        here, store = Settings(cache, "local"), Store(cache / "measurements.duckdb")
        store.ensure()
        (said,) = forget.comes_back(here, ["lab/w8"])
        assert "lab.pack.zip stays away until a release with a newer pack" in said
        found = forget.forget(here, ["lab/w8"])
        Store(store.path).ensure()  # as the next start does
        assert set(forget.held(here, ["lab/w8"]).values()) == {0}
        with store.write() as connection:
            assert packs.load(connection, BUNDLED / "packs" / "lab.pack.zip") == found["measurements"]

    def test_a_live_run_comes_back_with_its_file(self, cache: Path) -> None:
        write(cache / "live" / "run.jsonl", 1)
        assert forget.comes_back(Settings(cache, "local"), ["pythia/14m"]) == []
        (said,) = forget.comes_back(Settings(cache, "local"), ["live/run"])
        assert said.startswith("A live run is read again when its file grows")

    def test_not_while_it_is_measured(self, filled: Store, cache: Path) -> None:
        queue.ask(filled, "x", [queue.Asked("measure", "pythia/14m@5", "{}", "spectrum")])
        with pytest.raises(JobError, match=r"^pythia/14m is being measured, or waits for it; wait for it to end"):
            forget.forget(Settings(cache, "local"), ["pythia/14m"])
        assert forget.forget(Settings(cache, "local"), ["pythia/31m"])["measurements"]


def _clearing() -> None:
    from saturation.jobs import kept as library
    from saturation.ui import data, kept

    kept.dialog(next(row for row in library.listing(data.settings()) if row.kind.name == "hub"))


def _deleting() -> None:
    from saturation.ui import forgetting

    forgetting.dialog(["pythia/14m"], lambda models: None)


class TestPage:
    def opened(self) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        app.query_params.update({"family": "pythia", "model": "14m"})
        return app.switch_page("pages/8_Data.py").run()

    def test_the_table_and_its_buttons(self, filled: Store, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(cache / "hub" / "tensors" / "ab" / "abc", 1500)
        app = self.opened()
        assert not app.exception
        table = app.dataframe[-1].value.set_index("kind")
        assert table.loc["Hub downloads"].tolist()[:2] == ["1.5 kB", 1]
        buttons = {"delete-models", "clear-hub"}
        assert buttons <= {button.key for button in app.button}
        monkeypatch.setenv("SATURATION_MODE", "public")
        app = self.opened()
        assert "What is kept on disk" not in [element.value for element in app.subheader]
        assert not buttons & {button.key for button in app.button}

    def test_clearing_says_what_is_lost(self, here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_CACHE", str(here.cache))
        app = AppTest.from_function(_clearing, default_timeout=60).run()
        assert any("reads the heads from the hub again" in element.value for element in app.markdown)
        app.button(key="clear-now").click().run()
        assert not app.exception
        assert "hub" not in sizes(here)

    def test_deleting_asks_first(self, filled: Store, cache: Path) -> None:
        app = AppTest.from_function(_deleting, default_timeout=60).run()
        steps = len(dashboard_store.STEPS)
        assert any(f"of {steps} checkpoints** of pythia\\/14m will be deleted" in text.value for text in app.markdown)
        assert app.button(key="delete-now").disabled
        app.checkbox(key="delete-sure").check().run()
        app.button(key="delete-now").click().run()
        assert not app.exception
        assert set(forget.held(Settings(cache, "local"), ["pythia/14m"]).values()) == {0}


def test_why_a_file_failed_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(downloads, "_failed", lambda: told)

    def failing(error: Exception) -> downloads.Make:
        def make() -> bytes:
            raise error

        return downloads.remembered(make, "table.csv")

    for error in (StoreBusyError("The store is busy; try again."), ValueError("internal")):
        with pytest.raises(type(error)):
            failing(error)()
    assert downloads.remembered(lambda: b"a", "a.csv")() == b"a"
    assert told == [
        "The store is busy; try again.",
        "table.csv could not be made (ValueError); reload the page and try again.",
    ]
