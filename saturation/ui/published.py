"""A model's repository on the hub: when it was listed, listing it again, and what reading its heads has cost."""

import pandas as pd
import streamlit as st

from saturation.checkpoints import hub, library
from saturation.jobs import hosting
from saturation.jobs.kept import words
from saturation.settings import Settings
from saturation.ui import turns

LISTING_SECONDS = 10.0


def cost(known: pd.DataFrame) -> str | None:
    """What was read for the spectra of checkpoints on the hub beside the size of their weights; None if nothing was."""
    read = known[(known["place"] == "hub") & known["bytes_read"].notna()]
    if read.empty:
        return None
    received, whole = read["bytes_read"].sum(), read["weight_bytes"].sum()
    return f"Spectra of {len(read)} checkpoints: {words(received)} read of {words(whole)} of weights."


def listing(settings: Settings, family: str, model: str, known: pd.DataFrame) -> None:
    """Where the model is published and a button that asks the hub for its revisions; nothing for other models.

    Raises HubError.
    """
    repo = library.repository(family, model)
    if repo is None:
        return
    refs = hub.last_refs(repo, settings.cache)
    when = f"listed {refs.listed_at:%Y-%m-%d %H:%M} UTC" if refs else "its checkpoints are not listed yet"
    # Where nothing is listed yet, this is the one thing to do.
    text, button = st.container(border=refs is None).columns([3, 1], vertical_alignment="center")
    text.caption(" ".join(part for part in (f"On the hub as `{repo}`, {when}.", cost(known)) if part))
    label = "List again" if refs else "List checkpoints"
    if button.button(label, icon=":material/cloud_sync:", width="stretch"):
        with st.spinner("Asking the hub"), turns.aside():
            hosting.list_published(settings, family, model, LISTING_SECONDS)
        st.rerun()
