"""All runs of a family in one table, the worst degradation first; a click on a row opens that run."""

import pandas as pd
import streamlit as st

from saturation.figures import labels
from saturation.jobs.metrics import LOSS
from saturation.ui import data, lab, thresholds, verdicts
from saturation.ui.frame import View
from saturation.ui.selection import group_of

KEY = "ranking"


def ranking(view: View) -> None:
    """The table, for families of two models or more whose metric can be judged."""
    chosen = view.selection
    models = tuple(data.comparable(chosen.family))
    metric = data.metric(chosen.family, chosen.metric)
    if len(models) < 2 or metric.higher_is_better is None:
        return
    found = verdicts.table(chosen.family, models, metric.name, thresholds.in_force(view))
    st.subheader(f"All {len(found)} runs, by how much they got worse", anchor=False)
    st.caption(
        f"Last {metric.label} against the best. {thresholds.rule(view)} What is worse without that is not called "
        "saturated. Click a row's box to open that run."
    )
    shown = pd.DataFrame(
        {
            "run": found["model"],
            "verdict": found["verdict"],
            "worse by": 100 * found["degradation"],
            "chance": found["p_value"],
            "since": labels.steps(found["onset_step"].astype("float64")),
            "best": found["best_value"],
            "last": found["final_value"],
            "anisotropy": found["anisotropy_last"],
            "entropy": found["entropy_last"],
            "what turned": found["order"].fillna(""),
        }
    )
    settings = lab.settings(chosen.family)
    if settings is not None:
        shown = shown.merge(settings, how="left", left_on="run", right_index=True)
    number = st.column_config.NumberColumn
    value = "%.3f" if metric.name == LOSS else "%.4g"
    st.session_state[f"{KEY}_runs"] = list(shown["run"])
    st.dataframe(
        shown,
        hide_index=True,
        key=KEY,
        on_select=_open,
        selection_mode="single-row",
        column_config={
            "run": st.column_config.TextColumn(pinned=True),
            "worse by": number(format="%.1f %%", help="The last value against the best, relative."),
            "chance": number(format="%.3g", help=thresholds.CHANCE),
            "best": number(f"best {metric.label}", format=value),
            "last": number(f"last {metric.label}", format=value),
            "anisotropy": number(format="%.2f", help="Of the last layer, at the last checkpoint."),
            "entropy": number(format="%.2f", help="Singular entropy of the head at the last checkpoint, nats."),
            "what turned": st.column_config.TextColumn(
                width=270, help="Measures that rose late and did not come back, in order."
            ),
            "learning rate": number(format="%.3g"),
        },
        alt="All runs of the family, ranked by degradation",
    )


def _open() -> None:
    """Select the run of the clicked row, in a group that has it."""
    state = st.session_state
    rows = state[KEY]["selection"]["rows"]
    if not rows:
        return
    model, family = state[f"{KEY}_runs"][rows[0]], state["family"]
    groups = data.groups(family)
    if groups and model not in groups.get(str(state.get("group")), ()):
        state["group"] = group_of(model, groups)
    state["model"] = model
