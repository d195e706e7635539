"""From what a user typed to checkpoints: `family/model@step`, a path, or `organisation/name@revision` on the hub."""

import re
from difflib import get_close_matches
from pathlib import Path

from saturation.checkpoints import library, local
from saturation.checkpoints.hub_errors import HubError
from saturation.errors import InputError
from saturation.families import registry
from saturation.families.model import Checkpoint

HUB_PREFIX = "hub:"
TARGET = re.compile(r"^(?P<family>[\w.-]+)/(?P<model>[\w.-]+)(?:@(?P<step>.+))?$")


def _looks_like_path(target: str) -> bool:
    return target.startswith((".", "/", "~")) or target.count("/") > 1 or _exists(target)


def _exists(target: str) -> bool:
    try:
        return Path(target).exists()
    except OSError:  # a name too long for the file system, a folder that may not be read
        return False


def resolve(target: str, cache: Path, refresh: bool = False) -> list[Checkpoint]:
    """The checkpoints that a target names, in step order; a model or repository without a step names all of them.

    refresh: ask the hub for a repository's revisions even if they were listed a moment ago.
    Raises InputError (UnknownNameError) or CheckpointError with one sentence that says what is wrong.
    """
    if target.startswith(HUB_PREFIX):
        return _of_repository(target.removeprefix(HUB_PREFIX), cache, refresh)
    match = TARGET.match(target)
    if match and match["family"] in registry.families() and match["family"] != registry.LOCAL:
        return _of_family(match["family"], match["model"], match["step"], cache, refresh)
    if _looks_like_path(target):
        try:
            return local.checkpoints_at(Path(target).expanduser())
        except (OSError, RuntimeError) as error:  # RuntimeError: ~name of no user
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"The path {target} cannot be read ({reason}); check the path.") from error
    if target.startswith(f"{registry.LOCAL}/"):
        raise InputError(f"'{target}' is no path; name a run on this machine by its folder.")
    if match:
        return _of_stranger(target, match["family"], cache, refresh)
    raise InputError(
        f"'{target}' is neither family/model@step, nor organisation/name@revision, nor a path; check the name."
    )


def _of_stranger(target: str, family: str, cache: Path, refresh: bool) -> list[Checkpoint]:
    """`a/b` that is neither a family's nor a path: a repository on the hub, unless it is a family misspelt."""
    known = [name for name in registry.families() if name not in (registry.LOCAL, registry.HUB)]
    if get_close_matches(family, known, cutoff=0.75):
        raise registry.unknown(f"folder {target} and no family", family, known)
    try:
        return _of_repository(target, cache, refresh)
    except HubError as error:
        raise InputError(
            f"There is no folder {target} and no family '{family}', and as a hub repository: {error}"
        ) from error


def _of_repository(name: str, cache: Path, refresh: bool) -> list[Checkpoint]:
    repo, _, revision = name.partition("@")
    if repo.count("/") != 1:
        raise InputError(f"'{repo}' is no repository; write organisation/name@revision.")
    return _of_family(registry.HUB, repo.replace("/", "--"), revision or None, cache, refresh)


def _of_family(family: str, model: str, step: str | None, cache: Path, refresh: bool) -> list[Checkpoint]:
    known = sorted({*registry.family(family).models, *(library.lab_models(cache) if family == library.LAB else [])})
    if model not in known and family != registry.HUB:
        raise registry.unknown("model", model, known, f" in {family}")
    found = library.list_checkpoints(cache, family, model, refresh)
    if not found and family == library.LAB:
        raise InputError(
            f"No weights of {family}/{model} are on this machine; train them with "
            f"`python -m saturation lab train --config {model}`."
        )
    if step is None and found:
        return list(found.values())
    if step is not None and step.isdecimal() and int(step) in found:
        return [found[int(step)]]
    if step == "0" and list(found) == [None]:  # how the store and the pages number a model of one checkpoint
        return list(found.values())
    repo = library.repository(family, model)
    if step is not None and repo is not None and not step.isdecimal():
        other = library.at_revision(cache, family, model, step)
        return [other] if other else []
    close = ", ".join(str(number) for number in _near(step, [number for number in found if number is not None]))
    where = f"of {repo} on the hub" if repo else "on this machine"
    hint = f"the nearest: {close}" if close else "it has a single checkpoint without a step: leave @step away"
    raise InputError(f"{family}/{model} has no checkpoint at step {step} {where}; {hint}.")


def _near(step: str | None, known: list[int]) -> list[int]:
    if not known:
        return []
    wanted = int(step) if step is not None and step.isdecimal() else known[-1]
    return sorted(sorted(known, key=lambda number: abs(number - wanted))[:5])


def resolve_one(target: str, cache: Path) -> Checkpoint:
    """The one checkpoint that a target names; a model or a run without a step means its last."""
    return resolve(target, cache)[-1]
