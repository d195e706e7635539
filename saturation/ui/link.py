"""The link to the exact view: copied by a button, and carried by saved files."""

from collections.abc import Mapping
from urllib.parse import urlencode

import streamlit as st

from saturation.ui.browser import source

SHOWN = "_shown"
HTML = """<button type="button" title="Copy the link to this view">
<svg viewBox="0 0 24 24" width="16" height="16" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2"
stroke-linecap="round"><path d="M10 14a4 4 0 0 0 6 .5l3-3a4 4 0 0 0-5.7-5.7l-1 1"/>
<path d="M14 10a4 4 0 0 0-6-.5l-3 3a4 4 0 0 0 5.7 5.7l1-1"/></svg><span aria-live="polite">Copy link</span></button>"""
STYLE = """
button { font: inherit; font-size: 0.8rem; display: inline-flex; gap: 0.35rem; align-items: center; cursor: pointer;
  color: var(--st-text-color); opacity: 0.75; background: none; border: 0; padding: 0.15rem 0.3rem;
  border-radius: var(--st-base-radius); white-space: nowrap; }
button:hover, button:focus-visible { opacity: 1; color: var(--st-primary-color); outline: 1px solid currentColor; }
"""
_copy = st.components.v2.component("saturation_link", html=HTML, css=STYLE, js=source("link.js"))


def button(address: Mapping[str, str]) -> None:
    """Copies the link of a selection, whole."""
    st.session_state[SHOWN] = dict(address)
    _copy(key="link", data={"query": _query(address)}, width="content", height="content")


def current() -> str:
    """The link of what this session shows; '' where the browser has not told its address."""
    base = (st.context.url or "").partition("?")[0]
    return f"{base}?{_query(st.session_state.get(SHOWN, {}))}" if base else ""


def shown() -> dict[str, str]:
    """The parameters of what this session shows."""
    return dict(st.session_state.get(SHOWN, {}))


def but_for_step() -> str:
    """What this session shows, whatever the step, as one text."""
    return _query({key: value for key, value in st.session_state.get(SHOWN, {}).items() if key != "step"})


def shown_text() -> str:
    """What this session shows, as one text."""
    return _query(st.session_state.get(SHOWN, {}))


def _query(address: Mapping[str, str]) -> str:
    return urlencode(address, safe=",/")
