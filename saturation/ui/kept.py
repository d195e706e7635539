"""What is kept on disk, on the Data page: a row a kind, and Clear for what can be made again."""

import streamlit as st

from saturation.errors import SaturationError
from saturation.jobs import kept
from saturation.jobs.kept import Kept, words
from saturation.ui import data
from saturation.ui.words import plain

STYLE = """<style>
[class*="st-key-kept-row"] { border-top: 1px solid rgba(128, 128, 128, 0.25); padding: 0.35rem 0; }
[class*="st-key-kept-row"] p { margin: 0; }
[class*="st-key-kept-size"] p { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
</style>"""


def section() -> None:
    """The cache folder by kind, without kinds that there is nothing of."""
    here = data.settings()
    rows = [row for row in kept.listing(here) if row.files]
    st.html(STYLE)
    st.caption(f"{words(sum(row.bytes for row in rows))} in {plain(str(here.cache))}.")
    with st.container(gap=None):
        for row in rows:
            _row(row)
    if text := st.session_state.pop("_cleared", None):
        st.toast(text, icon=":material/delete:")


def _row(row: Kept) -> None:
    name = row.kind.name
    with st.container(key=f"kept-row-{name}", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{row.kind.title}**  \n:small[:gray[{row.kind.what}]]", width="stretch")
        with st.container(key=f"kept-size-{name}", width=110):
            st.markdown(f"{words(row.bytes)}  \n:small[:gray[{row.files:,} file{'' if row.files == 1 else 's'}]]")
        with st.container(width=88):
            if row.kind.clearable and st.button("Clear", key=f"clear-{name}", width="stretch"):
                _dialog(row)


@st.dialog("Clear what is kept")
def _dialog(row: Kept) -> None:
    """Ask before a kind is cleared: what is lost, and how it comes back."""
    kind = row.kind
    st.markdown(f"**{kind.title}**: {words(row.bytes)} in {row.files:,} file{'' if row.files == 1 else 's'}.")
    st.markdown(kind.lost)
    if st.button("Clear it", type="primary", icon=":material/delete:", key="clear-now"):
        try:
            gone = kept.clear(data.settings(), kind.name)
        except SaturationError as error:
            st.error(data.said(error), icon=":material/error:")
            return
        st.session_state["_cleared"] = f"{kind.title}: {words(gone.bytes)} freed."
        st.rerun()
