"""What of a model is measured, what could be, and which checkpoints a job would take."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from saturation.figures import labels
from saturation.jobs.estimate import estimate
from saturation.jobs.request import MEASURES
from saturation.ui import data
from saturation.ui.tiles import aside

WHICH = ("All missing", "About 20", "Picked rows")
FEW = 20
DONE, READY, AWAY, QUEUED = "● measured", "○ to do", "– not here", "◔ in a job"


def queued(waiting: pd.DataFrame) -> pd.DataFrame:
    """Which steps and measures of a model wait or run, from targets `family/model@step`: columns step, measure."""
    steps = [int(target.rpartition("@")[2]) if "@" in target else 0 for target in waiting["target"]]
    return pd.DataFrame({"step": pd.Series(steps, dtype="int64"), "measure": waiting["measure"].to_numpy()})


def with_queue(known: pd.DataFrame, waiting: pd.DataFrame) -> pd.DataFrame:
    """The catalogue with a column `<measure>_queued` for each measure."""
    return known.assign(
        **{
            f"{measure}_queued": known["step"].isin(waiting.loc[waiting["measure"] == measure, "step"])
            for measure in MEASURES
        }
    )


def states(known: pd.DataFrame) -> pd.DataFrame:
    """The catalogue in words: step, where the weights are, and the state of each measure."""
    table = pd.DataFrame({"step": known["step"], "weights": known["place"].where(known["available"], "not here")})
    for measure in MEASURES:
        missing = np.where(known[f"{measure}_queued"], QUEUED, np.where(known["available"], READY, AWAY))
        table[measure] = np.where(known[measure], DONE, missing)
    return table


def missing(known: pd.DataFrame, measures: Sequence[str]) -> list[int]:
    """Steps whose weights are here and that lack one of the measures, but for those that a job is at."""
    lacks = pd.Series(False, index=known.index)
    for measure in measures:
        lacks |= ~known[measure] & ~known[f"{measure}_queued"]
    return [int(step) for step in known.loc[lacks & known["available"], "step"]]


def spread(steps: Sequence[int], most: int = FEW) -> list[int]:
    """At most that many of the steps, even on a logarithmic axis, first and last included."""
    if len(steps) <= most:
        return list(steps)
    places = np.log1p(np.asarray(steps, dtype=float))
    wanted = np.linspace(places[0], places[-1], most)
    return [int(steps[index]) for index in sorted({int(np.abs(places - place).argmin()) for place in wanted})]


def to_measure(known: pd.DataFrame, measures: Sequence[str], which: str, picked: Sequence[int]) -> list[int]:
    """The steps that a job would measure."""
    lacking = missing(known, measures)
    if which == "Picked rows":
        return [step for step in lacking if step in set(picked)]
    return spread(lacking) if which == "About 20" else lacking


def plan(known: pd.DataFrame, measures: Sequence[str], which: str, picked: Sequence[int], steps: Sequence[int]) -> str:
    """One sentence on what the button would do, or why it does nothing."""
    if not measures:
        return "Choose at least one measure."
    if which == "Picked rows" and not picked:
        return "Pick rows in the table with the boxes at their left."
    if steps:
        first, last = labels.step(steps[0]), labels.step(steps[-1])
        return f"Steps {first} to {last}: {', '.join(measures)}. What is measured already is not measured again."
    if known[[f"{measure}_queued" for measure in measures]].to_numpy().any():
        return "A job is at it; the table and the maps fill as it goes."
    if which == "Picked rows":
        return "The picked checkpoints have these measures already, or their weights are not on this machine."
    away = int((~known[list(measures)].all(axis=1)).sum())
    if away:
        return f"{away} checkpoints lack these measures, but their weights are not on this machine."
    return "Every checkpoint has these measures."


def cost(family: str, model: str, known: pd.DataFrame, steps: Sequence[int], measures: Sequence[str]) -> None:
    """What the button would cost, and whether this machine can do it at all."""
    sizes = data.sizes(family, model)
    if sizes is None or not steps:
        return
    found = estimate(data.store(), known, sizes, steps, measures, data.costs())
    st.caption(found.sentence(), help=f"Judged by {found.runs:,} earlier measurements; downloads are an upper bound.")
    if not found.fits:
        st.warning(
            "That is more memory than may be used here; the job would be refused. Take the spectrum only, use a larger "
            "machine, or raise SATURATION_MEMORY_GB.",
            icon=":material/memory:",
        )


def numbers(known: pd.DataFrame) -> None:
    """How many checkpoints are known, here, and complete."""
    with st.grid(3, min_column_width=100, border=True):
        st.metric("Checkpoints", len(known))
        away = int((known["place"] == "hub").sum())
        st.metric("Weights here", int((known["place"] == "here").sum()), **aside(f"{away} on the hub" if away else ""))
        st.metric("Complete", int(known[list(MEASURES)].all(axis=1).sum()))


def table(known: pd.DataFrame, name: str) -> list[int]:
    """The table of checkpoints; returns the steps of the rows that are picked."""
    shown = states(known)
    event = st.dataframe(
        shown,
        hide_index=True,
        height=360,
        key=f"checkpoints-{name}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={"step": st.column_config.NumberColumn(format="localized", width="small")},
        alt=f"Checkpoints of {name} and which measures each has",
    )
    return [int(shown["step"].iloc[row]) for row in event["selection"]["rows"]]
