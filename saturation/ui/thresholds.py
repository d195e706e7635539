"""The thresholds of the verdict: shown, adjustable, and part of the link."""

import streamlit as st

from saturation.measures.verdict import Thresholds
from saturation.ui.frame import View

CHANCE = "Of such a rise in a run that only improves."


def in_force(view: View) -> Thresholds:
    """The thresholds that the selection asks for, without drawing anything."""
    plain, asked = Thresholds(), view.selection.numbers
    return Thresholds(
        least_rise=asked.get("least_rise", 100 * plain.least_rise) / 100,
        significance=asked.get("level", 100 * plain.significance) / 100,
        least_anisotropy=asked.get("least_anisotropy", plain.least_anisotropy),
        least_entropy=asked.get("least_entropy", 100 * plain.least_entropy) / 100,
    )


def rule(view: View) -> str:
    """When a run is called saturated, in a sentence with the thresholds in force."""
    limits = in_force(view)
    return (
        f"Saturated: the last few checkpoints are on average at least {100 * limits.least_rise:g} % worse than the "
        f"best few, and a run that only improves shows such a rise with a chance of at most "
        f"{100 * limits.significance:g} %."
    )


def popover(view: View) -> None:
    """What counts as a rise, in a popover; a change there changes the verdict and the link."""
    plain = Thresholds()
    with st.popover("Thresholds", icon=":material/tune:"):
        view.number(
            "least_rise",
            "Least worsening, %",
            100 * plain.least_rise,
            0.1,
            "How much worse than its best a metric must end to be called saturated.",
        )
        view.number(
            "level",
            "False alarms, %",
            100 * plain.significance,
            0.5,
            "How often a run that only improves may be called saturated by chance.",
        )
        view.number(
            "least_anisotropy",
            "Least rise of anisotropy",
            plain.least_anisotropy,
            0.01,
            "How far above its late minimum the mean cosine must end to have turned.",
        )
        view.number(
            "least_entropy",
            "Least rise of singular entropy, %",
            100 * plain.least_entropy,
            5,
            "How far above its late minimum the singular entropy must end to have turned.",
        )
