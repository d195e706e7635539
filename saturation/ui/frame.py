"""What surrounds every page: title, menu, selection controls, progress of running jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from saturation import __version__
from saturation.errors import SaturationError
from saturation.figures import DARK, Theme
from saturation.ui import controls, data, downloads, link, live, look, notices, progress, saving
from saturation.ui.pages import MEASURE, PAGES, Page
from saturation.ui.selection import Selection
from saturation.ui.words import plain

ABOUT = f"""**Saturation {__version__}** shows whether a language-model training run saturates, since when, and what its
output head does meanwhile. Definitions follow Godey, de la Clergerie and Sagot, arXiv 2404.07647."""
# Drawn here: a material symbol as page icon would be fetched from a font server.
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="7" fill="#2b0a57"/>
<path d="M5 8c5 13 9 15 13 12s6-7 9-9" fill="none" stroke="#fba836" stroke-width="4" stroke-linecap="round"/></svg>"""
MARK = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 168 32" width="168" height="32">
<rect width="32" height="32" rx="7" fill="#2b0a57"/>
<path d="M5 8c5 13 9 15 13 12s6-7 9-9" fill="none" stroke="#fba836" stroke-width="4" stroke-linecap="round"/>
<text x="43" y="23" font-family="'Source Serif 4', 'Source Serif Pro', Georgia, serif" font-size="21" font-weight="600"
fill="{ink}">Saturation</text></svg>"""
STYLE = """<style>
.stMainBlockContainer { max-width: 1240px; }
.stMainBlockContainer h1 { padding: 0 0 0.9rem; }
.st-key-eyebrow { margin-bottom: -0.6rem; }
.st-key-eyebrow p { font-size: 0.75rem; letter-spacing: 0.06em; }
[data-testid="stSidebar"] [data-testid="stPageLink"] a { padding: 0.3rem 0.5rem; }
[data-testid="stSidebar"] [data-testid="stElementContainer"]:has(> [data-testid="stPageLink"]) { margin: 0; }
.st-key-provenance p, [class*="st-key-under-"] p { font-size: 0.8rem; line-height: 1.4; }
[class*="st-key-under-"] [data-testid="stPageLink"] a { padding: 0 0.2rem; }
[class*="st-key-under-"] :is(a, button) { min-height: 2.5rem; margin: 0; align-items: center; }
[class*="st-key-under-"] :is(a, button) p { font-size: 0.875rem; }
/* As high as a field beside it, so that labels stand in one line. */
[data-testid="stMain"] [data-testid="stButtonGroup"] button[role="radio"] { min-height: 2.5rem; }
[data-testid="stColumn"] [data-testid="stElementContainer"]:has(+ [data-testid="stElementContainer"] .stPlotlyChart) {
  min-height: 4.3rem;  /* two figures side by side begin at one height, though their guides differ */
}
[data-testid="stLayoutWrapper"]:has(> .st-key-playbar) { position: sticky; top: 3.75rem; z-index: 2000; }
.st-key-tiles { transition: opacity 0.15s; }
[data-film] .st-key-tiles { opacity: 0.35; }
.stElementContainer:not(.st-key-saved-figure):has(.stPlotlyChart),
.stElementContainer:not(.st-key-saved-figure) .js-plotly-plot { overflow: visible !important; }
[data-testid="stPlotlyChart"] .modebar-container { top: -1.25rem !important; }  /* above titles and legends */
[data-testid="stMetricValue"] { font-variant-numeric: tabular-nums; }
@media (max-width: 640px) {
  .stMainBlockContainer { padding-left: 0.9rem; padding-right: 0.9rem; }
  .modebar-container { display: none; }  /* plotly shows it for good on a touch screen, over titles and legends */
  [data-testid="stElementToolbar"] { display: none; }  /* so does streamlit with that of a table */
  :is([data-testid="stMultiSelectTagsContainer"], :has(> [data-testid="stMultiSelectTagsContainer"])) {
    max-height: none;
  }
  [class*="st-key-under-"] a, [class*="st-key-under-"] button { min-height: 2.75rem; }
}
</style>"""
# White on the dark theme's primary colour is too faint; streamlit has no option for the text on it.
ON_PRIMARY = """<style>
:is(button[kind="primary"], button[kind="primaryFormSubmit"]):enabled, [data-testid="stMultiSelect"] [data-tag],
:is(button[kind="primary"], button[kind="primaryFormSubmit"]):enabled *, [data-testid="stMultiSelect"] [data-tag] * {{
  color: {ink};
}}
</style>"""
NAMED = 4  # runs named above a page's title; of more the number is said


@dataclass(frozen=True)
class View:
    """What a page draws from: the selection, its address, and the look of figures."""

    selection: Selection
    address: Mapping[str, str]
    theme: Theme

    page: Page
    eyebrow: DeltaGenerator

    def about(self, *names: str) -> None:
        """Say above the title what the page shows, where that is not the selected model."""
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        self.eyebrow.caption(" · ".join((self.page.name, plain(", ".join(names[:NAMED]) + more))), width="stretch")

    @property
    def name(self) -> str:
        return f"{self.selection.family}/{self.selection.model}"

    @property
    def shown(self) -> str:
        """The name as markdown that shows it literally."""
        return plain(self.name)

    def toolbar(self, spectra: pd.DataFrame | None = None) -> None:
        """The play bar, with the model's spectra in it where given, and the page's ways to look."""
        controls.toolbar(self.page, self.selection, spectra)

    def choice(self, key: str) -> None:
        """One of the selection's choices, where the page draws it itself."""
        controls.choice(key, self.selection)

    def number(self, key: str, label: str, default: float, step: float, help: str, **options: Any) -> float:
        """A number of the selection; returns what is in force."""
        return controls.number(key, self.selection, label, default, step, help, **options)


def open_page(page: Page) -> View:
    """Draw menu and controls, and return what is selected. Stops the page where the store cannot be read."""
    st.set_page_config(
        page_title=f"{page.name} · Saturation",
        page_icon=ICON,
        layout="wide",
        initial_sidebar_state=264,
        menu_items={"About": ABOUT},
    )
    st.html(STYLE)
    if look.theme() is DARK:
        st.html(ON_PRIMARY.format(ink=DARK.background))
    st.logo(MARK.format(ink=look.theme().text), size="large", icon_image=ICON)
    with st.sidebar:
        menu = st.container(gap=None)
        st.space("xsmall")
    eyebrow = st.container(key="eyebrow", horizontal=True, vertical_alignment="center", gap="small")
    st.title(page.question, anchor=False)
    try:
        live.bring_in()
        progress.begin()
        selection, address = controls.select(page)
    except SaturationError as error:
        with menu:
            _menu({})
        st.error(data.said(error), icon=":material/error:")
        st.stop()
    if data.settings().mode == "local":  # what became of the store is its owner's business
        notices.show(data.store().path)
    with eyebrow:
        words = st.empty()
        link.button(address)
    view = View(selection, address, look.theme(), page, words)
    if page.chooses:
        view.about(view.name)
    else:
        words.caption(page.name, width="stretch")
    with menu:
        _menu(address)
    with st.sidebar:
        look.watch()
        live.sidebar(selection.family)
        if page is not MEASURE:
            progress.sidebar()
        saving.watch()
        downloads.watch()
    return view


def _menu(address: Mapping[str, str]) -> None:
    for page in PAGES:
        st.page_link(page.path, label=page.name, icon=page.icon, query_params=dict(address), width="stretch")
