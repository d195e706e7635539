"""Performance: how much does it lose?"""

import streamlit as st

from saturation.ui import empty, performance
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
    verdicts = performance.verdict_rows(shown.curve, shown.metric.higher_is_better)
    performance.along_training(view, shown, verdicts)
    performance.verdict_table(shown, verdicts)
    law_section(view, shown)
    performance.table_one(view)
