"""The verdict of the overview page: what the measurements of one model say, side by side, without a cause."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from saturation.figures import labels
from saturation.jobs.metrics import LOSS, Metric
from saturation.jobs.verdict import sentences as comparison
from saturation.measures.onset import Onset
from saturation.measures.verdict import RunVerdict

RECENT = 0.9  # share of training after which the best value counts as recent
EARLY = 0.02  # share of training whose transients are no minimum: a random head has the flattest spectrum of all

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
    sure = trajectory[trajectory["doubtful"].isna()].sort_values("step")
    values = curve[curve["doubtful"].isna()].sort_values("step")
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
    rows = sure[sure["anisotropy"].notna()]
    if rows.empty:
        return None
    last, low = rows.iloc[-1], _least(rows, "anisotropy")
    text = f"Last-layer anisotropy is **{labels.fixed(last['anisotropy'], 2)}** now"
    if pd.notna(last["centred_anisotropy"]):
        text += f" ({labels.fixed(last['centred_anisotropy'], 2)} centred)"
    shared = values[["step", "value"]].merge(rows[["step", "anisotropy"]], on="step")
    if not shared.empty:
        best = shared.iloc[int(shared["value"].argmax() if metric.higher_is_better else shared["value"].argmin())]
        if best["step"] != last["step"]:
            text += f", {labels.fixed(best['anisotropy'], 2)} at the best {metric.label}"
    return (
        f"{text}; its minimum after the first steps was {labels.fixed(low['anisotropy'], 2)}, "
        f"at step {labels.step(low['step'])}."
    )


def _entropy(sure: pd.DataFrame) -> str | None:
    rows = sure[sure["singular_entropy"].notna()]
    if rows.empty:
        return None
    last, low = rows.iloc[-1], _least(rows, "singular_entropy")
    now = labels.number(float(last["singular_entropy"]))
    if low["step"] == last["step"]:
        return f"The head's singular entropy is at its minimum now: **{now} nats**."
    return (
        f"The head's singular entropy is **{now} nats** now; its minimum after the first steps was "
        f"{labels.number(float(low['singular_entropy']))}, at step {labels.step(low['step'])}."
    )


def _least(rows: pd.DataFrame, column: str) -> pd.Series:
    """The row of the minimum past the first 2 % of training."""
    late = rows[rows["step"] >= EARLY * rows["step"].iloc[-1]]
    return late.iloc[int(late[column].argmin())]
