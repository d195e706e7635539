"""The token of the hub: sent to the endpoint alone, and never printed, logged, stored, exported or shown."""

import logging
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
from command_line import saturation
from hub_checkpoints import serving
from standin_hub import StandInHub
from streamlit.testing.v1 import AppTest

from saturation import settings
from saturation.errors import SaturationError
from saturation.jobs import board
from saturation.settings import ROOT
from saturation.store import Store, queue

MARKER = "hf_markerOfThisTest0123456789"
REPO = "org/model"
REFUSALS = ("gated", "unauthorized", "forbidden", "not_found", "no_revision", "error", "unavailable", "busy")


@pytest.fixture
def server(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[[str], Path]
) -> Iterator[StandInHub]:
    """A hub with a repository that only the marker opens, and listings of two entries a page."""
    with serving(monkeypatch, tmp_path / "home", page_size=2) as hub:
        hub.add(REPO, {"main": tiny_model("llama"), "step7": tiny_model("llama")}, token=MARKER)
        monkeypatch.setenv("HF_TOKEN", MARKER)
        monkeypatch.setenv("SATURATION_HUB_SECONDS", "0.1")
        yield hub


def said(*arguments: object) -> str:
    """All that a command prints; with --debug also the traceback that Python would."""
    try:
        outcome = saturation(*arguments)
    except SaturationError as error:
        return "".join(traceback.format_exception(error))
    return f"{outcome.code}\n{outcome.stdout}\n{outcome.stderr}"


def holders(*folders: Path) -> list[Path]:
    """Files with the marker in their name or their bytes, those in packs included."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        inside = [path.read_bytes(), str(path).encode()]
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                inside += [archive.read(name) for name in archive.namelist()]
        found += [path] if any(MARKER.encode() in content for content in inside) else []
    return found


def test_the_token_stays_between_us_and_the_hub(
    server: StandInHub, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "out").mkdir()
    (tmp_path / "corpus.txt").write_text(tiny.text(300), encoding="utf-8")
    printed = [said("settings", "--json")]
    for kind in REFUSALS:
        server.misbehave(kind, times=None)
        for debug in ([], ["--debug"]):
            told = said(*debug, "measure", f"{REPO}@step7", "--measures", "spectrum")
            assert ("Traceback" in told) == bool(debug), told
            printed.append(told)
        server.behave()
    server.misbehave("cut", "*safetensors", times=1, after=1)
    for command in (
        ("measure", f"{REPO}@step7", "--text", tmp_path / "corpus.txt", "--json"),
        ("ngram", tmp_path / "corpus.txt", "--tokenizer", REPO, "--order", 2, "--json"),
        ("sweep", REPO, "--measures", "spectrum", "--json"),
        ("families", "--json"),
        ("export", tmp_path / "out" / "mine.pack.zip", "--models", "hub/org--model", "--bottleneck"),
    ):
        printed.append(said(*command))
        assert printed[-1].startswith("0\n"), printed[-1]
    printed.append(said("audit", "pythia/14m", "--json"))  # this hub has no such model
    assert printed[-1].startswith("1\n")

    assert not [text for text in printed if MARKER in text]
    assert any(REPO in record.getMessage() for record in caplog.records)  # what was asked of the hub is logged
    assert MARKER not in caplog.text
    assert holders(cache, tmp_path) == []
    sent = {(request.server, request.authorization) for request in server.requests}
    assert sent == {("hub", f"Bearer {MARKER}"), ("storage", None)}


def test_no_page_shows_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the error of a job quotes it."""
    monkeypatch.setenv("HF_TOKEN", MARKER)
    monkeypatch.setattr(board, "ensure_worker", lambda settings: None)
    here = settings.load(cache)
    board.submit(here, ["lab/w8@0"], ["spectrum"])
    store = Store(here.store_path)
    (given,) = queue.give(store, "worker", ["measure"])
    queue.finish(store, "worker", [(given, queue.Outcome("failed", f"401 for Bearer {MARKER} at the proxy."))])
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page("pages/7_Measure.py").run()
    assert not app.exception
    assert [error.value for error in app.error] == [r"401 for Bearer … at the proxy\."]
    assert MARKER not in str(app)
