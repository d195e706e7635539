"""Compare: which differs?"""

import streamlit as st

from saturation.ui import compare, empty
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.pages import COMPARE

view = open_page(COMPARE)
with reported():
    runs = compare.choose(view)
    if len(runs) < 2:
        if view.selection.step is None:
            empty.nothing_measured(view)
        st.info("Choose at least two measured runs, of one family or of several.", icon=":material/info:")
        st.stop()
    view.about(*runs)
    view.toolbar()
    compare.panels(view, runs)
    compare.depth_map(view, runs)
