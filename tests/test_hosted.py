"""Hosted dashboards: what demo and public refuse, in the library and on pages; what no visitor sees; the files."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import dashboard_store
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from streamlit.testing.v1 import AppTest

from saturation import settings
from saturation.cli import COMMANDS
from saturation.cli.serving import serve_options
from saturation.errors import InputError, JobError, PackError, RefusedError
from saturation.evaluations import results
from saturation.families.registry import LIVE, LOCAL
from saturation.figures import labels
from saturation.jobs import board, hosting, imports, live, quota
from saturation.settings import ROOT, Limits, Settings
from saturation.store import Evaluation, Store, pack_rows, packs, queue
from saturation.ui import holdings
from saturation.ui.words import inert, plain, sentence

EVIL = "<script>alert(1)</script> $x^2$ [click](https://evil.example) ![](https://evil.example/p.png) `code` %{x}"
MEASURABLE = "lab/w8@0"  # its weights come with the project


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker is started."""
    monkeypatch.setattr(board, "ensure_worker", lambda settings: None)


@pytest.fixture
def public(cache: Path, idle: None) -> Settings:
    return Settings(cache, "public", Limits(), "one")


@pytest.fixture
def demo(cache: Path, idle: None) -> Settings:
    return Settings(cache, "demo")


@pytest.fixture(autouse=True)
def _no_session_is_known_yet() -> Iterator[None]:
    yield
    quota._accounts.clear()


def result_file(task: str = "sciq", metric: str = "acc") -> bytes:
    return json.dumps({"results": {task: {metric: 0.5}}, "versions": {}, "config": {"model_args": ""}}).encode()


class TestSettings:
    def test_a_machine_that_cannot_measure_is_a_demonstration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SATURATION_MODE", raising=False)
        assert settings.load().mode == "local"
        monkeypatch.setattr(settings.importlib.util, "find_spec", lambda name: None)
        settings._default_mode.cache_clear()
        try:
            assert settings.load().mode == "demo"
            assert settings.load(mode="local").mode == "local"
        finally:
            settings._default_mode.cache_clear()

    def test_limits_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_PUBLIC_JOBS", "7")
        monkeypatch.setenv("SATURATION_PUBLIC_PARAMETERS", "1.5e9")
        found = settings.load(mode="public")
        assert found.limits == Limits(jobs=7, parameters=1.5e9)
        assert found.as_dict()["public_parameters"] == "1500000000"

    @pytest.mark.parametrize("given", ["many", "-1", "nan"])
    def test_a_limit_that_is_no_number(self, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_PUBLIC_IMPORT_MB", given)
        with pytest.raises(InputError, match=f"^SATURATION_PUBLIC_IMPORT_MB is '{given}'; give a number, 0 or more"):
            settings.load()


class TestDemo:
    """Read-only in the library, whatever a page draws."""

    @pytest.mark.parametrize(
        "ask",
        [
            lambda here: board.submit(here, [MEASURABLE], ["spectrum"]),
            lambda here: board.start(here, "playground", "a language", {}),
            lambda here: board.start(here, "heads", "heads", {"targets": [MEASURABLE], "train": True}),
            lambda here: board.cancel(here, "some"),
            lambda here: board.retry(here, "some"),
            lambda here: board.dismiss(here, "some"),
            lambda here: imports.bring_in_for(here, [("r.json", result_file())]),
            lambda here: imports.bring_in_for(here, [], "/etc"),
            lambda here: hosting.list_published(here, "pythia", "70m", 1.0),
            lambda here: quota.take_in(here, 1),
        ],
    )
    def test_nothing_is_changed(self, demo: Settings, ask) -> None:
        with pytest.raises(RefusedError, match=r"^This demonstration is read-only: .*; run your own with .*\.$"):
            ask(demo)
        assert not demo.store_path.exists()

    def test_what_an_operator_queued_is_shown_to_nobody(self, demo: Settings) -> None:
        board.submit(replace(demo, mode="local"), [MEASURABLE], ["spectrum"])
        assert board.jobs(demo) == []


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


def pack_of(folder: Path, family: str, model: str, task: str | None = None) -> Path:
    """A pack with a measurement of a model, or an evaluation, of any names."""
    store = Store(folder / f"{len(list(folder.iterdir()))}.duckdb", bundled=folder / "none")
    if task is None:
        (*_, row) = dashboard_store.measurements("14m", 0)
        store.add([replace(row, checkpoint=replace(row.checkpoint, family=family, model=model))])
    else:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        store.add_evaluations([Evaluation(family, model, 0, task, "acc", 0.5, "harness", "file", "id", now)])
    path = store.path.with_suffix(".pack.zip")
    with store.read() as connection:
        packs.save(connection, path, [f"{family}/{model}"])
    return path


class TestNothingLeaks:
    @pytest.mark.parametrize(
        ("sentence", "said"),
        [
            ("The folder CACHE/workers cannot be written.", "The folder workers cannot be written."),
            ("The store CACHE is damaged.", "The store  is damaged."),
            ("[Errno 28] No space: '/var/lib/x y/z.bin'", "[Errno 28] No space: 'x y/z.bin'"),
            ("There is no file ~/run; see /opt/a/b.txt, or (/srv/c)", "There is no file run; see b.txt, or (c)"),
            ("pythia/70m@3000 of EleutherAI/pythia-70m at https://hub.example/a/b: 1 / 2, and/or", None),
        ],
    )
    def test_paths_are_shortened(self, public: Settings, sentence: str, said: str | None) -> None:
        sentence = sentence.replace("CACHE", str(public.cache))
        assert hosting.said(public, sentence) == (sentence if said is None else said)
        assert hosting.said(replace(public, mode="local"), sentence) == sentence

    def test_no_token_is_in_a_sentence(self, public: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_aVerySecretToken")
        for here in (public, replace(public, mode="local")):
            assert hosting.said(here, "refused Bearer hf_aVerySecretToken!") == "refused Bearer …!"

    def test_no_token_is_printed(self, cache: Path) -> None:
        found = subprocess.run(
            [sys.executable, "-m", "saturation", "settings", "--json"],
            capture_output=True,
            text=True,
            env={"HF_TOKEN": "hf_aVerySecretToken", "SATURATION_CACHE": str(cache), "SATURATION_MODE": "public"},
            check=True,
            cwd=ROOT,
        )
        assert "Secret" not in found.stdout + found.stderr
        assert json.loads(found.stdout)["public_jobs"] == "2"

    def test_errors_of_jobs(self, public: Settings) -> None:
        job_id = board.submit(public, [MEASURABLE], ["spectrum"])
        store = Store(public.store_path)
        (given,) = queue.give(store, "worker", ["measure"])
        queue.finish(store, "worker", [(given, queue.Outcome("failed", f"{public.cache}/lab/x is damaged."))])
        assert board.find(public, job_id).error == "lab/x is damaged."

    def test_runs_of_the_machine_are_not_shown(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = dashboard_store.fill(cache / "measurements.duckdb")
        (*_, row) = dashboard_store.measurements("14m", 0)
        place = {"source": "/home/somebody/secret-run", "step": 1}
        for family in (LOCAL, LIVE):
            store.add([replace(row, checkpoint=replace(row.checkpoint, family=family, model="hidden~1", **place))])
        for mode, there in (("local", True), ("public", False), ("demo", False)):
            monkeypatch.setenv("SATURATION_MODE", mode)
            for page in ("pages/8_Data.py", "pages/5_Compare.py"):
                app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
                app.query_params["family"], app.query_params["model"] = LOCAL, "hidden~1"
                app.switch_page(page).run()
                assert not app.exception
                assert any("Local runs" in name for name in app.sidebar.selectbox[0].options) == there
                fields = "".join(str(field.options) for field in [*app.multiselect, *app.selectbox])
                assert "hidden~1" not in fields or there
                assert "somebody" not in str(app.main)
            if not there:  # a browser may ask for what was not offered
                with pytest.raises(PackError, match=r"^Nothing is stored of"):
                    holdings.pack([f"{LOCAL}/hidden~1"])

    def test_live_runs_are_not_brought_in(self, public: Settings) -> None:
        folder = live.folder(public)
        folder.mkdir(parents=True)
        (folder / "mine.jsonl").write_text("{}\n", encoding="utf-8")
        assert live.bring_in(public, Store(public.store_path)) == []
        assert not public.store_path.exists()

    def test_protections_of_the_server_are_on(self) -> None:
        config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
        assert config["server"]["enableXsrfProtection"] is True
        assert config["server"]["enableCORS"] is True
        assert config["client"]["showErrorDetails"] == "type"
        assert config["browser"]["gatherUsageStats"] is False

    def test_no_page_trusts_html(self) -> None:
        for path in [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "saturation").rglob("*.py")]:
            assert "unsafe_allow" not in path.read_text(encoding="utf-8"), path


class TestForeignWords:
    def test_as_markdown_they_are_literal(self) -> None:
        shown = plain(EVIL)
        assert re.sub(r"\\(.)", r"\1", shown) == EVIL
        assert not re.search(r"(?<!\\)[<>$`\[\]!*_:]", shown)

    def test_a_sentence_keeps_its_code(self) -> None:
        assert sentence("run `python -m x` for [a](b)") == r"run `python -m x` for \[a\]\(b\)"
        assert sentence("an odd ` and ``two`` [a]") == r"an odd \` and \``two`\` \[a\]"
        assert "<script>" not in sentence(f"`{EVIL}".replace("`code`", ""))

    def test_where_a_line_is_also_written_to_a_file(self) -> None:
        shown = inert(EVIL)
        assert not set("<>$`[]*\\") & set(shown)
        assert "https://evil" not in shown
        assert inert("lab/w8 · 2 checkpoints, steps 0–1,000") == "lab/w8 · 2 checkpoints, steps 0–1,000"

    def test_in_figures(self) -> None:
        shown = labels.literal(EVIL)
        assert "<script>" not in shown
        assert "%{" not in shown
        assert labels.literal("w16-b4 · 42.6k") == "w16-b4 · 42.6k"


class TestServe:
    @pytest.mark.parametrize(
        ("mode", "address", "options"),
        [
            ("local", "localhost", []),
            ("local", "0.0.0.0", ["--browser.serverAddress=localhost"]),
            ("demo", "0.0.0.0", ["--browser.serverAddress=localhost", "--server.maxUploadSize=1"]),
            ("public", "localhost", ["--server.maxUploadSize=64"]),
        ],
    )
    def test_what_streamlit_is_told(self, mode: str, address: str, options: list[str]) -> None:
        found = serve_options(Settings(Path("cache"), mode), 8600, address)
        assert found == ["--server.port=8600", f"--server.address={address}", *options]


class TestFiles:
    """What hosting services read. No container engine runs in the tests."""

    lines = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()

    def steps(self, name: str) -> list[str]:
        return [line.removeprefix(f"{name} ") for line in self.lines if line.startswith(f"{name} ")]

    def test_every_line_of_the_dockerfile_is_a_known_instruction(self) -> None:
        known = ("FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD")
        assert [
            line for line in self.lines if line and not line.startswith(("#", *(f"{name} " for name in known)))
        ] == []
        assert self.steps("FROM") == ["python:3.11-slim"]
        assert self.steps("USER") == ["saturation"]
        for line in self.steps("RUN"):
            subprocess.run(["sh", "-n", "-c", line], check=True)

    def test_what_is_copied_exists_and_is_let_through(self) -> None:
        allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"]
        for line in self.steps("COPY"):
            for source in line.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(f"{name}/".startswith(f"{source}/") or name == source for name in allowed), source
        for name in allowed:
            assert (ROOT / name).exists(), name

    def test_the_commands_parse(self) -> None:
        shell, _, line = json.loads(self.steps("CMD")[0])
        words = shlex.split(line.replace("$PORT", "8501"))
        assert (shell, words[:5]) == ("sh", ["exec", "python", "-m", "saturation", "serve"])
        serve = next(command for command in COMMANDS if command.name == "serve")
        parsed = serve.make_context("serve", words[5:], obj=None)
        assert isinstance(parsed, click.Context)
        assert parsed.params == {"address": "0.0.0.0", "port": 8501}
        python, flag, code = json.loads(self.steps("HEALTHCHECK")[0].partition("CMD ")[2])
        assert (python, flag) == ("python", "-c")
        compile(code, "healthcheck", "exec")
        assert "/_stcore/health" in code

    def test_the_small_requirements_are_of_the_same_versions(self) -> None:
        def pins(path: Path) -> set[str]:
            return {line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")}

        whole, small = pins(ROOT / "requirements.txt"), pins(ROOT / "deploy" / "demo" / "requirements.txt")
        left_out = {line.partition("==")[0] for line in whole - small}
        assert small <= whole
        measuring = {"torch", "transformers", "safetensors", "tokenizers", "sentencepiece", "distributed"}
        assert left_out == measuring | {"kaleido", "pypdf"}  # PDFs need a browser as well

    def test_the_entry_of_the_demonstration_is_the_dashboard(self) -> None:
        folder = ROOT / "deploy" / "demo"
        for name in ("app.py", "pages", "saturation"):
            assert (folder / name).resolve() == ROOT / name
        config = tomllib.loads((folder / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
        assert config["server"]["address"] == "0.0.0.0"

    def test_the_card_of_the_space(self) -> None:
        _, front, _ = (ROOT / "deploy" / "spaces" / "README.md").read_text("utf-8").split("---\n")
        card = dict(line.split(": ", 1) for line in front.splitlines())
        assert (card["sdk"], card["app_port"]) == ("docker", self.steps("EXPOSE")[0])
        assert len(card["short_description"]) <= 60


WITHOUT = """
import sys
from importlib.machinery import PathFinder

HEAVY = {"torch", "transformers", "tokenizers", "safetensors", "sentencepiece", "distributed", "dask", "kaleido"}
HEAVY |= {"pypdf", "choreographer"}

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HEAVY else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from streamlit.testing.v1 import AppTest
from saturation import settings
from saturation.ui.pages import PAGES

found = settings.load()
assert found.mode == "demo", found
for page in PAGES:
    app = AppTest.from_file("app.py", default_timeout=60)
    app = (app if page.path == "app.py" else app.switch_page(page.path)).run()
    assert not app.exception and not app.error, (page, app.exception, app.error)
    assert {button.label for button in app.button} <= {"Save", "Run"} and not app.get("file_uploader"), page
    assert str(found.cache) not in str(app.main), page
assert not HEAVY & set(sys.modules)
"""


def test_a_demonstration_needs_nothing_that_measures_and_offers_to_change_nothing(cache: Path) -> None:
    """Every page in a process in which torch and what goes with it cannot be found, the first visit included."""
    environment = {"SATURATION_CACHE": str(cache), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", WITHOUT]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr[-2000:]
