"""Checkpoints in folders of this machine: one model, or a training run of many steps."""

import hashlib
import json
import os
import re
from pathlib import Path

from saturation.checkpoints.layout import STEP_FOLDER, step_folders, weights_in
from saturation.errors import CheckpointError, InputError
from saturation.families.model import Checkpoint
from saturation.families.registry import LOCAL


def step_of(path: Path) -> int | None:
    """The training step that a folder's name tells, else the one in the Trainer's own state, else None."""
    match = STEP_FOLDER.match(path.name)
    if match:
        return int(match[1])
    state = path / "trainer_state.json"
    if state.is_file():
        try:
            return int(json.loads(state.read_text(encoding="utf-8"))["global_step"])
        except (ValueError, KeyError, TypeError):
            return None
    return None


def run_name(folder: Path) -> str:
    """Name of a local run: its folder's, with four hex digits of its place, so that two runs never mix."""
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:4]
    return re.sub(r"[^\w.+-]+", "-", folder.resolve().name) + f"~{place}"


def run_and_step(path: Path) -> tuple[Path, int | None]:
    """The folder of the run that a checkpoint belongs to, by its absolute path, and its step if anything tells it."""
    # A link's own name tells the step (step7 -> a blob), else that of what it points at (latest -> step7).
    place = path if STEP_FOLDER.match(path.name) else path.resolve()
    return place.parent if STEP_FOLDER.match(place.name) else path, step_of(place)


def checkpoints_at(path: Path) -> list[Checkpoint]:
    """Every checkpoint at a path: one model folder or weight file, or all steps of a training run in order.

    Raises InputError for a path that does not exist, CheckpointError for one without checkpoints.
    """
    path = Path(os.path.abspath(path))  # `.` gets its name; a symlink keeps its own
    if not path.exists():
        raise InputError(f"There is no file or folder {path}; check the path.")
    if path.is_file() or weights_in(path):
        run, step = run_and_step(path)
        return [_checkpoint(run, step, path)]
    steps = step_folders(path)
    if not steps:
        raise CheckpointError(
            f"{path} holds no model and no checkpoints (folders step*, checkpoint-* or global_step* with weights)."
        )
    return [_checkpoint(path, step, folder) for step, folder in steps.items()]


def _checkpoint(run: Path, step: int | None, path: Path) -> Checkpoint:
    return Checkpoint(LOCAL, run_name(run), step, source=str(path.resolve()), path=path)
