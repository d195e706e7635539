"""Heads of lower rank as a page shows them, worked out once for each selection."""

from dataclasses import dataclass

import pandas as pd

from saturation.jobs import head_tables
from saturation.ui import data
from saturation.ui.memory import kept


@dataclass(frozen=True)
class Heads:
    """Heads of lower rank at a step: trained, cut and own by rank; the rates tried; all trained steps."""

    table: pd.DataFrame
    tried: pd.DataFrame
    trained_steps: tuple[int, ...]


def heads(family: str, models: tuple[str, ...], step: int) -> Heads:
    """The heads of each model at its step nearest to `step` (`jobs.head_tables`)."""
    opened = data.store()
    return _heads(str(opened.path), opened.signature(), family, models, step)


@kept(16)
def _trained_on_one_text(path: str, signature: tuple[int, ...], family: str, models: tuple[str, ...]) -> pd.DataFrame:
    return head_tables.one_text(data.trained_heads(family, models))


@kept(64)
def _heads(path: str, signature: tuple[int, ...], family: str, models: tuple[str, ...], step: int) -> Heads:
    trained = _trained_on_one_text(path, signature, family, models)
    cut = head_tables.at_step(data.truncated_heads(family, models), step)
    beside = head_tables.trained_beside(trained, cut, step)
    tried = head_tables.rates(beside) if len(beside) else beside
    return Heads(
        head_tables.by_rank(beside, cut), tried, tuple(sorted(int(value) for value in trained["step"].unique()))
    )
