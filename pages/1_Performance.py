"""Performance: how much does it lose?"""

import streamlit as st

from saturation.ui import empty, performance, thresholds, verdicts
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.law import law_section
from saturation.ui.pages import PERFORMANCE

view = open_page(PERFORMANCE)
with reported():
    if view.selection.step is None:
        empty.nothing_measured(view)
        st.stop()
    view.toolbar()
    shown = performance.read(view)
    chosen = view.selection
    found = verdicts.table(chosen.family, chosen.models, shown.metric.name, thresholds.in_force(view))
    performance.along_training(view, shown, found)
    performance.verdict_table(view, shown, found)
    law_section(view, shown)
    performance.table_one(view)
