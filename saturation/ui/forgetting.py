"""The dialog that deletes what the store holds of models: what goes, what to keep of it first, what brings it back."""

from collections.abc import Callable, Sequence

import streamlit as st

from saturation.errors import SaturationError
from saturation.jobs import forget
from saturation.ui import data, downloads
from saturation.ui.words import plain, sentence

NAMED = 3  # models named; of more the number is said


@st.dialog("Delete measurements")
def dialog(models: Sequence[str], pack_button: Callable[[Sequence[str]], None]) -> None:
    """Ask before the measurements of models are deleted; their pack first."""
    here = data.settings()
    with data.reported():
        found = forget.held(here, models)
        st.markdown(f"**{counted(found)}** of {called(models)} will be deleted from the store.")
        for text in forget.comes_back(here, models):
            st.markdown(sentence(text))
        st.markdown("The way back is a pack of them: download it, and import it here when you want them again.")
        pack_button(models)
        downloads.watch_dialog()
        sure = st.checkbox(f"Delete {called(models)}; I have the pack or do not need it", key="delete-sure")
        if st.button("Delete for good", disabled=not sure, type="primary", icon=":material/delete:", key="delete-now"):
            try:
                forget.forget(here, models)
            except SaturationError as error:
                st.error(data.said(error), icon=":material/error:")
                return
            st.session_state["_deleted"] = f"Deleted: {counted(found)} of {called(models)}."
            st.rerun()


def said() -> None:
    """What was deleted just now."""
    if text := st.session_state.pop("_deleted", None):
        st.toast(text, icon=":material/delete:")


def called(models: Sequence[str]) -> str:
    """The models in words."""
    return ", ".join(map(plain, models)) if len(models) <= NAMED else f"{len(models)} models"


def counted(found: dict[str, int]) -> str:
    """What is held, in words: `30 measurements of 15 checkpoints and 2 evaluations`."""
    parts = []
    if found["checkpoints"]:
        parts.append(f"{_count(found['measurements'], 'measurement')} of {_count(found['checkpoints'], 'checkpoint')}")
    if found["evaluations"]:
        parts.append(_count(found["evaluations"], "evaluation"))
    return " and ".join(parts) or "Nothing"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
