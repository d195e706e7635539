"""Which models, steps and measures each figure of the paper needs, as data (`presets.toml`). Imports no torch."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from saturation.checkpoints.library import LAB
from saturation.families import registry
from saturation.families.model import Family

# Families whose models have nothing to do with each other: a preset takes the chosen one only.
STRANGERS = (registry.HUB, registry.LOCAL)


@dataclass(frozen=True)
class Preset:
    """What a figure needs to be measured.

    what: it shows, in a few words; draws: in a sentence; page: the name of the page that draws it. heads: `trained` or
    `truncated` heads of lower rank, else empty. steps: `all` or `last`. training: it follows training; tokens: it needs
    the number of tokens trained on. models: those of the paper by family. also: other keys that mean the same.
    """

    key: str
    title: str
    what: str
    draws: str
    page: str
    source: str
    steps: str
    measures: tuple[str, ...] = ()
    heads: str = ""
    training: bool = False
    tokens: bool = False
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """The measures as pages name them, heads of lower rank among them."""
        return (*self.measures, *((f"{self.heads} heads",) if self.heads else ()))

    def of_family(self, family: str, offered: Sequence[str]) -> list[str]:
        """The models among those offered that the figure takes: the paper's, or all where it drew none of them."""
        drawn = [name for name in offered if name in self.models.get(family, ())]
        return drawn or list(offered)

    def refusal(self, family: Family, models: Sequence[str] = ()) -> str | None:
        """Why the figure cannot be had of a family, as the end of a sentence; None where it can.

        models: names beyond the registry's that are offered of the family.
        """
        if family.name == registry.LIVE:
            return "live runs are measured while they train"
        if self.training and not follows_training(family):
            return "it follows training, and a model of this family has one checkpoint"
        if self.tokens and not states_tokens(family):
            return "it needs the number of tokens trained on, which is not stated for this family"
        if self.tokens and len({*family.models, *models}) < 2:
            return "it needs two models or more"
        return None


@dataclass(frozen=True)
class Elsewhere:
    """A figure of the paper that no checkpoint is measured for, and the page that has it."""

    key: str
    title: str
    page: str
    reason: str


def follows_training(family: Family) -> bool:
    """Whether models of a family can have more than one checkpoint."""
    return bool(family.revision_patterns) or family.name in (LAB, *STRANGERS)


def states_tokens(family: Family) -> bool:
    """Whether the tokens trained on at a step are known: by the batch, or by the names of the revisions."""
    named = any("billion_tokens" in pattern for pattern in family.revision_patterns)
    return named or bool(family.tokens_per_step) or any(model.tokens_per_step for model in family.models.values())


@cache
def _read() -> tuple[tuple[Preset, ...], tuple[Elsewhere, ...]]:
    entries = tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))
    return (
        tuple(Preset(**_frozen(entry)) for entry in entries["preset"]),
        tuple(Elsewhere(**entry) for entry in entries["elsewhere"]),
    )


def _frozen(entry: dict[str, Any]) -> dict[str, Any]:
    models = {family: tuple(names) for family, names in entry.pop("models", {}).items()}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()} | {
        "models": models
    }


def presets() -> dict[str, Preset]:
    """Every preset by its key, in the order of the paper."""
    return {preset.key: preset for preset in _read()[0]}


def elsewhere() -> tuple[Elsewhere, ...]:
    """The figures that are made from other things than checkpoints."""
    return _read()[1]


def preset(key: str) -> Preset:
    """The preset of this key. Raises UnknownNameError, which names what there is."""
    for found in presets().values():
        if key in (found.key, *found.also):
            return found
    raise registry.unknown("preset", key, [*presets()])


def offered(family: Family, models: Sequence[str] = ()) -> tuple[list[Preset], dict[str, list[str]]]:
    """The presets that a family can have, and the titles of the others by the reason why not."""
    fitting, refused = [], dict[str, list[str]]()
    for each in presets().values():
        reason = each.refusal(family, models)
        if reason is None:
            fitting.append(each)
        else:
            refused.setdefault(reason, []).append(each.title)
    return fitting, refused


@dataclass(frozen=True)
class Held:
    """How much of a figure is measured: checkpoints done, of how many that are known; models of which none is known."""

    done: int
    total: int
    unknown: tuple[str, ...] = ()


def held(preset: Preset, known: Mapping[str, pd.DataFrame]) -> Held:
    """How far the figure is. known: the catalogue (`catalogue.table`) of each of its models."""
    done = total = 0
    for table in known.values():
        rows = table[table["step"] == table["step"].max()] if preset.steps == "last" else table
        done += int(rows[list(preset.asked)].all(axis=1).sum())
        total += len(rows)
    return Held(done, total, tuple(name for name, table in known.items() if table.empty))
