"""Measure: compute what is missing, in a worker process, while the page stays usable."""

import streamlit as st

from saturation.families import registry
from saturation.jobs import hosting
from saturation.ui import coverage, data, empty, folder, live, measuring, offers, progress, published
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.pages import MEASURE
from saturation.ui.words import sentence

view = open_page(MEASURE)
settings, chosen = data.settings(), view.selection
if settings.mode == "demo":
    st.info(hosting.READ_ONLY, icon=":material/info:")
    empty.measured_run(view)
    st.stop()

with reported():
    offer = offers.of_selection(view)
    known = offer.known(chosen.model)
    st.caption(registry.family(chosen.family).description)
    refused = hosting.too_large(settings, chosen.family, chosen.model)
    if refused:
        st.warning(sentence(refused), icon=":material/block:")
    else:
        published.listing(settings, chosen.family, chosen.model, known)
    left, right = st.columns([3, 2], gap="large")
    below = st.container()
    picked = None
    if len(known):
        with below:
            st.subheader(f"Checkpoints of {view.shown}", anchor=False)
            coverage.numbers(known)
            picked = coverage.table(known, view.name)
    with left, reported():
        st.subheader("What to measure", anchor=False)
        if chosen.family == registry.LIVE:
            st.caption("Live runs are measured while they train; there are no weights to measure here.")
        else:
            measuring.section(offer, picked)
    with right:
        st.subheader("Jobs", anchor=False)
        progress.listing()

if settings.mode == "local":
    with reported():
        folder.section()
    live.listing()
