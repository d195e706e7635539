"""The checkpoints of a family: those of the lab on this machine, those that a repository on the hub lists. No torch.

The hub's client is imported where a repository is asked for: the dashboard starts without it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from saturation.checkpoints.layout import step_folders
from saturation.families import registry, steps
from saturation.families.model import Checkpoint
from saturation.families.registry import HUB
from saturation.settings import BUNDLED

if TYPE_CHECKING:
    from saturation.checkpoints.hub_listing import Refs

LAB = "lab"


def lab_folders(cache: Path) -> list[Path]:
    """Where lab runs lie: those that come with the project first, then those trained here."""
    return [BUNDLED / "checkpoints" / LAB, cache / LAB]


def lab_models(cache: Path) -> list[str]:
    """Names of the lab runs that have checkpoints on this machine."""
    present = [folder for folder in lab_folders(cache) if folder.is_dir()]
    return sorted({run.name for folder in present for run in folder.iterdir() if run.is_dir()})


def _lab(cache: Path, model: str) -> dict[int | None, Checkpoint]:
    found: dict[int, Checkpoint] = {}
    for folder in reversed(lab_folders(cache)):  # bundled weights win over a rerun of the same run
        run = folder / model
        if run.is_dir():
            for step, path in step_folders(run).items():
                found[step] = Checkpoint(LAB, model, step, source=f"{LAB}/{model}", revision=f"step{step}", path=path)
    return dict(sorted(found.items()))


def repository(family: str, model: str) -> str | None:
    """The hub repository of a model. One that no family names is its own: `organisation--name`."""
    if family == HUB:
        return model.replace("--", "/", 1)
    stated = registry.family(family).models.get(model)
    return stated.repository if stated else None


def _published(family: str, model: str, repo: str, refs: "Refs") -> dict[int | None, Checkpoint]:
    entry = None if family == HUB else registry.family(family)
    return {
        step: Checkpoint(family, model, step, source=repo, revision=revision.name, commit=revision.commit)
        for step, revision in steps.revisions(entry, refs.commits).items()
    }


def checkpoints(cache: Path, family: str, model: str) -> dict[int | None, Checkpoint]:
    """The checkpoints of a model by step, without asking the hub: the lab's, or the last listing of a repository."""
    if family == LAB:
        return _lab(cache, model)
    from saturation.checkpoints import hub

    repo = repository(family, model)
    refs = hub.last_refs(repo, cache) if repo else None
    return _published(family, model, repo, refs) if repo and refs else {}


def list_checkpoints(
    cache: Path, family: str, model: str, refresh: bool = False, seconds: float | None = None
) -> dict[int | None, Checkpoint]:
    """The same, after the hub was asked for a repository's branches and tags (at most hourly unless refresh).

    seconds: how long the hub is waited for at most, where a reader waits too.
    Offline, the last listing. Raises HubError where there is none, or where the hub refuses.
    """
    repo = repository(family, model)
    if family == LAB or repo is None:
        return checkpoints(cache, family, model)
    from saturation.checkpoints import hub

    connection = hub.Connection(hub.Patience.from_environment().at_most(seconds)) if seconds else None
    return _published(family, model, repo, hub.refs(repo, cache, refresh, connection=connection))


def at_revision(cache: Path, family: str, model: str, revision: str) -> Checkpoint | None:
    """A model at a branch, tag or commit that is no step of its family. None for a model without a repository.

    Raises HubError for a revision that the repository does not have.
    """
    repo = repository(family, model)
    if repo is None:
        return None
    from saturation.checkpoints import hub

    commit = hub.refs(repo, cache).commit(revision)
    parsed = steps.parse(revision, steps.COMMON_PATTERNS) if family == HUB else None
    return Checkpoint(family, model, parsed[0] if parsed else None, source=repo, revision=revision, commit=commit)
