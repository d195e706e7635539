"""Singular values: what happens to the head?"""

import streamlit as st

from saturation.figures import entropy_curves, labels, map_table, singular_map, spectrum_film
from saturation.ui import controls, data, directions, empty
from saturation.ui.chart import chart
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.pages import SINGULAR_VALUES

view = open_page(SINGULAR_VALUES)
chosen = view.selection
data.begin_spectra(chosen.family, chosen.model)
with reported():
    if chosen.step is None:
        empty.nothing_measured(view)
        st.stop()
    view.toolbar()
    ranks = int(chosen.ranks) if chosen.ranks.isdecimal() else None
    spectral = {"centred": chosen.centred, "divide": chosen.divide, "log_ranks": chosen.ranks == "log"}
    played = spectral | {"log_values": chosen.colour == "log", "cursor": chosen.step}
    over = "its largest value" if chosen.divide == "largest" else "its sum"
    word = "centred" if chosen.centred else "plain"
    models = tuple(dict.fromkeys((chosen.model, *chosen.models)))
    spectra = data.spectra(chosen.family, chosen.model)
    trajectory = data.trajectory(chosen.family, chosen.models)

    chart(
        lambda theme: singular_map.plain(
            spectra, ranks=ranks, scale=chosen.scale, colour=chosen.colour, **spectral, theme=theme
        ),
        lambda: map_table(spectra, ranks=ranks, centred=chosen.centred, divide=chosen.divide),
        f"{view.name} {word}",
        f"Each column is a checkpoint's spectrum over {over}: a dark column under a bright top row "
        "means that one direction dominates the head.",
        data.drawn_from(chosen.family, ("spectrum",), (chosen.model,)),
        title="Singular values by rank and step",
        method="spectrum",
        at=controls.cursor(chosen),
    )
    left, right = st.columns(2, gap="medium")
    with left:
        chart(
            lambda theme: spectrum_film.plain(spectra, controls=False, **played, theme=theme),
            lambda: map_table(spectra, ranks=None, centred=chosen.centred, divide=chosen.divide),
            f"{view.name} {word}",
            "The spectrum at the step of the bar above: press play, or drag. First and last checkpoint to compare.",
            data.drawn_from(chosen.family, ("spectrum",), (chosen.model,)),
            title="Spectrum as a film",
            method="spectrum",
            alone=lambda theme: spectrum_film.plain(spectra, **played, theme=theme),
        )
    with right:
        chart(
            lambda theme: entropy_curves.plain(
                trajectory, scale=chosen.scale, span=data.span(chosen.family), centred=chosen.centred, theme=theme
            ),
            lambda: trajectory[["model", "step", "singular_entropy", "centred_singular_entropy", "doubtful"]],
            f"{chosen.family} {word} at step {labels.step(chosen.step)}",
            "0 when all singular values are equal; it jumps when few directions take over.",
            data.drawn_from(chosen.family, ("spectrum",), chosen.models),
            title="Singular entropy",
            method="singular-entropy",
            at=controls.cursor(chosen),
            depends=(chosen.family, chosen.models, chosen.view, chosen.scale),
        )
    directions.section(view)
