"""Hosted dashboards: settings and limits, what a demonstration refuses, what the server is told."""

from dataclasses import replace
from pathlib import Path

import pytest
from hosted import MEASURABLE, demo, idle, no_session_is_known_yet, public, result_file

from saturation import settings
from saturation.cli.serving import serve_options
from saturation.errors import InputError, RefusedError
from saturation.jobs import board, hosting, imports, quota
from saturation.settings import Limits, Settings

__all__ = ["demo", "idle", "no_session_is_known_yet", "public"]  # fixtures of another file


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
