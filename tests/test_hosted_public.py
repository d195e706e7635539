"""A public dashboard: what it refuses, quotas, sessions apart from one another, and what is brought in."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hosted import EVIL, MEASURABLE, demo, idle, no_session_is_known_yet, pack_of, public, result_file

from saturation.errors import JobError, PackError, RefusedError
from saturation.evaluations import results
from saturation.jobs import board, hosting, imports, quota
from saturation.settings import ROOT, Limits, Settings
from saturation.store import Store, pack_rows, packs

__all__ = ["demo", "idle", "no_session_is_known_yet", "public"]  # fixtures of another file


class TestPublicRefuses:
    @pytest.mark.parametrize(
        "target",
        [
            *("/etc", "~/x", ".", "..", "lab/..", "lab/../../etc@1", "some/organisation@main", "hub:some/thing"),
            *("pythia/70m@main", "pythia/none@1", "local/run~1234@1", "live/mine@5", "hub/some--thing@1", ""),
        ],
    )
    def test_all_but_models_of_the_registry(self, public: Settings, target: str) -> None:
        with pytest.raises(RefusedError, match=r"^Only models of the registry are measured here, by their names"):
            board.submit(public, [MEASURABLE, target], ["spectrum"])
        assert not public.store_path.exists()

    def test_models_that_are_too_large(self, public: Settings) -> None:
        message = "^pythia/12b is of 11,[0-9]* million parameters and this server measures models of up to 200 million"
        with pytest.raises(RefusedError, match=message):
            board.submit(public, ["pythia/12b@0"], ["spectrum"])
        assert hosting.too_large(public, "pythia", "160m") is None
        assert hosting.too_large(public, "lab", "w8") is None
        assert hosting.too_large(replace(public, mode="local"), "pythia", "12b") is None

    def test_texts_of_the_machine(self, public: Settings) -> None:
        with pytest.raises(RefusedError, match=r"^Models are measured here on the text of their family; "):
            board.submit(public, [MEASURABLE], ["loss"], text="/etc/passwd")

    @pytest.mark.parametrize("options", [{"targets": ["/etc"]}, {"targets": [MEASURABLE], "text": "/etc/passwd"}])
    def test_heads_of_other_things(self, public: Settings, options: dict) -> None:
        with pytest.raises(RefusedError):
            board.start(public, "heads", "heads", options)

    @pytest.mark.parametrize(
        ("corpus", "tokenizer", "message"),
        [
            ("/etc/passwd", "bpe:1024", "^Only files that are uploaded here are counted"),
            ("hub:owner/name", "bpe:1024", "^Only files that are uploaded here are counted"),
            ("CACHE/corpora/a/../../../x.txt", "bpe:1024", "^Only files that are uploaded here are counted"),
            ("CACHE/corpora/a/x.txt.gz", "bpe:1024", "^Packed files are not counted here"),
            ("CACHE/corpora/a/x.txt", "/etc/tokenizer.json", "^Only tokenizers that are trained here are used"),
            ("CACHE/corpora/a/x.txt", "bpe:999999", "^Only tokenizers that are trained here are used"),
            ("CACHE/corpora/a/x.txt", "some/repository", "^Only tokenizers that are trained here are used"),
        ],
    )
    def test_corpora_and_tokenizers_of_the_machine(
        self, public: Settings, corpus: str, tokenizer: str, message: str
    ) -> None:
        options = {"corpus": corpus.replace("CACHE", str(public.cache)), "tokenizer": tokenizer}
        with pytest.raises(RefusedError, match=message):
            board.start(public, "ngram", "x", options)
        options = {"corpus": str(public.cache / "corpora" / "a" / "x.txt"), "tokenizer": "bpe:1024"}
        assert hosting.check_work(public, "ngram", options) == 1

    def test_languages_that_take_long(self, public: Settings) -> None:
        language = {"rank": 16, "vocab_size": 100_000, "contexts": 512}
        with pytest.raises(RefusedError, match=r"^That language is larger than this server trains on \(rank 32, vocab"):
            board.start(public, "playground", "x", language)

    def test_trained_heads_count_for_more(self, public: Settings) -> None:
        assert hosting.check_work(public, "heads", {"targets": [MEASURABLE, "lab/w16@0"], "train": False}) == 2
        assert hosting.check_work(public, "heads", {"targets": [MEASURABLE], "train": True}) == 10

    def test_listing_strangers(self, public: Settings) -> None:
        with pytest.raises(RefusedError, match=r"^Only repositories of the registry are listed here"):
            hosting.list_published(public, "hub", "some--thing", 1.0)

    def test_paths_to_import(self, public: Settings) -> None:
        with pytest.raises(RefusedError, match=r"^Files and folders of this server are not read; upload files"):
            imports.bring_in_for(public, [], "/etc")


class TestQuotas:
    def test_jobs_at_once(self, public: Settings) -> None:
        public = replace(public, limits=Limits(jobs=1))
        first = board.submit(public, [MEASURABLE], ["spectrum"])
        with pytest.raises(RefusedError, match=r"^1 job of yours is in the queue, and a session may have 1 at once"):
            board.submit(public, ["lab/w16@0"], ["spectrum"])
        board.submit(replace(public, session="two"), ["lab/w16@0"], ["spectrum"])
        board.cancel(public, first)
        with pytest.raises(RefusedError, match=r"^1 job"):
            board.submit(public, ["lab/w16@0"], ["spectrum"]) and board.retry(public, first)

    def test_checkpoints_a_day(self, public: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        public = replace(public, limits=Limits(checkpoints=2))
        board.submit(public, [MEASURABLE], ["spectrum", "loss"])
        with pytest.raises(RefusedError, match="2 checkpoints a day, and 1 of yours are used; choose 1 or fewer now"):
            board.submit(public, ["lab/w16"], ["spectrum"])
        now = quota.time.monotonic()
        monkeypatch.setattr(quota.time, "monotonic", lambda: now + quota.DAY + 1)
        board.submit(public, ["lab/w16@0", "lab/w16-b4-ramp@0"], ["spectrum"])

    def test_the_whole_queue(self, public: Settings) -> None:
        public = replace(public, limits=Limits(queue=1))
        board.submit(public, [MEASURABLE], ["spectrum", "loss"])
        with pytest.raises(RefusedError, match=r"^1 checkpoint wait here already, and the queue takes 1; choose fewer"):
            board.submit(replace(public, session="two"), ["lab/w16@0"], ["spectrum"])

    def test_imports_and_their_bytes(self, public: Settings) -> None:
        quota.take_in(replace(public, limits=Limits(import_mb=1)), 900_000)
        with pytest.raises(RefusedError, match=r"may bring in 1 MB a day, 0\.9 MB are used and these are 0\.2; choose"):
            quota.take_in(replace(public, limits=Limits(import_mb=1)), 200_000)
        with pytest.raises(RefusedError, match=r"^A session may bring in files 1 times a day; come back tomorrow"):
            quota.take_in(replace(public, limits=Limits(imports=1)), 1)
        quota.take_in(replace(public, session="two", limits=Limits(imports=1)), 1)
        with pytest.raises(RefusedError, match=r"^This server takes no files"):
            quota.take_in(replace(public, limits=Limits(imports=0)), 1)
        with pytest.raises(RefusedError, match=r"^This server is full"):
            quota.take_in(replace(public, limits=Limits(disk_gb=0)), 1)

    def test_a_machine_of_ones_own_has_none(self, public: Settings) -> None:
        local = replace(public, mode="local", limits=Limits(*[0] * 7))
        board.submit(local, [MEASURABLE], ["spectrum"])
        quota.take_in(local, 10**12)
        assert len(board.jobs(local)) == 1


class TestSessions:
    def test_each_sees_and_ends_its_own_jobs(self, public: Settings) -> None:
        other = replace(public, session="two")
        job_id = board.submit(public, [MEASURABLE], ["spectrum"])
        assert [job.id for job in board.jobs(public)] == [job_id]
        assert board.jobs(other) == []
        for action in (board.find, board.cancel, board.retry, board.dismiss):
            with pytest.raises(JobError, match=r"^There is no job"):
                action(other, job_id)
        assert board.find(public, job_id).state == "waiting"

    def test_what_two_asked_for_goes_on_for_the_other(self, public: Settings) -> None:
        other = replace(public, session="two")
        job_id = board.submit(public, [MEASURABLE], ["spectrum"])
        assert board.submit(other, [MEASURABLE], ["spectrum"]) == job_id
        board.cancel(public, job_id)
        assert board.jobs(public) == []
        assert board.find(other, job_id).state == "waiting"
        board.cancel(other, job_id)
        assert board.find(other, job_id).state == "cancelled"
        board.dismiss(other, job_id)
        assert board.jobs(replace(public, mode="local")) == []


class TestImports:
    def test_results_of_a_registry_model(self, public: Settings) -> None:
        report = imports.bring_in_for(public, [("70m_step1000.json", result_file())], model="pythia/70m")
        assert (report.results, report.not_understood) == (1, [])

    def test_not_of_what_comes_with_the_server_nor_of_strangers(self, public: Settings) -> None:
        report = imports.bring_in_for(public, [("step1000.json", result_file())], model="lab/w8")
        assert report.empty
        assert report.not_understood[0][1].startswith("lab/w8 comes with this server and is not changed by an import")
        report = imports.bring_in_for(public, [("step1.json", result_file())], model="hub/some--thing")
        assert "is no model of the registry" in report.not_understood[0][1]

    def test_packs_are_held_to_the_same(self, public: Settings, tmp_path: Path) -> None:
        bundled = (ROOT / "cache" / "packs" / "lab.pack.zip").read_bytes()
        report = imports.bring_in_for(public, [("mine.zip", bundled)])
        assert report.not_understood[0][1].startswith("lab/")
        pack = pack_of(tmp_path, "pythia", "14m")
        report = imports.bring_in_for(public, [("mine.zip", pack.read_bytes())])
        assert report.packs == {"mine.zip": (1, 0)}

    def test_names_with_markup_stay_outside(self, cache: Path, tmp_path: Path) -> None:
        parsed = results.parse(
            json.loads(result_file(task="sciq")) | {"results": {EVIL: {"acc": 0.5}, "sciq": {"acc": 1}}}
        )
        assert [result.task for result in parsed.results] == ["sciq"]
        assert parsed.skipped[0].endswith("has signs of markup in its name.")
        store = Store(cache / "measurements.duckdb", bundled=cache)
        store.ensure()
        for pack in (pack_of(tmp_path, "pythia", EVIL), pack_of(tmp_path, "pythia", "14m", task="<b>sciq</b>")):
            with store.write() as connection, pytest.raises(PackError, match="of a name"):
                packs.load(connection, pack)

    def test_both_doors_know_the_same_signs(self) -> None:
        signs = [chr(number) for number in range(256)]
        found = pc.match_substring_regex(pa.array(signs), pack_rows.MARKUP).to_pylist()
        assert found == [bool(results.MARKUP.search(sign)) for sign in signs]
