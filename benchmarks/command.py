"""The command line in a process of its own, as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from saturation.settings import ROOT


def saturation(cache: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Stdout of `python -m saturation ... --json` on a cache folder. Raises RuntimeError where it fails."""
    command = [sys.executable, "-m", "saturation", "--cache", str(cache), *arguments, "--json"]
    done = subprocess.run(command, env=env or os.environ, cwd=ROOT, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
