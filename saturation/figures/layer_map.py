"""Anisotropy by layer and step: a map, and beside it the profile over the layers that plays along training."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from saturation.figures import film, labels, parts
from saturation.figures.plain import Drawing, Plain
from saturation.figures.steps import StepScale, axis, edges, nearest, positions
from saturation.figures.theme import ANISOTROPY_SCALE, LIGHT, Theme, colour_bar

MAP_END, PROFILE_START = 0.72, 0.78  # of the figure's width
PLAYED = [1, 2]  # the traces that a frame moves: the line over the map, and the profile


@Drawing
def layer_map(
    layers: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    centred: bool = False,
    before_norm: bool = False,
    controls: bool = True,
    theme: Theme = LIGHT,
) -> Plain:
    """Mean cosine of one model by training step (x) and layer (y): 0 the embedding, the top what the head reads.

    The profile at the right is of the step under the line; its frames play along training in the browser, by buttons
    of the figure's own where `controls`. before_norm: the top row is of the last layer before the final norm
    (`anisotropy.at_norm`).
    """
    column = "centred_anisotropy" if centred else "anisotropy"
    frame = layers[layers[column].notna()]
    if frame.empty:
        return parts.empty(theme, "No anisotropy is measured for this model yet.")
    table = frame.pivot_table(index="layer", columns="step", values=column)
    steps = table.columns.to_numpy(dtype=np.int64)
    last = int(frame["layers"].iloc[0])
    low, high = float(table.index.min()) - 0.5, float(table.index.max()) + 0.5
    top = "before the final norm" if before_norm else "after the final norm"
    start = nearest(steps, cursor if cursor is not None else int(steps[-1]))
    traces, frames = _film(table, steps, start, (low, high), scale, theme)
    cells = {
        "type": "heatmap",
        "x": edges(positions(steps, scale)),
        "y": edges(table.index.to_numpy(dtype=float)),
        "z": table.to_numpy(dtype=np.float32),
        "customdata": np.broadcast_to(steps.astype(np.int32), table.shape),
        "zmin": 0,
        "zmax": 1,
        "colorscale": ANISOTROPY_SCALE,
        "hoverongaps": False,
        "hovertemplate": f"mean cosine %{{z:.4f}}<br>layer %{{y:.0f}} of {last}<extra>step %{{customdata:,}}</extra>",
        "name": "anisotropy",
        "colorbar": colour_bar(theme)
        | {"tickvals": [0, 0.5, 1], "ticktext": ["0", "0.5", "1"], "x": MAP_END, "len": 0.25},
    }
    values, text = _layer_ticks(last)
    worst = float(min(table.to_numpy().min(), 0.0))
    # Handed over at once: plotly takes milliseconds for each thing added to a figure of its own.
    figure = parts.blank(
        theme,
        370,
        [cells, *traces],
        margin=parts.MAP_MARGIN | {"r": 20},
        showlegend=False,
        xaxis=axis(steps, scale) | {"domain": [0, MAP_END]},
        xaxis2={
            "domain": [PROFILE_START, 1],
            "anchor": "y",
            "range": [worst - 0.04, 1.04],
            "title": {"text": "mean cosine"},
            "tickvals": [0, 0.5, 1],
            "showline": True,
            "ticks": "outside",
        },
        yaxis={
            "title": {"text": "layer"},
            "range": [low, high],
            "tickmode": "array",
            "tickvals": values,
            "ticktext": text,
            "showgrid": False,
        },
    )
    figure.frames = frames
    marks = frame[["step", "doubtful"]].drop_duplicates("step")
    parts.add_marks(figure, marks, scale, theme, y=low)
    parts.add_title(figure, "mean cosine", f"{'centred' if centred else 'plain'}, top row {top}", 1.0, theme)
    parts.add_cursor(figure, cursor, scale, theme, flag="right")  # to the left of the profile's axis, where they meet
    if controls:
        film.add_controls(figure, cursor, theme, theme.anisotropy)
    return figure


def _film(
    table: pd.DataFrame,
    steps: NDArray[np.int64],
    start: int,
    span: tuple[float, float],
    scale: StepScale,
    theme: Theme,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The line over the map and the profile beside it at `start`, with the first and last profile; and the frames."""
    values, layers = table.to_numpy(dtype=np.float32), table.index.to_numpy(dtype=float)
    places = positions(steps, scale)
    index = int(np.flatnonzero(steps == start)[0])
    chosen = film.shown(steps.size, index)

    def line(at: int) -> dict[str, Any]:
        return {"type": "scatter", "x": [places[at]] * 2, "y": list(span)}

    def profile(at: int) -> dict[str, Any]:
        return {"type": "scatter", "x": values[:, at], "name": f"step {labels.step(steps[at])}"}

    beside = {
        "y": layers,
        "xaxis": "x2",
        "hovertemplate": "mean cosine %{x:.4f}<br>layer %{y:.0f}<extra>%{fullData.name}</extra>",
    }
    played = {
        "mode": "lines",
        "line": {"color": theme.warning, "width": 2},
        "opacity": 0.9,
        "hoverinfo": "skip",
        "name": film.PLAYED,
        "visible": False,
    }
    shape = {
        "mode": "lines+markers",
        "line": {"color": theme.anisotropy, "width": 2.4},
        "marker": {"size": 5, "color": theme.anisotropy},
    }
    traces = [line(index) | played, profile(index) | beside | shape]
    for at, dash, word in ((0, "dot", "first"), (-1, "dash", "last")):
        faint = {"mode": "lines", "line": {"color": theme.muted, "width": 1.2, "dash": dash}}
        traces.append(profile(at) | beside | faint | {"name": f"{word}, step {labels.step(steps[at])}"})
    frames = [{"name": str(steps[at]), "data": [line(at), profile(at)], "traces": PLAYED} for at in chosen]
    return traces, frames


def _layer_ticks(last: int) -> tuple[list[int], list[str]]:
    width = max(1, round(last / 6))
    values = [*range(0, last - width // 2, width), last]
    return values, [str(value) for value in values]
