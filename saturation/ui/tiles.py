"""The verdict card and the number tiles of the overview page."""

from typing import Any

import pandas as pd
import streamlit as st

from saturation.figures import labels
from saturation.ui.verdict import Verdict, verdict

BADGES = {
    "turned": (":material/trending_up:", "orange", "saturating"),
    "falling": (":material/trending_down:", "green", "not saturating"),
    "level": (":material/trending_flat:", "gray", "level"),
    "unknown": (":material/help:", "gray", "unknown"),
}


def verdict_card(trajectory: pd.DataFrame) -> Verdict:
    """What the measurements of the model say, in words and numbers."""
    found = verdict(trajectory)
    icon, colour, word = BADGES[found.state]
    with st.container(border=True, key="verdict", gap="xsmall"):
        st.markdown(f"#### {found.headline} :{colour}-badge[{icon} {word}]")
        st.markdown("\n".join(f"- {sentence}" for sentence in found.sentences))
        st.caption(" ".join((*found.notes, "Measured side by side; none of these shows a cause.")))
    return found


def tiles(trajectory: pd.DataFrame, step: int) -> None:
    """The numbers at the step of the cursor."""
    row = trajectory[trajectory["step"] == step].iloc[0]
    sure = trajectory[trajectory["doubtful"].isna()]
    best = sure["nats_per_token"].min()
    rise = row["nats_per_token"] / best - 1 if best > 0 else float("nan")
    with st.grid(4, min_column_width=150, border=True):
        st.metric(
            "Loss, nats/token",
            labels.number(row["nats_per_token"], 4),
            **aside("" if pd.isna(rise) else f"{100 * rise:.2f} % above its best" if rise else "its best"),
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
