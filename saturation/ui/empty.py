"""What a page says where there is nothing to draw, and what to do next."""

import streamlit as st

from saturation.ui import data
from saturation.ui.frame import View
from saturation.ui.pages import MEASURE


def nothing_measured(view: View) -> None:
    """No measurement of the selected model: lead to the Measure page with the same selection."""
    with st.container(border=True):
        st.markdown(f"**Nothing is measured for {view.name} yet.**")
        if data.settings().mode == "demo":
            st.markdown("Choose another model in the sidebar: this demonstration shows bundled measurements only.")
            return
        st.markdown("Measure some of its checkpoints; they appear here as they are done.")
        st.page_link(MEASURE.path, label=f"Measure {view.name}", icon=MEASURE.icon, query_params=dict(view.address))
