"""What to measure: a figure of the paper fills the controls in, the cost follows, and only what is missing is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from saturation.jobs import asking
from saturation.jobs.memory import Sizes
from saturation.jobs.request import HEADS, MEASURES
from saturation.ui import coverage, data, figure_needs


@dataclass(frozen=True)
class Offer:
    """What can be measured at one place of the page.

    key: of its widgets; own: the model that is chosen at first, among models; known, sizes: catalogue and sizes of a
    model; target: what a step of a model is asked by; group: of the family's models, where it has groups; text: a
    file, where it is not the family's own.
    """

    key: str
    family: str
    group: str | None
    own: str
    models: tuple[str, ...]
    known: Callable[[str], pd.DataFrame]
    sizes: Callable[[str], Sizes | None]
    target: Callable[[str, int], str]
    text: str | None = None

    def field(self, name: str) -> str:
        """The key of one of its widgets."""
        return f"{self.key}-{name}"


def section(offer: Offer, picked: Sequence[int] | None) -> None:
    """The controls, what they would do and cost, and the button. picked: rows of a table; None without a table."""
    _begin(offer)
    preset = figure_needs.choose(offer)
    models, measures, which = _controls(offer, picked)
    known = {name: offer.known(name) for name in models}
    steps = {name: coverage.to_measure(table, measures, which, picked or ()) for name, table in known.items()}
    if preset:
        figure_needs.about(offer, preset, known, (models, measures, which))
    figure_needs.unlisted(offer, known)
    st.caption(coverage.plan(known, measures, which, picked or (), steps))
    coverage.cost([(known[name], offer.sizes(name), steps[name]) for name in models], measures)
    wanted = {
        offer.target(name, step): coverage.lacking(known[name], step, measures)
        for name in models
        for step in steps[name]
    }
    settings = data.settings()
    most = settings.limits.checkpoints if settings.mode == "public" else float("inf")
    if len(wanted) > most:
        st.caption(
            f":orange[A session may ask for {most:g} checkpoints a day here: choose {coverage.SPREAD} or fewer models.]"
        )
    count = f"{len(wanted):,} checkpoint{'' if len(wanted) == 1 else 's'}"
    if st.button(
        f"Measure {count}" if wanted else "Nothing to measure",
        key=offer.field("start"),
        type="primary",
        disabled=not 0 < len(wanted) <= most,
        icon=":material/play_arrow:",
    ):
        asking.ask(settings, wanted, offer.text)
        st.rerun()


def _begin(offer: Offer) -> None:
    """Start anew for another model; a preset stays while the family and its group do."""
    state, scope = st.session_state, (offer.family, offer.group, offer.own)
    before = state.get(offer.field("scope"))
    drawn = offer.field("models") in state and offer.field("measures") in state
    if drawn and (before == scope or (before and before[:2] == scope[:2] and state.get(offer.field("preset")))):
        state[offer.field("scope")] = scope
        state[offer.field("models")] = [name for name in state[offer.field("models")] if name in offer.models]
        return
    state[offer.field("scope")] = scope
    state[offer.field("preset")] = None
    state[offer.field("models")] = [name for name in (offer.own,) if name in offer.models]
    state[offer.field("measures")] = list(MEASURES)
    state[offer.field("which")] = coverage.ALL


def _controls(offer: Offer, picked: Sequence[int] | None) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    state = st.session_state
    models = state[offer.field("models")]
    if len(offer.models) > 1:
        models = st.multiselect("Models", offer.models, key=offer.field("models"), placeholder="Choose models")
    names = (*MEASURES, *HEADS)
    measures = st.pills("Measures", names, selection_mode="multi", key=offer.field("measures"), wrap=True)
    table = picked is not None and list(models) == [offer.own]
    options = [item for item in coverage.WHICH if table or item != coverage.PICKED]
    if state.get(offer.field("which")) not in options:
        state[offer.field("which")] = options[0]
    which = st.segmented_control(
        "Steps",
        options,
        required=True,
        key=offer.field("which"),
        help="Of each model." + (" Rows are picked in the table below." if table else ""),
        wrap=True,
    )
    return tuple(models), tuple(name for name in names if name in measures), str(which)
