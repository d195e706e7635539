"""Performance: how much does it lose?"""

import streamlit as st

from saturation.ui import empty
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.pages import PERFORMANCE

view = open_page(PERFORMANCE)
chosen = view.selection
with reported():
    if chosen.step is None:
        empty.nothing_measured(view)
        st.stop()
    view.toolbar()
