"""Figures of the paper on the Measure page: what they need is filled in, and the page that draws them is named."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from saturation.checkpoints import library
from saturation.families import registry
from saturation.jobs import hosting, presets
from saturation.jobs.presets import Preset
from saturation.ui import coverage, data, turns
from saturation.ui.pages import named
from saturation.ui.words import plain

if TYPE_CHECKING:
    from saturation.ui.measuring import Offer

LISTING_SECONDS = 10.0


def choose(offer: "Offer") -> Preset | None:
    """The menu of figures that the family can have, and why the others are not in it; returns the one chosen."""
    family = registry.family(offer.family)
    fitting, refused = presets.offered(family, offer.models)
    known = {preset.key: preset for preset in fitting}
    if known:
        if st.session_state.get(offer.field("preset")) not in known:
            st.session_state[offer.field("preset")] = None
        st.selectbox(
            "What a figure needs",
            list(known),
            index=None,
            key=offer.field("preset"),
            placeholder="Choose a figure of the paper",
            format_func=lambda key: f"{known[key].title}: {known[key].what}",
            on_change=fill,
            args=(offer,),
            help="Fills in the models, measures and steps below; change them as you like.",
        )
    with st.expander("Figures that are not in this menu", icon=":material/help:"):
        for reason, titles in refused.items():
            st.caption(f"{', '.join(titles)}: {plain(reason)}.")
        for other in presets.elsewhere():
            st.caption(f"{other.title}: {other.reason}.")
            page = named(other.page)
            st.page_link(page.path, label=page.name, icon=page.icon, query_params=_address(offer, offer.own))
    return known.get(st.session_state.get(offer.field("preset")) or "")


def needs(offer: "Offer", preset: Preset) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Models, measures and steps as the controls hold them."""
    models = preset.of_family(offer.family, offer.models)
    if offer.family in presets.STRANGERS:
        models = [offer.own]
    return tuple(models), preset.asked, coverage.LAST if preset.steps == "last" else coverage.ALL


def fill(offer: "Offer") -> None:
    """Put into the controls what the chosen figure needs; nothing where the menu was emptied."""
    key = st.session_state[offer.field("preset")]
    if key is not None:
        models, measures, which = needs(offer, presets.preset(key))
        st.session_state[offer.field("models")] = list(models)
        st.session_state[offer.field("measures")] = list(measures)
        st.session_state[offer.field("which")] = which


def about(
    offer: "Offer",
    preset: Preset,
    known: Mapping[str, pd.DataFrame],
    chosen: tuple[tuple[str, ...], tuple[str, ...], str],
) -> None:
    """What the figure draws and where, how much of it is measured, and whether the controls were changed since."""
    page, wanted = named(preset.page), needs(offer, preset)
    tables = {name: known[name] if name in known else offer.known(name) for name in wanted[0]}
    held = presets.held(preset, tables)
    with st.container(border=True, gap="xsmall", key=offer.field("figure")):
        st.markdown(f"**{preset.title}** draws {preset.draws}.")
        left = [name for name in preset.models.get(offer.family, ()) if name not in offer.models]
        if left and len(offer.models) > 1:
            st.caption(f"Not offered here, though the paper drew them: {plain(', '.join(left))}.")
        if held.total:
            end = ": nothing to do." if held.done == held.total and not held.unknown else "."
            st.markdown(f"{held.done:,} of {held.total:,} checkpoints measured{end}")
        if held.done:
            full = [name for name, table in tables.items() if table[list(preset.asked)].all(axis=1).any()]
            model = offer.own if offer.own in full else full[0]
            st.page_link(
                page.path, label=f"See it: {page.name}", icon=page.icon, query_params=_address(offer, model, full)
            )
        else:
            st.caption(f"It will be on the page {page.name}.")
        if set(chosen[0]) != set(wanted[0]) or chosen[1:] != wanted[1:]:
            st.caption("The controls were changed since: what they ask for is not all that the figure takes.")
            st.button(
                "Fill in again",
                key=offer.field("again"),
                type="tertiary",
                icon=":material/restart_alt:",
                on_click=fill,
                args=(offer,),
            )
        st.caption(plain(preset.source))


def unlisted(offer: "Offer", known: Mapping[str, pd.DataFrame]) -> None:
    """A button that lists the checkpoints of those chosen models of which none is known. Raises SaturationError."""
    names = [name for name, table in known.items() if table.empty and library.repository(offer.family, name)]
    if not names or names == [offer.own]:  # for that one the page has its own button
        return
    few = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    st.caption(f"Which checkpoints there are of {plain(few)} is not known here yet.")
    count = f"{len(names)} model{'' if len(names) == 1 else 's'}"
    if st.button(f"List the checkpoints of {count}", key=offer.field("list"), icon=":material/cloud_sync:"):
        with st.spinner("Asking the hub"), turns.aside():
            for name in names:
                hosting.list_published(data.settings(), offer.family, name, LISTING_SECONDS)
        st.rerun()


def _address(offer: "Offer", model: str, models: list[str] | None = None) -> dict[str, str]:
    """The link to a model of the family; models: to compare, left out where they are all that are measured.

    A folder that was not measured yet has no link: there is nothing of it to show.
    """
    if model not in data.families().get(offer.family, ()):
        return {}
    address = {"family": offer.family, "model": model}
    if offer.group is not None:
        address["group"] = offer.group
    if models and set(models) != set(data.comparable(offer.family, offer.group)):
        address["models"] = ",".join(models)
    return address
