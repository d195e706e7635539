"""Processes killed in the middle of their work (`python -m benchmarks.kills` does it 200 times)."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from command_line import saturation
from test_sweep import run

from benchmarks.kills import Drill, checkpoints
from saturation import settings
from saturation.jobs import board, presence
from saturation.settings import ROOT
from saturation.store import Store, queries

__all__ = ["run"]  # a fixture of another file


class Quick(Drill):
    """What nobody kills is done in this process, which has torch already."""

    def complete(self, *arguments: str, cache: Path | None = None) -> None:
        found = saturation("--cache", cache or self.settings.cache, *arguments)
        if found.code:
            self.report.problems.append(found.stderr)


def test_killed_sweeps_lose_nothing(tmp_path: Path) -> None:
    """Two kills of sweeps and workers; what was there stays, and the end is that of an undisturbed sweep."""
    drill = Quick(tmp_path, checkpoints(tmp_path / "lab", 4), tokens=3000, seed=3)
    report = drill.go(2, longest=7.0)
    assert report.problems == []
    assert report.kills == 2
    assert report.values > 0


def test_work_goes_on_when_the_dashboard_is_killed(run: Path, cache: Path) -> None:
    """The page's process asks for a run and is killed at once; the worker that it started does the rest."""
    code = (
        "import sys, time\nfrom saturation import settings\nfrom saturation.jobs import board\n"
        "board.submit(settings.load(), [sys.argv[1]], ['spectrum'])\nprint('asked', flush=True)\ntime.sleep(100)\n"
    )
    page = subprocess.Popen([sys.executable, "-c", code, str(run)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert page.stdout is not None
    assert page.stdout.readline() == "asked\n"
    page.kill()
    page.wait()
    here, deadline = settings.load(cache), time.monotonic() + 60
    while board.jobs(here, revive=False)[0].state != "done" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert queries.provenance(Store(here.store_path), "local")["step"].tolist() == [2, 10, 100]
    for life in presence.lives(here.workers_path):
        os.kill(life.pid, signal.SIGTERM)
