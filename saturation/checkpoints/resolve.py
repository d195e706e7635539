"""From what a user typed to checkpoints: `family/model@step`, `family/model`, or a path."""

import re
from pathlib import Path

from saturation.checkpoints import library, local
from saturation.errors import InputError
from saturation.families import registry
from saturation.families.model import Checkpoint

TARGET = re.compile(r"^(?P<family>[\w.-]+)/(?P<model>[\w.-]+)(?:@(?P<step>.+))?$")


def _looks_like_path(target: str) -> bool:
    return target.startswith((".", "/", "~")) or target.count("/") > 1 or Path(target).expanduser().exists()


def resolve(target: str, cache: Path) -> list[Checkpoint]:
    """The checkpoints that a target names, in step order; `family/model` without a step names all of them.

    Raises InputError (UnknownNameError) or CheckpointError with one sentence that says what is wrong.
    """
    match = TARGET.match(target)
    if match and match["family"] in registry.families() and match["family"] != registry.LOCAL:
        return _of_family(match["family"], match["model"], match["step"], cache)
    if _looks_like_path(target):
        return local.checkpoints_at(Path(target).expanduser())
    if match:
        raise registry.unknown("family", match["family"], list(registry.families()))
    raise InputError(f"'{target}' is neither family/model@step nor an existing path; check the name.")


def _of_family(family: str, model: str, step: str | None, cache: Path) -> list[Checkpoint]:
    known = sorted({*registry.family(family).models, *(library.lab_models(cache) if family == library.LAB else [])})
    if model not in known:
        raise registry.unknown("model", model, known, f" in {family}")
    found = library.checkpoints(cache, family, model)
    if not found:
        raise InputError(
            f"No weights of {family}/{model} are on this machine; train them with "
            f"`python -m saturation lab train --config {model}`."
        )
    if step is None:
        return list(found.values())
    if not step.isdigit() or int(step) not in found:
        close = ", ".join(str(number) for number in _near(step, list(found)))
        raise InputError(f"{family}/{model} has no checkpoint at step {step} on this machine; the nearest: {close}.")
    return [found[int(step)]]


def _near(step: str, known: list[int]) -> list[int]:
    wanted = int(step) if step.isdigit() else known[-1]
    return sorted(sorted(known, key=lambda number: abs(number - wanted))[:5])


def resolve_one(target: str, cache: Path) -> Checkpoint:
    """The one checkpoint that a target names; a model or a run without a step means its last."""
    return resolve(target, cache)[-1]
