"""What no visitor of a hosted dashboard sees, and foreign words that are shown as they are."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import dashboard_store
import pytest
from hosted import EVIL, MEASURABLE, demo, idle, no_session_is_known_yet, public
from streamlit.testing.v1 import AppTest

from saturation.errors import PackError
from saturation.families.registry import LIVE, LOCAL
from saturation.figures import labels
from saturation.jobs import board, hosting, live
from saturation.settings import ROOT, Settings
from saturation.store import Store, queue
from saturation.ui import holdings
from saturation.ui.words import inert, plain, sentence

__all__ = ["demo", "idle", "no_session_is_known_yet", "public"]  # fixtures of another file


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
