"""The play bar: training from the first to the last step in every figure of a page, without a run of the page.

While it plays or is dragged, the browser moves what plotly has drawn (`film_figures.js`): step cursors, a point on
each curve over the step, and traces that the figure has frames of. Where it comes to rest, the page is run once.
"""

from collections.abc import Callable, Sequence

import streamlit as st

from saturation.figures.steps import StepScale
from saturation.ui.browser import source

_bar = st.components.v2.component(
    "saturation_film",
    html=source("film_bar.html"),
    css=source("film_bar.css"),
    js=source("film_figures.js", "film_bar.js"),
)


def bar(
    run: str,
    steps: Sequence[int],
    step: int,
    scale: StepScale,
    on_move: Callable[[int], None],
    spectra: Sequence[Sequence[float]] | None = None,
) -> None:
    """Draw the bar over the figures that follow.

    `run`: whose steps they are; `step`: where the page's cursor stands; `scale`: of the step axes that have a cursor.
    `on_move` is called with the step where the bar came to rest. `spectra`: at each step, drawn small in the bar, for
    pages whose figures do not show one (`singular.sketches`).
    """

    def moved() -> None:
        where = st.session_state["film"]["moved"]
        if isinstance(where, int):
            on_move(where)

    data = {"run": run, "steps": list(steps), "step": step, "scale": scale, "spectra": spectra}
    _bar(key="film", data=data, on_moved_change=moved, height="content")
