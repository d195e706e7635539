"""What a page says where there is nothing to draw, and what to do next."""

import streamlit as st

from saturation.ui import data
from saturation.ui.frame import View
from saturation.ui.pages import MEASURE


def nothing_measured(view: View) -> None:
    """No measurement of the selected model: lead to the Measure page with the same selection."""
    _lead_to_measuring(
        view, f"**Nothing is measured for {view.name} yet.**", "Measure some of its checkpoints; they appear here"
    )


def not_measured(view: View, what: str) -> None:
    """One measure is missing for the selected model; `what` it is, as the subject of a sentence."""
    _lead_to_measuring(view, f"{what} is not measured for {view.name} yet.", "Measure it; its checkpoints appear here")


def _lead_to_measuring(view: View, missing: str, then: str) -> None:
    with st.container(border=True):
        st.markdown(missing)
        if data.settings().mode == "demo":
            st.markdown("Choose another model in the sidebar: this demonstration shows bundled measurements only.")
            return
        st.markdown(f"{then} as they are done.")
        st.page_link(MEASURE.path, label=f"Measure {view.name}", icon=MEASURE.icon, query_params=dict(view.address))
