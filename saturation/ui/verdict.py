"""The verdict of the overview page: what the measurements of one model say, side by side, without a cause."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from saturation.figures import labels
from saturation.measures.onset import FEWEST, onset

RECENT = 0.9  # share of training after which the best loss counts as recent
EARLY = 0.02  # share of training whose transients are no minimum: a random head has the flattest spectrum of all

State = Literal["turned", "falling", "level", "unknown"]
HEADLINES: dict[str, str] = {
    "turned": "Yes: the loss has turned and not come back.",
    "falling": "Not so far: the loss is still falling.",
    "level": "Not clearly: the loss has levelled off.",
    "unknown": "Not enough is measured to say.",
}


@dataclass(frozen=True)
class Verdict:
    """State and headline of a run, with the sentences that give its numbers."""

    state: State
    headline: str
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def verdict(trajectory: pd.DataFrame) -> Verdict:
    """Judge one model's trajectory. Doubtful checkpoints are left out.

    `turned` is what `measures.onset` calls saturated: a rise to the end that a run which only improves would hardly
    show by chance.
    """
    sure = trajectory[trajectory["doubtful"].isna()].sort_values("step")
    losses = sure[sure["nats_per_token"].notna()]
    sentences = [text for text in (_loss(losses), _anisotropy(sure), _entropy(sure)) if text]
    doubtful = int(trajectory["doubtful"].notna().sum())
    notes = (f"{doubtful} doubtful checkpoint{'s are' if doubtful > 1 else ' is'} left out.",) if doubtful else ()
    state = _state(losses)
    headline = HEADLINES[state]
    if state == "falling" and losses["nats_per_token"].argmin() < len(losses) - 1:
        headline = "Not so far: the best loss is recent."
    return Verdict(state, headline, tuple(sentences), notes)


def _state(losses: pd.DataFrame) -> State:
    if len(losses) < FEWEST:
        return "unknown"
    found = onset(losses["step"].to_numpy(), losses["nats_per_token"].to_numpy())
    if found.saturated:
        return "turned"
    return "falling" if found.best_step >= RECENT * float(losses["step"].iloc[-1]) else "level"


def _loss(losses: pd.DataFrame) -> str | None:
    if losses.empty:
        return None
    best, last = losses.iloc[int(losses["nats_per_token"].argmin())], losses.iloc[-1]
    low, now = float(best["nats_per_token"]), float(last["nats_per_token"])
    if best["step"] == last["step"]:
        text = f"The last checkpoint, step {labels.step(last['step'])}, has the best loss: **{now:.3f} nats/token**"
    else:
        text = (
            f"Best loss **{low:.3f} nats/token** at step {labels.step(best['step'])}; at the last, "
            f"{labels.step(last['step'])}, it is **{now:.3f}**, {_percent(now / low - 1)} above its best"
        )
    floor = last["floor"]
    if pd.notna(floor) and floor > 0:
        text += f". The text's exact entropy is {floor:.3f}: the best lies {_percent(low / floor - 1)} above it" + (
            "" if best["step"] == last["step"] else f", the last {_percent(now / floor - 1)}"
        )
    return text + "."


def _anisotropy(sure: pd.DataFrame) -> str | None:
    rows = sure[sure["anisotropy"].notna()]
    if rows.empty:
        return None
    last, low = rows.iloc[-1], _least(rows, "anisotropy")
    text = f"Last-layer anisotropy is **{last['anisotropy']:.2f}** now"
    if pd.notna(last["centred_anisotropy"]):
        text += f" ({last['centred_anisotropy']:.2f} mean-centred)"
    measured = rows[rows["nats_per_token"].notna()]
    if not measured.empty:
        best = measured.iloc[int(measured["nats_per_token"].argmin())]
        if best["step"] != last["step"]:
            text += f", {best['anisotropy']:.2f} at the best loss"
    return f"{text}; its minimum after the first steps was {low['anisotropy']:.2f}, at step {labels.step(low['step'])}."


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


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if abs(share) >= 0.0095 else f"{100 * share:.2f} %"
