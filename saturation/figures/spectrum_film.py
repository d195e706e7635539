"""The spectrum of the output head at one step, as a film over training that plays in the browser."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from saturation.figures import film, labels, parts
from saturation.figures.plain import Drawing, Plain, scatter
from saturation.figures.singular import Normalisation, drawn_ranks, log_ranks_shown, ratios
from saturation.figures.steps import nearest
from saturation.figures.theme import LIGHT, Theme

FILM_POINTS = 400


@Drawing
def spectrum_film(
    spectra: pd.DataFrame,
    *,
    cursor: int | None = None,
    centred: bool = False,
    divide: Normalisation = "largest",
    log_ranks: bool = False,
    log_values: bool = False,
    controls: bool = True,
    theme: Theme = LIGHT,
) -> Plain:
    """The spectrum at one step, with frames that play along training in the browser.

    `divide`: over the largest value or over the sum; `log_ranks`, `log_values`: a log axis for either. The first and
    the last checkpoint stay as thin lines to compare with; the film starts at `cursor`. `controls`: with a play button
    and a slider of its own.
    """
    found = ratios(spectra, ranks=None, centred=centred, divide=divide)
    if found is None:
        return parts.empty(theme, "No spectrum is measured for this model yet.")
    rows = drawn_ranks(found.ranks, FILM_POINTS, spaced="log" if log_ranks else "even")
    values = found.values[rows - 1].astype(np.float32)
    start = nearest(found.steps, cursor if cursor is not None else int(found.steps[-1]))
    at = int(np.flatnonzero(found.steps == start)[0])
    shown = film.shown(found.steps.size, at)
    names = _steps_of_one_width(found.steps)
    figure = parts.blank(theme, 430, margin={"l": 58, "r": 14, "t": 48, "b": 52})
    hover = f"{found.words.hover} %{{y:.4g}} at rank %{{x:,}}<extra>%{{fullData.name}}</extra>"
    for index, dash, label in ((0, "dot", "first"), (-1, "dash", "last")):
        figure.add_traces(
            scatter(
                x=rows,
                y=values[:, index],
                mode="lines",
                name=f"{label}, step {labels.step(found.steps[index])}",
                line={"color": theme.muted, "width": 1.3, "dash": dash},
                hovertemplate=hover,
            )
        )
    figure.add_traces(
        scatter(
            x=rows,
            y=values[:, at],
            mode="lines",
            name=names[at],
            line={"color": theme.spectrum, "width": 2.6},
            hovertemplate=hover,
        )
    )
    figure.frames = [  # a frame says only what changes: the third trace's values and name
        {
            "name": str(found.steps[index]),
            "data": [{"type": "scatter", "y": values[:, index], "name": names[index]}],
            "traces": [2],
        }
        for index in shown
    ]
    positive = values[values > 0]
    smallest, largest = float(positive.min()), float(positive.max())
    figure.update(
        xaxis={"title": {"text": "singular rank"}, "showline": True, "ticks": "outside"},
        yaxis={"title": {"text": found.words.title}, "range": [-0.02 * largest, 1.04 * largest]},
    )
    if log_ranks:
        ticks = log_ranks_shown(found.ranks)
        text = [f"{rank:,}" for rank in ticks]
        marked = {"tickmode": "array", "tickvals": ticks, "ticktext": text}
        figure.update(xaxis={"type": "log", "range": [-0.02, float(np.log10(found.ranks)) + 0.02]} | marked)
    else:
        figure.update(xaxis={"range": [0.5 - 0.01 * found.ranks, found.ranks * 1.01 + 0.5]})
    if log_values:
        low = max(smallest, 1e-8 * largest)
        values_shown, text = parts.log_ticks([low, largest])
        marked = {"tickmode": "array", "tickvals": values_shown, "ticktext": text}
        ends = [float(np.log10(low)) - 0.1, float(np.log10(largest)) + 0.1]
        figure.update(yaxis={"type": "log", "range": ends} | marked)
    if controls:
        film.add_controls(figure, start, theme, theme.spectrum)
    return figure


def _steps_of_one_width(steps: NDArray[np.int64]) -> list[str]:
    """Names of steps, with spaces as wide as digits after short ones: plotly gives a legend room for its first name."""
    names = [f"step {labels.step(step)}" for step in steps]
    longest = max(map(len, names))
    return [name.ljust(longest, "\u2007") for name in names]
