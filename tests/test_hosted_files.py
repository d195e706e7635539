"""What hosting services read, and a demonstration on a machine that cannot measure."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click

from saturation.cli import COMMANDS
from saturation.settings import ROOT


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
