"""What a page asks for at once: measures and heads of lower rank of many checkpoints, as requests of the queue."""

import json
from collections.abc import Mapping

import pandas as pd

from saturation.jobs import board, hosting, leads
from saturation.jobs.request import HEADS, MEASURES
from saturation.settings import Settings
from saturation.store import Store, in_use, queue


def ask(settings: Settings, wanted: Mapping[str, tuple[str, ...]], text: str | None = None) -> list[str]:
    """Ask for what each target lacks and return the ids of the jobs: one for measures, one for each kind of heads.

    wanted: measures and kinds of heads (`request.HEADS`) by target; text: other than the family's own.
    Raises SaturationError.
    """
    hosting.check_targets(settings, list(wanted), text)
    measured = {target: tuple(name for name in names if name in MEASURES) for target, names in wanted.items()}
    measured = {target: names for target, names in measured.items() if names}
    asked = [board.submit_each(settings, measured, text)] if measured else []
    for name in HEADS:
        targets = [target for target, names in wanted.items() if name in names]
        if targets:
            title = targets[0] if len(targets) == 1 else f"{targets[0]} and {len(targets) - 1} more"
            options = {"targets": targets, "train": name == HEADS[1]} | ({"text": text} if text else {})
            asked.append(board.start(settings, "heads", title, options))
    return asked


def waiting(store: Store, family: str) -> pd.DataFrame:
    """What waits or runs of a family: columns target, measure (heads by `request.HEADS`)."""
    rows = [queue.waiting_measures(store, family)]
    for settings in in_use.active_settings(store, "heads"):
        options = json.loads(settings)
        kind = HEADS[1] if options.get("train", True) else HEADS[0]
        names = [leads.target_name(target) for target in options["targets"]]
        own = [name for name in names if name.startswith(f"{family}/")]
        rows.append(pd.DataFrame({"target": own, "measure": kind}))
    return pd.concat(rows, ignore_index=True)


def of_model(waiting: pd.DataFrame, name: str) -> pd.DataFrame:
    """Those rows that are of a model, by its name `family/model`."""
    return waiting[waiting["target"].map(lambda target: target.rpartition("@")[0] or target) == name]
