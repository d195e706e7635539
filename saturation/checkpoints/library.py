"""Checkpoints of registry families that lie on this machine: the bundled lab, and lab runs trained here."""

from pathlib import Path

from saturation.checkpoints.layout import step_folders
from saturation.families.model import Checkpoint
from saturation.settings import BUNDLED

LAB = "lab"


def lab_folders(cache: Path) -> list[Path]:
    """Where lab runs lie: those that come with the project first, then those trained here."""
    return [BUNDLED / "checkpoints" / LAB, cache / LAB]


def lab_models(cache: Path) -> list[str]:
    """Names of the lab runs that have checkpoints on this machine."""
    present = [folder for folder in lab_folders(cache) if folder.is_dir()]
    return sorted({run.name for folder in present for run in folder.iterdir() if run.is_dir()})


def checkpoints(cache: Path, family: str, model: str) -> dict[int, Checkpoint]:
    """The checkpoints of a model whose weights are on this machine, by step in ascending order."""
    if family != LAB:
        return {}
    found: dict[int, Checkpoint] = {}
    for folder in reversed(lab_folders(cache)):  # bundled weights win over a rerun of the same run
        run = folder / model
        if run.is_dir():
            for step, path in step_folders(run).items():
                found[step] = Checkpoint(LAB, model, step, source=f"{LAB}/{model}", revision=f"step{step}", path=path)
    return dict(sorted(found.items()))
