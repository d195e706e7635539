"""Measure: compute what is missing, in a worker process, while the page stays usable."""

import streamlit as st

from saturation.families import registry
from saturation.jobs import board, hosting
from saturation.jobs.request import MEASURES
from saturation.ui import coverage, data, live, progress, published
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.pages import MEASURE
from saturation.ui.words import sentence

view = open_page(MEASURE)
settings, chosen = data.settings(), view.selection
if settings.mode == "demo":
    st.info(hosting.READ_ONLY, icon=":material/info:")
    st.stop()

with reported():
    known = data.checkpoints(chosen.family, chosen.model)
    known = coverage.with_queue(known, coverage.queued(data.waiting_measures(view.name)))
    st.caption(registry.family(chosen.family).description)
    refused = hosting.too_large(settings, chosen.family, chosen.model)
    if refused:
        st.warning(sentence(refused), icon=":material/block:")
    else:
        published.listing(settings, chosen.family, chosen.model, known)
    if known.empty and not refused:
        st.info(
            f"No checkpoint of {view.name} is known here yet. List what is published, where there is a button for it, "
            "or choose another model in the sidebar.",
            icon=":material/search_off:",
        )
    elif len(known):
        coverage.numbers(known)
    left, right = st.columns([3, 2], gap="large") if len(known) else (None, st.container())
    if left:
        with left:
            st.subheader("Checkpoints", anchor=False)
            picked = coverage.table(known, view.name)
        with right:
            st.subheader("What to measure", anchor=False)
            measures = st.pills("Measures", MEASURES, default=MEASURES, selection_mode="multi", key="measures")
            which = st.segmented_control(
                "Steps",
                coverage.WHICH,
                default=coverage.WHICH[0],
                required=True,
                key="which",
                help="Rows are picked in the table.",
            )
            steps = coverage.to_measure(known, measures, which, picked)
            st.caption(coverage.plan(known, measures, which, picked, steps))
            if not refused:
                coverage.cost(chosen.family, chosen.model, known, steps, measures)
            count = f"{len(steps)} checkpoint{'' if len(steps) == 1 else 's'}"
            if st.button(
                f"Measure {count}" if steps else "Nothing to measure",
                type="primary",
                disabled=not steps or refused is not None,
                icon=":material/play_arrow:",
            ):
                board.submit(settings, [f"{view.name}@{step}" for step in steps], measures)
                st.rerun()
    with right:
        st.subheader("Jobs", anchor=False)
        progress.listing()

if settings.mode == "local":
    live.listing()
    with reported():
        st.subheader("A folder of your own", anchor=False)
        st.caption(
            "A folder of checkpoints (`checkpoint-500`, `step500`, …) or one model directory; "
            "results appear under the family Local runs."
        )
        with st.form("folder", border=False):
            path = st.text_input("Folder", placeholder="/path/to/run", label_visibility="collapsed")
            if st.form_submit_button("Measure the folder", icon=":material/folder_open:"):
                if path.strip():
                    board.submit(settings, [path.strip()], list(MEASURES))
                    st.rerun()
                else:
                    st.warning("Type the path of a folder first.", icon=":material/info:")
