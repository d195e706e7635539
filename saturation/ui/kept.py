"""What is kept on disk, on the Data page: a row a kind, and Clear for what can be made again."""

import pandas as pd
import streamlit as st

from saturation.errors import SaturationError
from saturation.jobs import kept
from saturation.jobs.kept import Kept, words
from saturation.ui import data
from saturation.ui.words import plain


def section() -> None:
    """The cache folder by kind, without kinds that there is nothing of."""
    here = data.settings()
    rows = [row for row in kept.listing(here) if row.files]
    st.caption(f"{words(sum(row.bytes for row in rows))} in {plain(str(here.cache))}")
    st.dataframe(
        pd.DataFrame(
            {
                "kind": [row.kind.title for row in rows],
                "size": [words(row.bytes) for row in rows],
                "files": [row.files for row in rows],
                "what it is": [row.kind.what for row in rows],
            }
        ),
        hide_index=True,
        width="stretch",
        column_config={
            "size": st.column_config.TextColumn(width="small", alignment="right"),
            "files": st.column_config.NumberColumn(width="small", format="localized"),
            "what it is": st.column_config.TextColumn(width="large"),
        },
        alt="What the cache folder keeps, by kind",
    )
    with st.container(horizontal=True, gap="small"):
        for row in rows:
            label = f"Clear {row.kind.title.lower()}"
            if row.kind.clearable and st.button(label, key=f"clear-{row.kind.name}", icon=":material/delete:"):
                dialog(row)
    if text := st.session_state.pop("_cleared", None):
        st.toast(text, icon=":material/delete:")


@st.dialog("Clear what is kept")
def dialog(row: Kept) -> None:
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
