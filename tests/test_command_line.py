"""Commands that measure nothing: what there is, what is in force, what help says."""

from pathlib import Path

import pytest
from command_line import saturation

from saturation import __version__, settings
from saturation.cli import cli
from saturation.errors import InputError
from saturation.families import registry
from saturation.settings import BUNDLED


class TestFamilies:
    def test_json_keys(self, cache: Path) -> None:
        found = saturation("families", "--json").json
        assert set(found) == {"families"}
        assert [family["name"] for family in found["families"]] == list(registry.families())
        for family in found["families"]:
            assert set(family) == {"name", "title", "models"}
            for model in family["models"]:
                assert set(model) == {"name", "parameters", "hidden_size", "layers", "checkpoints", "measured"}
                assert 0 <= model["measured"] <= model["checkpoints"]

    def test_the_lab_is_measured_out_of_the_box(self, cache: Path) -> None:
        lab = saturation("families", "--json").json["families"][0]
        assert lab["name"] == "lab"
        found = {model["name"]: model for model in lab["models"]}
        assert {model["name"] for model in lab["models"]} == set(registry.family("lab").models)
        assert all(model["measured"] >= 30 for model in lab["models"])
        for name, width in {"w8": 8, "w16": 16, "w32": 32, "w64": 64}.items():
            model = found[name]
            assert (model["hidden_size"], model["measured"]) == (width, 41)
            # Embedding and head of 1024 rows each; three blocks of 12 d^2 + 13 d; the last norm.
            assert model["parameters"] == 2 * 1024 * width + 3 * (12 * width**2 + 13 * width) + 2 * width

    def test_for_a_reader(self, cache: Path) -> None:
        lines = saturation("families").stdout.splitlines()
        assert lines[0] == "lab: Lab"
        assert lines[1].split()[:6] == ["w8", "19,016", "parameters,", "hidden", "size", "8,"]


class TestSettings:
    def test_the_environment(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_MODE", "demo")
        found = saturation("settings", "--json").json
        assert (found["cache"], found["mode"]) == (str(cache), "demo")
        assert found["store"] == str(cache / "measurements.duckdb")

    def test_a_flag_wins(self, cache: Path, tmp_path: Path) -> None:
        assert saturation("--cache", tmp_path / "other", "settings", "--json").json["cache"] == str(tmp_path / "other")

    def test_defaults(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SATURATION_CACHE")
        monkeypatch.delenv("SATURATION_MODE", raising=False)
        assert settings.load() == settings.Settings(BUNDLED.resolve(), "local")

    def test_an_empty_value_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_CACHE", "")
        monkeypatch.setenv("SATURATION_MODE", "")
        assert settings.load() == settings.Settings(BUNDLED.resolve(), "local")

    def test_home_and_relative_folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        assert settings.load("~/cache").cache == settings.load("cache").cache == tmp_path / "cache"

    @pytest.mark.parametrize("mode", settings.MODES)
    def test_modes(self, mode: str) -> None:
        assert settings.load(mode=mode).mode == mode

    def test_another_mode(self) -> None:
        with pytest.raises(InputError, match=r"^SATURATION_MODE is 'secret'; set it to one of local, public, demo\.$"):
            settings.load(mode="secret")


@pytest.mark.parametrize("command", [[], *([name] for name in cli.commands)], ids=lambda command: " ".join(command))
def test_every_command_explains_itself(command: list[str]) -> None:
    outcome = saturation(*command, "--help")
    assert outcome.code == 0
    assert outcome.stdout.startswith("Usage: ")
    assert len(outcome.stdout.splitlines()[2].split()) >= 3, "a sentence that says what it does"


def test_version() -> None:
    assert saturation("--version").stdout == f"saturation, version {__version__}\n"


def test_a_mode_that_does_not_exist(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATURATION_MODE", "secret")
    assert saturation("settings").sentence == "SATURATION_MODE is 'secret'; set it to one of local, public, demo."


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sentence = saturation("--cache", tmp_path / "file" / "cache", "families").sentence
    assert sentence == f"The folder {tmp_path / 'file' / 'cache'} cannot be made (Not a directory)."


def test_a_store_that_is_something_else(cache: Path) -> None:
    cache.mkdir()
    (cache / "measurements.duckdb").write_bytes(b"hello" * 1000)
    assert saturation("families").code == 0
    (kept,) = cache.glob("measurements.damaged-*.duckdb")
    assert kept.read_bytes() == b"hello" * 1000
