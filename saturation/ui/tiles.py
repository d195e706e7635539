"""The verdict card and the number tiles of the overview page."""

from typing import Any

import pandas as pd
import streamlit as st

from saturation.errors import InputError
from saturation.figures import labels
from saturation.jobs.metrics import Metric
from saturation.measures.verdict import RunVerdict
from saturation.ui import data, thresholds, verdicts
from saturation.ui.frame import View

BADGES = {
    "turned": (":material/trending_up:", "orange", "saturating"),
    "falling": (":material/trending_down:", "green", "not saturating"),
    "level": (":material/trending_flat:", "gray", "level"),
    "unknown": (":material/help:", "gray", "unknown"),
}


def verdict_card(view: View, metric: Metric) -> RunVerdict | None:
    """What the measurements of the model say, in words and numbers; None for a metric that cannot be judged."""
    chosen = view.selection
    with st.container(border=True, key="verdict", gap="xsmall"):
        try:
            run, found = verdicts.of_run(chosen.family, chosen.model, metric.name, thresholds.in_force(view))
        except InputError as error:
            st.markdown(f"#### No verdict\n{data.said(error)}")
            return None
        icon, colour, word = BADGES[found.state]
        title, button = st.columns([5, 1], vertical_alignment="top")
        title.markdown(f"#### {found.headline} :{colour}-badge[{icon} {word}]")
        with button, st.container(horizontal=True, horizontal_alignment="right"):
            thresholds.popover(view)
        st.markdown("\n".join(f"- {sentence}" for sentence in found.sentences))
        st.caption(" ".join((*found.notes, "Measured side by side; none of these shows a cause.")))
    return run


def tiles(trajectory: pd.DataFrame, step: int) -> None:
    """The numbers at the step of the cursor."""
    rows = trajectory[trajectory["step"] == step]
    if rows.empty:  # a step that was evaluated elsewhere and not measured here
        return
    row = rows.iloc[0]
    sure = trajectory[trajectory["doubtful"].isna()]
    best = sure["nats_per_token"].min()
    rise = row["nats_per_token"] / best - 1 if best > 0 else float("nan")
    with st.container(key="tiles"), st.grid(4, min_column_width=150, border=True):
        st.metric(
            "Loss, nats/token",
            labels.number(row["nats_per_token"], 4),
            **aside("" if pd.isna(rise) else f"+{labels.percent(rise)} vs best" if rise else "its best"),
        )
        st.metric(
            "Last-layer anisotropy",
            labels.cosine(row["anisotropy"]),
            **aside(_centred(labels.cosine(row["centred_anisotropy"]))),
        )
        st.metric(
            "Singular entropy, nats",
            labels.number(row["singular_entropy"]),
            **aside(_centred(labels.number(row["centred_singular_entropy"]))),
        )
        st.metric(
            "Effective rank",
            labels.number(row["effective_rank"]),
            **aside(f"of {row['hidden_size']:.0f} dimensions" if pd.notna(row["effective_rank"]) else ""),
        )


def _centred(value: str) -> str:
    return "" if value == "–" else f"{value} centred"


def aside(text: str) -> dict[str, Any]:
    """A quiet second line of a tile."""
    return {"delta": text or None, "delta_color": "off", "delta_arrow": "off"}
