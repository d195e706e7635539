"""From what is asked to jobs of the queue, and back. Imports no torch: the dashboard asks, workers compute."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from saturation.families.model import Checkpoint
from saturation.jobs.request import Request
from saturation.store.queue import Asked, Given

MEASURE, AUDIT = "measure", "audit"


def jobs(checkpoints: Sequence[Checkpoint], request: Request) -> list[Asked]:
    """One job a checkpoint and measure, after an audit of every published model that marks doubtful checkpoints.

    Paths are made absolute: a worker has another folder.
    """
    kept = replace(request, measures=request.measures[:1])  # the measure is the job's own
    reading = asdict(kept) | {"text": _absolute(kept.text), "tokenizer": _absolute(kept.tokenizer)}
    del reading["measures"]
    published = dict.fromkeys((item.family, item.model) for item in checkpoints if item.path is None)
    return [other(AUDIT, f"{family}/{model}", {"family": family, "model": model}) for family, model in published] + [
        Asked(
            MEASURE,
            checkpoint.name,
            _json({"checkpoint": asdict(checkpoint) | {"path": _absolute(checkpoint.path)}, "request": reading}),
            measure,
        )
        for checkpoint in checkpoints
        for measure in request.measures
    ]


def other(kind: str, title: str, options: dict[str, Any]) -> Asked:
    """A job of another kind; options are plain values."""
    return Asked(kind, title, _json(options))


def read(given: Given) -> tuple[Checkpoint, Request]:
    """The checkpoint and the request of jobs that measure."""
    values = json.loads(given.settings)
    checkpoint, reading = values["checkpoint"], values["request"]
    for part, name in ((checkpoint, "path"), (reading, "tokenizer")):
        part[name] = None if part[name] is None else Path(part[name])
    return Checkpoint(**checkpoint), Request(measures=given.measures, **reading)


def title(checkpoints: Sequence[Checkpoint]) -> str:
    """What a request is called: its models, and how many checkpoints."""
    models = list(dict.fromkeys(f"{item.family}/{item.model}" for item in checkpoints))
    named = models[0] if len(models) == 1 else f"{models[0]} and {len(models) - 1} more models"
    if len(checkpoints) == 1:
        return checkpoints[0].name
    return f"{named}, {len(checkpoints)} checkpoints"


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _absolute(path: str | Path | None) -> str | None:
    """The path of a file, absolute; the name of a bundled text stays as it is."""
    if path is None or not Path(path).exists():
        return None if path is None else str(path)
    return str(Path(path).absolute())
