"""Anisotropy: where do representations collapse?"""

import streamlit as st

from saturation.figures import (
    at_norm,
    coloured_panels,
    curves,
    depth_curves,
    depth_panels,
    depth_table,
    labels,
    last_layer_curves,
    layer_map,
)
from saturation.figures.coloured import add_cursors
from saturation.ui import controls, data, empty
from saturation.ui.chart import chart
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.pages import ANISOTROPY

view = open_page(ANISOTROPY)
chosen = view.selection
with reported():
    if chosen.step is None:
        empty.nothing_measured(view)
        st.stop()
    view.toolbar()
    before = chosen.norm == "before"
    shared = {"centred": chosen.centred}
    along = {"cursor": chosen.step, "scale": chosen.scale}
    word = ("centred" if chosen.centred else "plain") + (" before the final norm" if before else "")
    models = tuple(dict.fromkeys((chosen.model, *chosen.models)))
    trajectory = data.trajectory(chosen.family, models)
    layers = at_norm(data.layer_anisotropy(chosen.family, models), trajectory, chosen.norm)
    own = layers[layers["model"] == chosen.model]
    compared = layers[layers["model"].isin(chosen.models)]
    lines = trajectory[trajectory["model"].isin(chosen.models)]
    span = data.span(chosen.family)
    played = data.steps(chosen.family, chosen.model)

    chart(
        lambda theme: layer_map.plain(own, before_norm=before, controls=False, **along, **shared, theme=theme),
        lambda: own,
        f"{view.name} {word}",
        "Each column is a checkpoint, each row a layer: 0 is the embedding, the top row is what the head reads. "
        "Bright means that all representations point the same way. The profile at the right is of the step under the "
        "line (dotted: first checkpoint, dashed: last): press play above.",
        data.drawn_from(chosen.family, ("anisotropy",), (chosen.model,)),
        title="Mean cosine by layer and step",
        method="anisotropy",
        alone=lambda theme: layer_map.plain(own, before_norm=before, **along, **shared, theme=theme),
    )
    metric = data.metric(chosen.family, chosen.metric)
    table = data.coloured(chosen.family, chosen.models, metric.name, chosen.centred, before)
    chart(
        lambda theme: coloured_panels.plain(
            table, metric.title, higher_is_better=bool(metric.higher_is_better), scale=chosen.scale, theme=theme
        ),
        lambda: table,
        f"{chosen.family} {metric.label} {word}",
        f"One panel a model{', smallest first' if curves.differ_in_size(table) else ''}; a brighter point is a "
        "checkpoint whose last-layer representations point the same way. Does the colour turn where the curve does?"
        + (" Dashed: the exact entropy of the text." if table["floor"].notna().any() else ""),
        data.metric_drawn_from(chosen.family, metric.name, chosen.models)
        + " · colours: "
        + data.drawn_from(chosen.family, ("anisotropy",), chosen.models),
        title="Performance coloured by anisotropy",
        method="anisotropy",
        at=lambda figure, theme: add_cursors(figure, chosen.step, chosen.scale, theme),
        depends=(chosen.family, chosen.models, chosen.metric, chosen.view, chosen.norm, chosen.scale),
    )
    left, right = st.columns(2, gap="medium")
    with left:
        chart(
            lambda theme: depth_curves.plain(compared, chosen.step, played=played, span=span, **shared, theme=theme),
            lambda: depth_table(compared, chosen.step, centred=chosen.centred),
            f"{chosen.family} {word} at step {labels.step(chosen.step)}",
            "At the step of the cursor, from the embedding (0) to what the head reads (1)"
            + ("; darker to brighter lines are smaller to larger models." if curves.differ_in_size(compared) else "."),
            data.drawn_from(chosen.family, ("anisotropy",), chosen.models),
            title="By depth",
            method="anisotropy",
        )
    with right:
        chart(
            lambda theme: last_layer_curves.plain(
                lines, span=span, before_norm=before, scale=chosen.scale, **shared, theme=theme
            ),
            lambda: lines.filter(regex="^(model|step|.*anisotropy.*|doubtful)$"),
            f"{chosen.family} {word}",
            "Mean cosine of what the head reads; near 1, all contexts look alike to the head.",
            data.drawn_from(chosen.family, ("anisotropy",), chosen.models),
            title="Last layer along training",
            method="anisotropy",
            at=controls.cursor(chosen),
            depends=(chosen.family, chosen.models, chosen.view, chosen.norm, chosen.scale),
        )
    everywhere = data.last_layers()
    if everywhere["family"].nunique() > 1:
        chart(
            lambda theme: depth_panels.plain(everywhere, **shared, theme=theme),
            lambda: everywhere,
            f"{', '.join(everywhere['family'].unique())} {'centred' if chosen.centred else 'plain'}",
            "Every measured model at its last checkpoint, after the final norm; one scale of colours for all.",
            f"{everywhere[['family', 'model']].drop_duplicates().shape[0]} models, each on its family's text",
            title="Families side by side",
            method="anisotropy",
            depends=("all", chosen.view),
        )
