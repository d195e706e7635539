"""What surrounds every page: title, menu, selection controls, progress of running jobs."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from saturation import __version__
from saturation.errors import SaturationError
from saturation.families import registry
from saturation.figures import DARK, LIGHT, THEMES, Theme, labels
from saturation.ui import data, progress
from saturation.ui.pages import PAGES, Page
from saturation.ui.selection import CHOICES, Asked, Selection, decode, encode, resolve

ABOUT = f"""**Saturation {__version__}** shows whether a language-model training run saturates, since when, and what its
output head does meanwhile. Definitions follow Godey, de la Clergerie and Sagot, arXiv 2404.07647."""
STYLE = """<style>
.stMainBlockContainer { max-width: 1240px; }
[data-testid="stSidebar"] [data-testid="stPageLink"] a { padding: 0.3rem 0.5rem; }
.st-key-provenance p, [class*="st-key-under-"] p { font-size: 0.8rem; line-height: 1.4; }
[data-testid="stMetricValue"] { font-variant-numeric: tabular-nums; }
@media (max-width: 640px) {
  .stMainBlockContainer { padding-left: 0.9rem; padding-right: 0.9rem; }
}
</style>"""


@dataclass(frozen=True)
class View:
    """What a page draws from: the selection and the look of figures."""

    selection: Selection
    theme: Theme
    page: Page
    names: Mapping[str, str]

    @property
    def title(self) -> str:
        return f"{self.selection.family}/{self.selection.model}"


def theme() -> Theme:
    """The figures' theme that goes with the one the browser shows."""
    return THEMES.get(st.context.theme.type or "light", LIGHT)


def open_page(page: Page) -> View:
    """Draw menu and controls, and return what is selected. Stops the page where the store cannot be read."""
    st.set_page_config(
        page_title=f"{page.name} · Saturation",
        page_icon=":material/monitoring:",
        layout="wide",
        menu_items={"About": ABOUT},
    )
    st.html(STYLE)
    with st.sidebar:
        st.markdown("### Saturation")
        menu = st.container(gap=None)
        st.space("xsmall")
    st.caption(page.name)
    st.title(page.question, anchor=False)
    try:
        selection, address = _select(page)
    except SaturationError as error:
        with menu:
            _menu({})
        st.error(str(error), icon=":material/error:")
        st.stop()
    with menu:
        _menu(address)
    with st.sidebar:
        progress.sidebar()
        st.space("small")
        st.segmented_control(
            "Camera saves",
            ["SVG", "PNG"],
            key="image",
            default="SVG",
            required=True,
            persist_state="session",
            help="Format of the file that the camera button above each figure saves (PNG at 4 times the size).",
        )
    return View(selection, theme(), page, {})


def _menu(address: Mapping[str, str]) -> None:
    for page in PAGES:
        st.page_link(page.path, label=page.name, icon=page.icon, query_params=dict(address), width="stretch")


def _select(page: Page) -> tuple[Selection, dict[str, str]]:
    """Read the address or the widgets, draw the controls, and keep the address in step with them."""
    state = st.session_state
    models = data.families()
    current = {key: ",".join(st.query_params.get_all(key)) for key in st.query_params}
    outside = current != state.get("_address")
    asked = decode(current) if outside else _from_widgets(state)
    selection, notes = resolve(asked, models, data.steps, data.preferred)
    if outside:
        state["_address"], state["_notes"], state["_opened"] = current, notes, None
    selection = _controls(page, selection, models)
    address = encode(selection, models[selection.family])
    if state.get("_opened") is None:
        state["_opened"] = selection
    if selection != state["_opened"]:
        state["_notes"], state["_opened"] = [], selection
        state["_address"] = address
        st.query_params.from_dict(address)
    state["_selection"] = selection
    for note in state["_notes"]:
        st.warning(note, icon=":material/link_off:")
    return selection, address


def _from_widgets(state) -> Asked:
    """What the widgets hold, and for those that this page does not draw what was last selected."""
    last: Selection | None = state.get("_selection")

    def held(key: str):
        return state[key] if state.get(key) is not None else (getattr(last, key) if last else None)

    family = held("family")
    moved = last is not None and family != last.family
    step = held("step")
    return Asked(
        family=family,
        model=held("model"),
        models=None if moved else tuple(held("models") or ()) or None,
        step=None if step is None else str(step),
        **{key: held(key) for key in CHOICES},
    )
