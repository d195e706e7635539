"""Verdicts on stored runs: one model, or a table of all; and what they say, in words. No torch."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from saturation.errors import InputError
from saturation.jobs.metrics import Metric
from saturation.measures.onset import FEWEST
from saturation.measures.verdict import (
    ANISOTROPY,
    ENTROPY,
    PERFORMANCE,
    Place,
    RunVerdict,
    Series,
    Thresholds,
    judge,
    together,
)

Judge = Callable[[Series, Series, Series, bool, Thresholds], RunVerdict]
COLUMNS = [
    *("model", "parameters", "verdict", "saturated", "onset_step", "best_step", "best_value", "final_value"),
    *("degradation", "p_value", "anisotropy_turn", "anisotropy_last", "entropy_turn", "entropy_last", "order"),
    *("checkpoints", "doubtful_left_out"),
]


def judge_run(
    curve: pd.DataFrame,
    trajectory: pd.DataFrame,
    metric: Metric,
    thresholds: Thresholds | None = None,
    judge: Judge = judge,
) -> tuple[RunVerdict, int]:
    """The verdict on one model and how many doubtful checkpoints were left out of it.

    curve: `jobs.metrics.curve`; trajectory: `queries.trajectory`; both of that model, and either may be empty. judge:
    who judges, such as `jobs.judgements`, who remembers.
    Raises InputError for a metric whose direction no one states, or values that cannot be judged.
    """
    if metric.higher_is_better is None:
        raise InputError(f"Whether more or less of {metric.label} is better is not stated, so nothing is judged.")
    doubtful = {
        *curve.loc[curve["doubtful"].notna(), "step"],
        *trajectory.loc[trajectory["doubtful"].notna(), "step"],
    }
    found = judge(
        _series(curve, "value"),
        _series(trajectory, "anisotropy"),
        _series(trajectory, "singular_entropy"),
        metric.higher_is_better,
        thresholds or Thresholds(),
    )
    return found, len(doubtful)


def _series(frame: pd.DataFrame, column: str) -> Series:
    rows = frame[frame[column].notna() & frame["doubtful"].isna()].sort_values("step")
    return Series(rows["step"].to_numpy(dtype="int64"), rows[column].to_numpy(dtype="float64"))


def verdict_table(
    curve: pd.DataFrame,
    trajectory: pd.DataFrame,
    metric: Metric,
    thresholds: Thresholds | None = None,
    judge: Judge = judge,
) -> pd.DataFrame:
    """One row a model, worst degradation first: `COLUMNS`. A model that cannot be judged says why in `verdict`."""
    models = list(dict.fromkeys([*curve["model"], *trajectory["model"]]))
    by_model = dict(list(curve.groupby("model", sort=False)))
    along = dict(list(trajectory.groupby("model", sort=False)))
    rows = [
        _row(name, by_model.get(name, curve.iloc[:0]), along.get(name, trajectory.iloc[:0]), metric, thresholds, judge)
        for name in models
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    whole = dict.fromkeys(("onset_step", "best_step", "anisotropy_turn", "entropy_turn", "checkpoints"), "Int64")
    return table.astype(whole).sort_values("degradation", ascending=False, kind="stable", ignore_index=True)


def _row(
    name: str,
    curve: pd.DataFrame,
    trajectory: pd.DataFrame,
    metric: Metric,
    thresholds: Thresholds | None,
    judge: Judge,
) -> dict[str, Any]:
    sizes = [*curve["parameters"].dropna(), *trajectory["parameters"].dropna()]
    row: dict[str, Any] = {"model": name, "parameters": sizes[0] if sizes else float("nan")}
    try:
        found, doubtful = judge_run(curve, trajectory, metric, thresholds, judge)
    except InputError as error:
        return row | {"verdict": str(error)}
    for short, key in (("anisotropy", ANISOTROPY), ("entropy", ENTROPY)):
        values = trajectory.loc[trajectory[key].notna() & trajectory["doubtful"].isna()].sort_values("step")[key]
        place = found.place(key)
        row |= {
            f"{short}_turn": place.step if place else None,
            f"{short}_last": float(values.iloc[-1]) if len(values) else None,
        }
    row |= {"order": order_in_words(found), "doubtful_left_out": doubtful}
    onset = found.performance
    if onset is None:
        sure = int(curve["doubtful"].isna().sum())
        return row | {"verdict": f"needs at least {FEWEST} checkpoints", "checkpoints": sure}
    return row | {
        "verdict": "saturated" if onset.saturated else "not saturated",
        "saturated": onset.saturated,
        "onset_step": onset.onset_step,
        "best_step": onset.best_step,
        "best_value": onset.best_value,
        "final_value": onset.final_value,
        "degradation": onset.degradation,
        "p_value": onset.p_value,
        "checkpoints": onset.checkpoints,
    }


def _names(label: str) -> Mapping[str, str]:
    return {PERFORMANCE: label, ANISOTROPY: "anisotropy", ENTROPY: "singular entropy"}


def order_in_words(found: RunVerdict, label: str = "performance") -> str:
    """The turns from the first to the last, `=` between those closer than the checkpoints can tell apart."""
    words, before = "", None
    for place in found.order:
        words += "" if before is None else " = " if together(before, place) else " → "
        words += _names(label)[place.name]
        before = place
    return words


def sentences(found: RunVerdict, trajectory: pd.DataFrame, label: str) -> list[str]:
    """What turned, in which order, and what did not: measurements side by side, never a cause.

    label: the metric's name in a sentence ("loss"). Measures without any values are not spoken of.
    """
    names = _names(label)
    measured = [key for key in (ANISOTROPY, ENTROPY) if found.changes[key].steps.size]
    if found.performance is not None:
        measured = [PERFORMANCE, *measured]
    turned = [place.name for place in found.order]
    still = [key for key in measured if key not in turned]
    said = []
    if len(found.order) > 1:
        said.append(_order(found.order, names, _last_step(found, trajectory)))
    elif found.order:
        place = found.order[0]
        said.append(f"Of what is measured, only the {names[place.name]} turned, {_at(place)}.")
    if turned and still:
        said.append(_disagreement(turned, still, names))
    if not turned and len(measured) > 1:
        said.append(f"Neither {_list([names[key] for key in measured], 'nor')} shows a lasting late rise.")
    return said


def _order(order: tuple[Place, ...], names: Mapping[str, str], last: int) -> str:
    first = order[0]
    opening = f"The {names[first.name]} turned first, {_at(first)}."
    parts: list[str] = []
    for before, place in pairwise(order):
        lag, verb = place.step - before.step, "" if parts else " turned"
        if together(before, place):
            parts.append(f"the {names[place.name]}{verb} at the same time, as far as the checkpoints can tell")
        else:
            share = f" ({100 * lag / last:.0f} % of training)" if last else ""
            best = ", from its best on," if place.name == PERFORMANCE else ""
            parts.append(f"the {names[place.name]}{best}{verb} {lag:,} steps later{share}")
    text = ", and ".join(parts)
    return f"{opening} {text[0].upper()}{text[1:]}."


def _at(place: Place) -> str:
    """Performance is placed at its best checkpoint, and is called saturated from a later one on."""
    return f"from its best at step {place.step:,} on" if place.name == PERFORMANCE else f"at about step {place.step:,}"


def _disagreement(turned: list[str], still: list[str], names: Mapping[str, str]) -> str:
    if PERFORMANCE in still:
        rest = [names[key] for key in still if key != PERFORMANCE]
        more = f", nor did the {_list(rest, 'or')}" if rest else ""
        return f"The {names[PERFORMANCE]} did not turn with {'it' if len(turned) == 1 else 'them'}{more}."
    missing = _list([f"the {names[key]}" for key in still], "and")
    return f"{missing[0].upper() + missing[1:]} did not turn: the measures disagree in this run."


def _last_step(found: RunVerdict, trajectory: pd.DataFrame) -> int:
    steps = [int(of.steps[-1]) for of in found.changes.values() if of.steps.size]
    return max(steps, default=int(trajectory["step"].max()) if len(trajectory) else 0)


def _list(parts: list[str], word: str) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"
