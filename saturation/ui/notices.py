"""What happened to the store that a reader must know, until it is dismissed."""

from pathlib import Path

import streamlit as st

from saturation.store import recovery


def show(path: Path) -> None:
    """One line for each damaged store that was replaced; dismissing keeps the damaged file."""
    for file, notice in recovery.notices(path):
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/healing: {notice.sentence()}", width="stretch")
            st.button("Dismiss", key=f"notice-{file.name}", on_click=file.unlink, args=(True,), type="tertiary")
