"""Anisotropy: where do representations collapse?"""

import streamlit as st

from saturation.figures import depth_curves, depth_table, labels, last_layer_curves, layer_map
from saturation.ui import data, empty, provenance
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
    shared = {"centred": chosen.centred, "theme": view.theme}
    along = shared | {"cursor": chosen.step, "scale": chosen.scale}
    word = "mean-centred" if chosen.centred else "plain"
    models = tuple(dict.fromkeys((chosen.model, *chosen.models)))
    layers = data.layer_anisotropy(chosen.family, models)
    trajectory = data.trajectory(chosen.family, models)
    drawn_from = data.provenance(chosen.family, models)
    own = layers[layers["model"] == chosen.model]
    compared = layers[layers["model"].isin(chosen.models)]
    lines = trajectory[trajectory["model"].isin(chosen.models)]
    span = data.span(chosen.family)

    chart(
        layer_map(own, **along),
        lambda: own,
        f"{view.name} {word}",
        "Each column is a checkpoint, each row a layer: 0 is the embedding, the top row is what the head reads. "
        "Bright means that all representations point the same way.",
        provenance.line(drawn_from, ("anisotropy",), (chosen.model,)),
        title="Mean cosine by layer and step",
    )
    left, right = st.columns(2, gap="medium")
    with left:
        chart(
            depth_curves(compared, chosen.step, span=span, **shared),
            lambda: depth_table(compared, chosen.step, centred=chosen.centred),
            f"{chosen.family} {word} at step {labels.step(chosen.step)}",
            f"At step {labels.step(chosen.step)}, from the embedding (0) to what the head reads (1); "
            "darker to brighter lines are smaller to larger models.",
            provenance.line(drawn_from, ("anisotropy",), chosen.models),
            title="By depth",
        )
    with right:
        chart(
            last_layer_curves(lines, span=span, **along),
            lambda: lines[["model", "step", "anisotropy", "centred_anisotropy", "doubtful"]],
            f"{chosen.family} {word}",
            "Mean cosine of what the head reads; near 1, all contexts look alike to the head.",
            provenance.line(drawn_from, ("anisotropy",), chosen.models),
            title="Last layer along training",
        )
