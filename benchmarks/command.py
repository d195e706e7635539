"""The command line in a process of its own, as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from saturation.settings import ROOT


def saturation(cache: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Stdout of `python -m saturation ... --json` on a cache folder. Raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "saturation", "--cache", str(cache), *arguments, "--json"]
    return subprocess.run(
        command,
        env=env or os.environ,
        cwd=ROOT,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ).stdout
