"""What of a model is measured, what could be, and which checkpoints a job would take."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from saturation.figures import labels
from saturation.jobs.estimate import Estimate, estimate, together
from saturation.jobs.memory import Sizes
from saturation.jobs.request import HEADS, MEASURES
from saturation.ui import data
from saturation.ui.tiles import aside

ALL, SPREAD, LAST, PICKED = "All missing", "About 20", "Last one", "Picked rows"
WHICH = (ALL, SPREAD, LAST, PICKED)
FEW = 20
DONE, READY, AWAY, QUEUED = "● measured", "○ to do", "– not here", "◔ in a job"


def queued(waiting: pd.DataFrame) -> pd.DataFrame:
    """Which steps and measures of a model wait or run, from targets `family/model@step`: columns step, measure."""
    steps = [int(target.rpartition("@")[2]) if "@" in target else 0 for target in waiting["target"]]
    return pd.DataFrame({"step": pd.Series(steps, dtype="int64"), "measure": waiting["measure"].to_numpy()})


def with_queue(known: pd.DataFrame, waiting: pd.DataFrame) -> pd.DataFrame:
    """The catalogue with a column `<measure>_queued` for each measure, heads of lower rank included."""
    return known.assign(
        **{
            f"{measure}_queued": known["step"].isin(waiting.loc[waiting["measure"] == measure, "step"])
            for measure in (*MEASURES, *HEADS)
        }
    )


def states(known: pd.DataFrame) -> pd.DataFrame:
    """The catalogue in words: step, where the weights are, and the state of each measure."""
    table = pd.DataFrame({"step": known["step"], "weights": known["place"].where(known["available"], "not here")})
    heads = [name for name in HEADS if name in known and known[[name, f"{name}_queued"]].to_numpy().any()]
    for measure in (*MEASURES, *heads):
        missing = np.where(known[f"{measure}_queued"], QUEUED, np.where(known["available"], READY, AWAY))
        table[measure] = np.where(known[measure], DONE, missing)
    return table


def missing(known: pd.DataFrame, measures: Sequence[str]) -> list[int]:
    """Steps whose weights are here and that lack one of the measures, but for those that a job is at."""
    lacks = pd.Series(False, index=known.index)
    for measure in measures:
        lacks |= ~known[measure] & ~known[f"{measure}_queued"]
    return [int(step) for step in known.loc[lacks & known["available"], "step"]]


def lacking(known: pd.DataFrame, step: int, measures: Sequence[str]) -> tuple[str, ...]:
    """Those of the measures that a step lacks and no job is at."""
    row = known[known["step"] == step].iloc[0]
    return tuple(measure for measure in measures if not row[measure] and not row[f"{measure}_queued"])


def spread(steps: Sequence[int], most: int = FEW) -> list[int]:
    """At most that many of the steps, even on a logarithmic axis, first and last included."""
    if len(steps) <= most:
        return list(steps)
    places = np.log1p(np.asarray(steps, dtype=float))
    wanted = np.linspace(places[0], places[-1], most)
    return [int(steps[index]) for index in sorted({int(np.abs(places - place).argmin()) for place in wanted})]


def to_measure(known: pd.DataFrame, measures: Sequence[str], which: str, picked: Sequence[int]) -> list[int]:
    """The steps that a job would measure."""
    lacks = missing(known, measures)
    if which == PICKED:
        return [step for step in lacks if step in set(picked)]
    if which == LAST:
        return [step for step in lacks if step == known["step"].max()]
    return spread(lacks) if which == SPREAD else lacks


def plan(
    known: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
    which: str,
    picked: Sequence[int],
    steps: Mapping[str, Sequence[int]],
) -> str:
    """One sentence on what the button would do, or why it does nothing. known, steps: by model."""
    if not known:
        return "Choose at least one model."
    if not measures:
        return "Choose at least one measure."
    if which == PICKED and not picked:
        return "Pick rows in the table with the boxes at their left."
    taken = [step for of_model in steps.values() for step in of_model]
    what = ", ".join(measures)
    if taken:
        first, last = labels.step(min(taken)), labels.step(max(taken))
        at = f"Step {first}" if first == last else f"Steps {first} to {last}"
        models = [name for name, of_model in steps.items() if of_model]
        of = f" of {len(models)} models" if len(models) > 1 else ""
        return f"{at}{of}: {what}. What is measured already is not measured again."
    held = pd.concat(known.values())
    if held.empty:
        return "No checkpoint is known here yet; list what is published, or choose another model."
    if which == LAST:
        held = pd.concat([table[table["step"] == table["step"].max()] for table in known.values()])
    if held[[f"{measure}_queued" for measure in measures]].to_numpy().any():
        return "A job is at it; the table and the maps fill as it goes."
    if which == PICKED:
        return "The picked checkpoints have these measures already, or their weights are not on this machine."
    away = int((~held[list(measures)].all(axis=1)).sum())
    if away:
        lack = "1 checkpoint lacks" if away == 1 else f"{away} checkpoints lack"
        return f"{lack} these measures, but {'its' if away == 1 else 'their'} weights are not on this machine."
    return "Every checkpoint has these measures."


def cost(asked: Sequence[tuple[pd.DataFrame, Sizes | None, Sequence[int]]], measures: Sequence[str]) -> Estimate | None:
    """What the button would cost, and whether this machine can do it at all. asked: catalogue, sizes, steps by model.

    None where nothing is asked, or of sizes that are not known.
    """
    taken = [(known, sizes, steps) for known, sizes, steps in asked if steps]
    if not taken:
        return None
    found = [
        estimate(data.store(), known, sizes, steps, measures, data.costs())
        for known, sizes, steps in taken
        if sizes is not None
    ]
    if len(found) < len(taken):
        st.caption("What it costs is not known before: the sizes of a model are not stated.")
        return None
    whole = together(found)
    st.caption(whole.sentence(), help=f"Judged by {whole.runs:,} earlier measurements; downloads are an upper bound.")
    if not whole.fits:
        st.warning(
            "That is more memory than may be used here; the job would be refused. Take the spectrum only, use a larger "
            "machine, or raise SATURATION_MEMORY_GB.",
            icon=":material/memory:",
        )
    return whole


def numbers(known: pd.DataFrame) -> None:
    """How many checkpoints are known, here, and complete."""
    with st.grid(3, min_column_width=100, border=True):
        st.metric("Checkpoints", len(known))
        away = int((known["place"] == "hub").sum())
        st.metric(
            "Weights on this machine",
            int((known["place"] == "here").sum()),
            **aside(f"{away} on the hub" if away else ""),
        )
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
