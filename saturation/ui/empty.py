"""What a page says where there is nothing to draw, and what to do next."""

from collections.abc import Mapping

import streamlit as st

from saturation.ui import controls, data
from saturation.ui.frame import View
from saturation.ui.pages import MEASURE, OVERVIEW
from saturation.ui.words import plain


def nothing_measured(view: View) -> None:
    """No measurement of the selected model: lead to the Measure page with the same selection, and to a measured run."""
    _lead_to_measuring(
        view, f"**Nothing is measured for {view.shown} yet.**", "Measure some of its checkpoints; they appear here"
    )


def not_measured(view: View, what: str) -> None:
    """One measure is missing for the selected model; `what` it is, as the subject of a sentence."""
    _lead_to_measuring(view, f"{what} is not measured for {view.shown} yet.", "Measure it; its checkpoints appear here")


def measured_run(view: View) -> None:
    """A way to the run that the dashboard opens with; nothing where none is measured."""
    address = controls.opening()
    if not address:
        return
    label = f"See {plain(address['family'] + '/' + address['model'])}, which is measured"
    if view.page.controls:  # a link to the page one is on would not change the selection
        st.button(label, icon=view.page.icon, type="tertiary", key="see-measured", on_click=_select, args=(address,))
    else:
        st.page_link(OVERVIEW.path, label=label, icon=OVERVIEW.icon, query_params=address)


def _select(address: Mapping[str, str]) -> None:
    for key in ("family", "group", "model"):
        st.session_state[key] = address.get(key)


def _lead_to_measuring(view: View, missing: str, then: str) -> None:
    with st.container(border=True):
        st.markdown(missing)
        if data.settings().mode == "demo":
            st.markdown("This demonstration shows bundled measurements only; choose another model in the sidebar.")
        else:
            st.markdown(f"{then} as they are done.")
            st.page_link(
                MEASURE.path, label=f"Measure {view.shown}", icon=MEASURE.icon, query_params=dict(view.address)
            )
        if view.selection.step is None:
            measured_run(view)
