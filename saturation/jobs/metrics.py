"""Metrics of performance along training, by one name: what was measured here, and what a harness evaluated. No torch.

A metric is `loss`, `perplexity`, ... of the family's text, or `task/metric` of imported evaluations.
"""

from dataclasses import dataclass

import pandas as pd

from saturation.errors import InputError
from saturation.evaluations.results import RENAMED
from saturation.families import registry, steps
from saturation.families.model import Family
from saturation.store import Store, queries

LOSS = "loss"


@dataclass(frozen=True)
class Metric:
    """A metric's name, how it is written on an axis, and its direction (None where no one states it)."""

    name: str
    label: str
    unit: str
    higher_is_better: bool | None = False

    @property
    def title(self) -> str:
        """The label with its unit, for an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


# Measured here, by the column of the trajectory.
MEASURED = {
    "nats_per_token": Metric(LOSS, "loss", "nats/token"),
    "perplexity": Metric("perplexity", "perplexity", "per token"),
    "word_perplexity": Metric("word_perplexity", "word perplexity", "per word"),
    "bits_per_byte": Metric("bits_per_byte", "bits per byte", "bits/byte"),
    "accuracy": Metric("accuracy", "accuracy", "share of tokens", higher_is_better=True),
}
COLUMNS = {metric.name: column for column, metric in MEASURED.items()}
# Shown first where they were evaluated: what the paper shows.
PREFERRED = ("wikitext/word_perplexity", "lambada_openai/perplexity", "lambada_openai/acc")
CURVE = ["family", "model", "step", "parameters", "hidden_size", "layers", "vocab_size", "value", "stderr", "floor"]


def available(store: Store, family: str) -> list[Metric]:
    """The metrics that a family has values of: measured ones first, then evaluations, the fullest first."""
    rows = queries.trajectory(store, family)
    found = [metric for column, metric in MEASURED.items() if rows[column].notna().any()]
    evaluated = [
        _of_task(task, metric, None if pd.isna(up) else bool(up))
        for task, metric, up in queries.metrics(store, family)[["task", "metric", "higher_is_better"]].itertuples(
            index=False, name=None
        )
    ]
    order = {name: place for place, name in enumerate(PREFERRED)}
    return found + sorted(evaluated, key=lambda metric: order.get(metric.name, len(order)))


def _of_task(task: str, metric: str, higher_is_better: bool | None) -> Metric:
    return Metric(f"{task}/{metric}", f"{task} {metric.replace('_', ' ')}", "", higher_is_better)


def named(store: Store, family: str, name: str) -> Metric:
    """The metric of this name that a family has values of; `task/ppl` is `task/perplexity`.

    Raises UnknownNameError, which names close matches; InputError where the family has no values at all.
    """
    task, _, metric = name.rpartition("/")
    wanted = f"{task}/{RENAMED.get(metric, metric)}" if task else name
    known = {metric.name: metric for metric in available(store, family)}
    if wanted in known:
        return known[wanted]
    if wanted in COLUMNS:
        raise InputError(
            f"No {wanted} of {family} is measured; run `python -m saturation sweep {family}/MODEL`, or choose among "
            f"what there is: {', '.join(list(known)[:8]) or 'nothing so far'}."
        )
    raise registry.unknown("metric", name, [*COLUMNS, *(key for key in known if key not in COLUMNS)], f" of {family}")


def curve(store: Store, family: str, models: list[str] | None, metric: Metric) -> pd.DataFrame:
    """One row per (model, step) that has a value, in the order of parameters, model and step.

    Columns: family, model, step, parameters, hidden_size, layers, vocab_size (NaN where not known), value, stderr and
    floor (NaN where there is none), doubtful, source, text_id (None for evaluations), and by the registry
    trained_tokens, peak_learning_rate and vocab_per_width.
    """
    if metric.name in COLUMNS:
        rows = queries.trajectory(store, family, models)
        rows = rows.rename(columns={COLUMNS[metric.name]: "value", "text_name": "source"})
        rows["stderr"] = float("nan")
        if metric.name != LOSS:
            rows["floor"] = float("nan")  # the exact entropy is in nats per token
        rows = rows[rows["value"].notna()]
    else:
        rows = _evaluated(store, family, models, metric)
    rows = rows[[*CURVE, "revision", "doubtful", "source", "text_id"]]
    return with_training(rows).sort_values(["parameters", "model", "step"], kind="stable", ignore_index=True)


def _evaluated(store: Store, family: str, models: list[str] | None, metric: Metric) -> pd.DataFrame:
    """Evaluations of one metric; the fewest shots where a step was evaluated with several."""
    task, _, name = metric.name.rpartition("/")
    rows = queries.evaluations(store, family, models, task, name)
    rows = rows.sort_values("shots", kind="stable").drop_duplicates(["model", "step"])
    shapes = queries.models(store)
    shapes = shapes[shapes["family"] == family].set_index("model")
    stated = registry.family(family).models
    for column in ("parameters", "hidden_size", "layers", "vocab_size"):
        held = {model: getattr(entry, column) for model, entry in stated.items()} | shapes[column].dropna().to_dict()
        rows[column] = rows["model"].map(held).astype("float64")
    rows["floor"], rows["revision"], rows["text_id"] = float("nan"), None, None
    return rows


def with_training(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with trained_tokens (at the step), peak_learning_rate and vocab_per_width, NaN where not known.

    rows: family, model, step, revision, hidden_size, vocab_size. Source: the registry of families.
    """
    entries = {name: registry.family(name) for name in rows["family"].unique()}
    keys = zip(rows["family"], rows["model"], rows["step"], rows["revision"], strict=True)
    tokens = [_tokens(entries[family], model, int(step), revision) for family, model, step, revision in keys]
    pairs = zip(rows["family"], rows["model"], strict=True)
    rates = [_learning_rate(entries[family], model) for family, model in pairs]
    return rows.assign(
        trained_tokens=pd.Series(tokens, index=rows.index, dtype="float64"),
        peak_learning_rate=pd.Series(rates, index=rows.index, dtype="float64"),
        vocab_per_width=rows["vocab_size"].astype("float64") / rows["hidden_size"].astype("float64"),
    )


def _tokens(family: Family, model: str, step: int, revision: object) -> float:
    """Tokens trained on at a step: as the revision's name states it, else steps times the batch."""
    parsed = steps.parse(revision, family.revision_patterns) if isinstance(revision, str) else None
    if parsed and parsed[1] is not None:
        return parsed[1] * 1e9
    entry = family.models.get(model)
    batch = (entry.tokens_per_step if entry else None) or family.tokens_per_step
    return float(step * batch) if batch else float("nan")


def _learning_rate(family: Family, model: str) -> float:
    entry = family.models.get(model)
    return entry.peak_learning_rate if entry and entry.peak_learning_rate else float("nan")
