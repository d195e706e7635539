"""Audit a model: gather the content ids of its checkpoints, compare them, and mark the doubtful ones in the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saturation.checkpoints import library
from saturation.checkpoints.audit import Audit, audit
from saturation.checkpoints.source import open_source
from saturation.errors import InputError
from saturation.families.model import Checkpoint
from saturation.settings import Settings
from saturation.store import Store, queries

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Gathered:
    """Content id and size in bytes of the weights by step, and the bytes received to learn them."""

    content_ids: dict[int, str]
    sizes: dict[int, int]
    received: int


def gather(checkpoints: Sequence[Checkpoint], cache: Path) -> Gathered:
    """Content ids and sizes from the hub's listing, or of local files. Checkpoints without a step are left out.

    Raises CheckpointError, HubError.
    """
    ids: dict[int, str] = {}
    sizes: dict[int, int] = {}
    received = 0
    for checkpoint in checkpoints:
        if checkpoint.step is not None:
            source = open_source(checkpoint, cache)
            ids[checkpoint.step] = source.weights.content_id()
            sizes[checkpoint.step] = source.weights.size()
            received += source.bytes_read
    return Gathered(ids, sizes, received)


def audit_model(store: Store, checkpoints: Sequence[Checkpoint], cache: Path) -> tuple[Audit, int]:
    """Compare one model's checkpoints with each other and with what the store knows, and record the doubtful ones.

    checkpoints: all that are known of the model. Returns what was found and how many bytes were received for it.
    """
    if len(checkpoints) < 2:
        raise InputError("An audit compares checkpoints with each other; name a model or a folder that holds several.")
    store.ensure()
    family, model = checkpoints[0].family, checkpoints[0].model
    gathered = gather(checkpoints, cache)
    known, shapes = queries.content_ids(store, family, model), queries.head_shapes(store, family, model)
    found = audit(known | gathered.content_ids, gathered.sizes, shapes)
    store.mark(family, model, found.doubtful)
    return found, gathered.received


def run_job(settings: Settings, options: Mapping[str, Any], report: Report) -> int:
    """Audit a published model of which some checkpoints are about to be measured; returns the bytes received.

    options: family and model. All revisions are compared, not only those chosen: a stale branch may repeat one that
    is not. Raises CheckpointError, HubError.
    """
    report(0, 1, "comparing content ids")
    every = list(library.list_checkpoints(settings.cache, options["family"], options["model"]).values())
    return audit_model(Store(settings.store_path), every, settings.cache)[1] if len(every) > 1 else 0


def as_json(found: Audit) -> dict[str, Any]:
    """The command line's JSON; `doubtful` lists each step with the reason."""
    return {
        "duplicates": found.duplicates,
        "missing": found.missing,
        "doubtful": {str(step): reason for step, reason in found.doubtful.items()},
    }


def as_text(found: Audit, name: str) -> str:
    """The same for a reader."""
    if not (found.duplicates or found.missing or found.doubtful):
        return f"{name}: every checkpoint differs from the others and no step is missing."
    lines = [f"{name}: {len(found.doubtful)} doubtful checkpoints, {len(found.missing)} missing steps."]
    lines += [f"  equal weights: {', '.join(map(str, steps))}" for steps in found.duplicates]
    lines += [f"  step {step}: {reason}" for step, reason in found.doubtful.items()]
    if found.missing:
        lines.append(f"  missing: {', '.join(map(str, found.missing))}")
    return "\n".join(lines)
