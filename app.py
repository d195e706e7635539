"""Overview: is it saturating? The entry of `streamlit run app.py`."""

import streamlit as st

from saturation.figures import labels, linked_figure, linked_table
from saturation.figures.linked import LINKED, step_of_point
from saturation.ui import controls, data, empty, lab, runs
from saturation.ui.chart import chart, slug
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.pages import OVERVIEW
from saturation.ui.tiles import tiles, verdict_card

TITLE = "One training run"


def follow_click() -> None:
    """Move the step cursor to the clicked point."""
    points = st.session_state[slug(TITLE)]["selection"]["points"]
    step = step_of_point(points[0].get("customdata")) if points else None
    if step is not None:
        controls.move_to(step)


view = open_page(OVERVIEW)
chosen = view.selection
data.begin_spectra(chosen.family, chosen.model)
with reported():
    trajectory = data.trajectory(chosen.family, (chosen.model,))
    if chosen.step is None:
        empty.nothing_measured(view)
        st.stop()
    metric = data.metric(chosen.family, chosen.metric)
    curve = data.curve(chosen.family, (chosen.model,), metric.name)
    run = verdict_card(view, metric)
    lab.about(view)
    spectra = data.spectra(chosen.family, chosen.model)
    view.toolbar(spectra)
    tiles(trajectory, chosen.step)
    chart(
        lambda theme: linked_figure.plain(
            trajectory,
            spectra,
            curve=curve,
            metric=(metric.label.capitalize(), metric.unit, bool(metric.higher_is_better)),
            turns=run.marks() if run else {},
            scale=chosen.scale,
            theme=theme,
        ),
        lambda: linked_table(trajectory),
        f"{view.name} at step {labels.step(chosen.step)}",
        "All panels share the step axis: point at a step to read it across them, click or tap to move the cursor. "
        "The diamond is the best loss; clicking twice shows the full range.",
        data.drawn_from(chosen.family, ("spectrum", "anisotropy", "loss"), (chosen.model,)),
        title=TITLE,
        method="saturation",
        on_select=follow_click,
        at=controls.cursor(chosen, LINKED),
    )
    runs.ranking(view)
    lab.section(view)
