"""Audit a model: gather the content ids of its checkpoints, compare them, and mark the doubtful ones in the store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saturation.checkpoints.audit import Audit, audit
from saturation.checkpoints.source import open_source
from saturation.families.model import Checkpoint
from saturation.store import Store, queries


def content_ids(checkpoints: Sequence[Checkpoint], cache: Path) -> dict[int, str]:
    """Content id of the weights by step: from the hub's listing, or by hashing local files.

    Checkpoints without a step are left out. Raises CheckpointError, HubError.
    """
    return {
        checkpoint.step: open_source(checkpoint, cache).weights.content_id()
        for checkpoint in checkpoints
        if checkpoint.step is not None
    }


def audit_model(store: Store, checkpoints: Sequence[Checkpoint], cache: Path) -> Audit:
    """Compare one model's checkpoints with each other and with what the store knows, and record the doubtful ones."""
    store.ensure()
    family, model = checkpoints[0].family, checkpoints[0].model
    known = queries.content_ids(store, family, model)
    found = audit(known | content_ids(checkpoints, cache))
    store.mark(family, model, found.doubtful)
    return found


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
