"""The lab's runs as a table: what was set, and what came of it. No torch."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from saturation.jobs.judgements import Judgements
from saturation.jobs.metrics import MEASURED, curve
from saturation.jobs.verdict import verdict_table
from saturation.lab.config import RunConfig, bundled_runs
from saturation.measures.verdict import Thresholds
from saturation.store import Store, queries

FAMILY = "lab"
SETTINGS = (
    "corpus",
    "hidden_size",
    "learning_rate",
    "schedule",
    "weight_decay",
    "precision",
    "tokens_per_step",
    "head",
)
"""What was set, in the order to show."""
AT_THE_END = (
    *("floor", "best_above_floor", "centred_entropy_last", "anisotropy_before_norm_last"),
    *("entropy_share", "centred_entropy_share"),
)


def settings(run: RunConfig) -> dict[str, Any]:
    """What a reader wants to know of a run's settings, by `SETTINGS`."""
    return {
        "corpus": corpus_in_words(run),
        "hidden_size": run.hidden_size,
        "learning_rate": run.learning_rate,
        "schedule": schedule_in_words(run),
        "weight_decay": run.weight_decay,
        "precision": run.precision if run.weight_dtype == "float32" else f"weights in {run.weight_dtype}",
        "tokens_per_step": run.tokens_per_step,
        "head": head_in_words(run),
    }


def corpus_in_words(run: RunConfig) -> str:
    """What a run was trained on."""
    kind = {
        "lab-python": "Python source",
        "lab-language-tail": "language with rare words",
        "lab-language": "language",
    }[run.text]
    return f"{kind}, {run.corpus.vocab_size:,} tokens"


def schedule_in_words(run: RunConfig) -> str:
    """How the rate changes; a warmup of more than a tenth of the run is worth a word."""
    if run.warmup > run.steps / 10:
        return f"climbing for {run.warmup:,} steps"
    return {"constant": "constant", "cosine": "cosine to a tenth", "wsd": "constant, then falling"}[run.schedule]


def head_in_words(run: RunConfig) -> str:
    """What a run changes about the head."""
    changes = [
        ("tied to the embedding", run.tied),
        ("row mean removed", run.centred_head),
        (f"mixture of {run.softmaxes} softmaxes", run.softmaxes > 1),
        (f"cosine penalty {run.cosine_penalty:g}", run.cosine_penalty),
        ("Coupled Adam", run.coupled_adam),
        (f"own weight decay {run.head_weight_decay or 0:g}", run.head_weight_decay is not None),
    ]
    return ", ".join(words for words, changed in changes if changed) or "plain"


def in_words(run: RunConfig) -> str:
    """A run in one sentence."""
    found = settings(run)
    parts = [
        f"Width {run.hidden_size}, trained on {found['corpus'].replace('language', 'the synthetic language')}",
        f"{run.tokens_per_step:,} tokens a step, {run.steps:,} steps",
        f"peak learning rate {run.learning_rate:g}, {found['schedule']}",
        f"weight decay {run.weight_decay:g}",
        found["precision"],
    ]
    return "; ".join([*parts, *([f"head: {found['head']}"] if found["head"] != "plain" else [])]) + "."


def table(store: Store, thresholds: Thresholds | None = None) -> pd.DataFrame:
    """One row a measured run of the bundled file, worst degradation of the loss first.

    The verdict's columns (`jobs.verdict.COLUMNS`), `SETTINGS`, and of the last checkpoint `AT_THE_END`; `entropy_share`
    is the singular entropy as a share of its largest value, the logarithm of the width.
    """
    held = queries.models(store)
    measured = set(held.loc[held["family"] == FAMILY, "model"])
    names = [name for name in bundled_runs() if name in measured]
    along = queries.trajectory(store, FAMILY, names)
    loss = MEASURED["nats_per_token"]
    remembers = Judgements.of(store)
    judged = verdict_table(curve(store, FAMILY, names, loss), along, loss, thresholds, remembers.judge)
    last = {str(model): rows.sort_values("step").iloc[-1] for model, rows in along.groupby("model")}
    added = [
        _added(bundled_runs()[name], dict(last[name]), best) for name, best in judged[["model", "best_value"]].values
    ]
    return judged.join(pd.DataFrame(added, columns=[*SETTINGS, *AT_THE_END], index=judged.index))


def _added(run: RunConfig, last: Mapping[str, Any], best: float) -> dict[str, Any]:
    widest = math.log(run.hidden_size)
    return settings(run) | {
        "floor": last["floor"],
        "best_above_floor": best - last["floor"],
        "centred_entropy_last": last["centred_singular_entropy"],
        "anisotropy_before_norm_last": last["anisotropy_before_norm"],
        "entropy_share": last["singular_entropy"] / widest,
        "centred_entropy_share": last["centred_singular_entropy"] / widest,
    }
