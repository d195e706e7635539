"""The verdict of the overview page: what the measurements of one model say, side by side, without a cause."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from saturation.figures import labels
from saturation.jobs.metrics import LOSS, Metric
from saturation.jobs.verdict import sentences as comparison
from saturation.measures.onset import Onset
from saturation.measures.verdict import RunVerdict

RECENT = 0.9  # share of training after which the best value counts as recent
EARLY = 0.02  # share of training whose transients are no minimum: a random head has the flattest spectrum of all
TOLD = ("anisotropy", "centred_anisotropy", "singular_entropy")

State = Literal["turned", "falling", "level", "unknown"]
HEADLINES: dict[str, str] = {
    "turned": "Yes: the {metric} has turned and not come back.",
    "falling": "Not so far: the {metric} is still improving.",
    "level": "Not clearly: the {metric} has levelled off.",
    "unknown": "Not enough is measured to say.",
}


@dataclass(frozen=True)
class Verdict:
    """State and headline of a run, with the sentences that give its numbers."""

    state: State
    headline: str
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def verdict(found: RunVerdict, doubtful: int, curve: pd.DataFrame, trajectory: pd.DataFrame, metric: Metric) -> Verdict:
    """The verdict on one model in words. Doubtful checkpoints are left out, and counted.

    found, doubtful: `jobs.verdict.judge_run`; curve, trajectory: what it judged.
    """
    # Of wide frames the few columns that are told of: each row that is picked out costs by the column.
    sure = trajectory.loc[trajectory["doubtful"].isna(), ["step", *TOLD]].sort_values("step")
    values = curve.loc[curve["doubtful"].isna(), ["step", "value", "floor"]].sort_values("step")
    state = _state(found.performance, values)
    headline = HEADLINES[state].format(metric=metric.label)
    if state == "falling" and found.performance and found.performance.best_step < values["step"].iloc[-1]:
        headline = f"Not so far: the best {metric.label} is recent."
    own = (_since(found.performance), _values(values, metric), _anisotropy(sure, values, metric), _entropy(sure))
    said = tuple(text for text in (*own, " ".join(comparison(found, trajectory, metric.label))) if text)
    notes = (f"{doubtful} doubtful checkpoint{'s are' if doubtful > 1 else ' is'} left out.",) if doubtful else ()
    return Verdict(state, headline, said, notes)


def _state(onset: Onset | None, values: pd.DataFrame) -> State:
    if onset is None:
        return "unknown"
    if onset.saturated:
        return "turned"
    return "falling" if onset.best_step >= RECENT * float(values["step"].iloc[-1]) else "level"


def _since(onset: Onset | None) -> str | None:
    if onset is None or not onset.saturated or onset.onset_step is None:
        return None
    return (
        f"Saturated **since step {labels.step(onset.onset_step)}**: such a rise has a chance of {onset.p_value:.2g} "
        "in a run that only improves."
    )


def _values(values: pd.DataFrame, metric: Metric) -> str | None:
    if values.empty:
        return None
    up = bool(metric.higher_is_better)
    place = values["value"].argmax() if up else values["value"].argmin()
    best, last = values.iloc[int(place)], values.iloc[-1]
    top, now = float(best["value"]), float(last["value"])
    digits = 4
    unit = f" {metric.unit}" if metric.unit else ""
    if best["step"] == last["step"]:
        step, shown = labels.step(last["step"]), labels.number(now, digits)
        text = f"The last checkpoint, step {step}, has the best {metric.label}: **{shown}{unit}**"
    else:
        change = (top / now if up else now / top) - 1 if now and top else float("nan")
        text = (
            f"Best {metric.label} **{labels.number(top, digits)}{unit}** at step {labels.step(best['step'])}; at the "
            f"last, {labels.step(last['step'])}, it is **{labels.number(now, digits)}**, {labels.percent(change)} worse"
        )
    floor = last["floor"]
    if metric.name == LOSS and pd.notna(floor) and floor > 0:
        text += (
            f". The text's exact entropy is {floor:.3f}: the best lies {labels.percent(top / floor - 1)} above it"
            + ("" if best["step"] == last["step"] else f", the last {labels.percent(now / floor - 1)}")
        )
    return text + "."


def _anisotropy(sure: pd.DataFrame, values: pd.DataFrame, metric: Metric) -> str | None:
    steps, seen = _along(sure, "anisotropy")
    if not seen.size:
        return None
    low = _least(steps, seen)
    text = f"Last-layer anisotropy is **{labels.fixed(seen[-1], 2)}** now"
    centred = sure["centred_anisotropy"].to_numpy(dtype="float64")[sure["step"].to_numpy() == steps[-1]][-1]
    if np.isfinite(centred):
        text += f" ({labels.fixed(centred, 2)} centred)"
    _, of_values, here = np.intersect1d(values["step"].to_numpy(), steps, return_indices=True)
    if here.size:
        shared = values["value"].to_numpy(dtype="float64")[of_values]
        best = here[int(shared.argmax() if metric.higher_is_better else shared.argmin())]
        if steps[best] != steps[-1]:
            text += f", {labels.fixed(seen[best], 2)} at the best {metric.label}"
    return (
        f"{text}; its minimum after the first steps was {labels.fixed(seen[low], 2)}, "
        f"at step {labels.step(steps[low])}."
    )


def _entropy(sure: pd.DataFrame) -> str | None:
    steps, seen = _along(sure, "singular_entropy")
    if not seen.size:
        return None
    low, now = _least(steps, seen), labels.number(float(seen[-1]))
    if steps[low] == steps[-1]:
        return f"The head's singular entropy is at its minimum now: **{now} nats**."
    return (
        f"The head's singular entropy is **{now} nats** now; its minimum after the first steps was "
        f"{labels.number(float(seen[low]))}, at step {labels.step(steps[low])}."
    )


def _along(rows: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a column where it has any."""
    seen = rows[column].to_numpy(dtype="float64")
    return rows["step"].to_numpy()[~np.isnan(seen)], seen[~np.isnan(seen)]


def _least(steps: np.ndarray, seen: np.ndarray) -> int:
    """The place of the minimum past the first 2 % of training."""
    return int(np.where(steps >= EARLY * steps[-1], seen, np.inf).argmin())
