"""The output head along training: singular-value map, spectrum as a film, singular entropy."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from saturation.figures import curves, labels, parts
from saturation.figures.steps import StepScale, axis, edges, nearest, positions
from saturation.figures.theme import LIGHT, SPECTRUM_SCALE, Theme, colour_bar

PAPER_RANKS = 100
MAP_ROWS = 400  # about the pixels of a panel: more rows make a page heavier, not sharper
FRAMES = 120
FILM_POINTS = 400

ColourScale = Literal["linear", "log"]
Normalisation = Literal["largest", "sum"]


@dataclass(frozen=True)
class Ratios:
    """Singular values over the largest: `values` of shape (ranks, checkpoints), NaN beyond a spectrum's end."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    marks: pd.DataFrame

    @property
    def ranks(self) -> int:
        return self.values.shape[0]


def ratios(spectra: pd.DataFrame, *, ranks: int | None = PAPER_RANKS, centred: bool = False) -> Ratios | None:
    """sigma_i / sigma_1 of each checkpoint; None when no spectrum is measured. `ranks` None keeps all."""
    column = "centred_singular_values" if centred else "singular_values"
    measured = np.array([isinstance(value, np.ndarray | list) and len(value) > 0 for value in spectra[column]], bool)
    kept = spectra.loc[measured].sort_values("step")
    if kept.empty:
        return None
    longest = max(len(value) for value in kept[column])
    rows = min(longest, ranks) if ranks else longest
    values = np.full((rows, len(kept)), np.nan)
    for index, spectrum in enumerate(kept[column]):
        spectrum = np.asarray(spectrum, dtype=np.float64)[:rows]
        if spectrum[0] > 0:
            values[: spectrum.size, index] = spectrum / spectrum[0]
    return Ratios(kept["step"].to_numpy(dtype=np.int64), values, kept[["step", "doubtful"]])


def map_table(spectra: pd.DataFrame, *, ranks: int | None = PAPER_RANKS, centred: bool = False) -> pd.DataFrame:
    """The numbers of the map in long form: step, rank (from 1), ratio."""
    found = ratios(spectra, ranks=ranks, centred=centred)
    if found is None:
        return pd.DataFrame({"step": [], "rank": [], "ratio": []})
    table = pd.DataFrame(
        {
            "step": np.repeat(found.steps, found.ranks),
            "rank": np.tile(np.arange(1, found.ranks + 1), found.steps.size),
            "ratio": found.values.T.ravel(),
        }
    )
    return table.dropna(ignore_index=True)


def heatmap(
    found: Ratios, scale: StepScale, theme: Theme, *, colour: ColourScale = "linear", top: float = 1.0
) -> go.Heatmap:
    """The map's trace: cells with exact borders, the true step and ratio in the hover.

    `top` is the paper height of the panel's upper end, where the colour bar goes.
    """
    rows = _rows(found.ranks)
    values = found.values[rows - 1]
    steps = np.broadcast_to(found.steps.astype(np.int32), values.shape)
    trace = go.Heatmap(
        x=edges(positions(found.steps, scale)),
        y=np.concatenate([[0.5], (rows[:-1] + rows[1:]) / 2, [found.ranks + 0.5]]),
        colorscale=SPECTRUM_SCALE,
        hoverongaps=False,
        name="singular values",
        colorbar=colour_bar(theme, top),
    )
    if colour == "linear":
        trace.update(
            z=values.astype(np.float32),
            customdata=steps,
            zmin=0,
            zmax=1,
            hovertemplate="σ/σ₁ %{z:.4f} at rank %{y:.0f}<extra>step %{customdata:,}</extra>",
        )
        trace.colorbar.update(tickvals=[0, 0.5, 1], ticktext=["0", "0.5", "1"])
        return trace
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values > 0, np.log10(values), np.nan)
    lowest = max(-6.0, min(-0.1, float(np.nanmin(logs))))
    trace.update(
        z=logs.astype(np.float32),
        customdata=np.stack([steps, values], axis=-1).astype(np.float32),
        zmin=lowest,
        zmax=0,
        hovertemplate="σ/σ₁ %{customdata[1]:.3g} at rank %{y:.0f}<extra>step %{customdata[0]:,}</extra>",
    )
    ratios_shown, text = parts.log_ticks([10**lowest, 1.0], most=4)
    trace.colorbar.update(tickvals=np.log10(ratios_shown), ticktext=text)
    return trace


def rank_ticks(ranks: int) -> dict[str, Any]:
    """Ticks of a rank axis that starts at 1."""
    width = next(w for w in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000) if ranks / w <= 8)
    values = [1, *range(width, ranks + 1, width)] if width > 1 else list(range(1, ranks + 1))
    return {"tickmode": "array", "tickvals": values, "ticktext": [str(value) for value in values]}


def singular_map(
    spectra: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    ranks: int | None = PAPER_RANKS,
    centred: bool = False,
    colour: ColourScale = "linear",
    theme: Theme = LIGHT,
) -> go.Figure:
    """Figure 4 of the paper: x training step, y singular rank, colour sigma_i / sigma_1."""
    found = ratios(spectra, ranks=ranks, centred=centred)
    if found is None:
        return parts.empty(theme, "No spectrum is measured for this model yet.")
    figure = parts.blank(theme, 440, margin=parts.MAP_MARGIN)
    figure.add_trace(heatmap(found, scale, theme, colour=colour))
    parts.add_marks(figure, found.marks, scale, theme, y=found.ranks + 0.5)
    figure.update_layout(
        xaxis=axis(found.steps, scale),
        yaxis={"title": {"text": "singular rank"}, "range": [found.ranks + 0.5, 0.5], "showgrid": False}
        | rank_ticks(found.ranks),
    )
    parts.add_title(figure, "σ<sub>i</sub>/σ<sub>1</sub>", "1 = the largest singular value", 1.0, theme)
    parts.add_cursor(figure, cursor, scale, theme)
    return figure


def spectrum_film(
    spectra: pd.DataFrame,
    *,
    cursor: int | None = None,
    centred: bool = False,
    log_axes: bool = False,
    theme: Theme = LIGHT,
) -> go.Figure:
    """The normalised spectrum at one step, with a play button and a slider that run in the browser.

    The first and the last checkpoint stay as thin lines to compare with; the film starts at `cursor`.
    """
    found = ratios(spectra, ranks=None, centred=centred)
    if found is None:
        return parts.empty(theme, "No spectrum is measured for this model yet.")
    rows = _rows(found.ranks, FILM_POINTS, spaced="log" if log_axes else "even")
    values = found.values[rows - 1].astype(np.float32)
    shown = _thin(found.steps.size, FRAMES)
    start = nearest(found.steps[shown], cursor if cursor is not None else int(found.steps[-1]))
    active = int(np.flatnonzero(found.steps[shown] == start)[0])
    figure = parts.blank(theme, 470, margin={"l": 58, "r": 14, "t": 40, "b": 132})
    hover = "σ/σ₁ %{y:.4g} at rank %{x:,}<extra>%{fullData.name}</extra>"
    for index, dash, label in ((0, "dot", "first"), (-1, "dash", "last")):
        figure.add_trace(
            go.Scatter(
                x=rows,
                y=values[:, index],
                mode="lines",
                name=f"{label}, step {labels.step(found.steps[index])}",
                line={"color": theme.muted, "width": 1.3, "dash": dash},
                hovertemplate=hover,
            )
        )
    at = shown[active]
    figure.add_trace(
        go.Scatter(
            x=rows,
            y=values[:, at],
            mode="lines",
            name=f"step {labels.step(found.steps[at])}",
            line={"color": theme.spectrum, "width": 2.6},
            hovertemplate=hover,
        )
    )
    figure.frames = [  # a frame says only what changes: the third trace's values and name
        {
            "name": str(found.steps[index]),
            "data": [{"type": "scatter", "y": values[:, index], "name": f"step {labels.step(found.steps[index])}"}],
            "traces": [2],
        }
        for index in shown
    ]
    smallest = float(np.nanmin(np.where(values > 0, values, np.nan)))
    figure.update_layout(
        xaxis={"title": {"text": "singular rank"}, "showline": True, "ticks": "outside"},
        yaxis={"title": {"text": "σ<sub>i</sub>/σ<sub>1</sub>"}, "range": [-0.02, 1.04]},
        **_film_controls(found.steps[shown], active, theme),
    )
    if log_axes:
        figure.update_xaxes(type="log", range=[-0.02, float(np.log10(found.ranks)) + 0.02], dtick=1)
        ticks, text = parts.log_ticks([max(smallest, 1e-8), 1.0])
        figure.update_yaxes(type="log", range=[max(np.log10(smallest), -8) - 0.1, 0.1])
        figure.update_yaxes(tickmode="array", tickvals=ticks, ticktext=text)
    else:
        figure.update_xaxes(range=[0.5 - 0.01 * found.ranks, found.ranks * 1.01 + 0.5])
    return figure


def entropy_curves(
    trajectory: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    centred: bool = False,
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> go.Figure:
    """Figure 5 of the paper: singular entropy along training, log axis, coloured by parameters."""
    column = "centred_singular_entropy" if centred else "singular_entropy"
    figure = curves.along_training(
        trajectory, column, scale=scale, span=span, theme=theme, hover="singular entropy %{y:.4g} nats"
    )
    if figure is None:
        return parts.empty(theme, "No singular entropy is measured for these models yet.")
    values, text = parts.log_ticks(trajectory[column].to_numpy(dtype=float))
    figure.update_yaxes(
        title={"text": "singular entropy (nats, log)"}, type="log", tickmode="array", tickvals=values, ticktext=text
    )
    parts.add_cursor(figure, cursor, scale, theme)
    return figure


def _film_controls(steps: NDArray, active: int, theme: Theme) -> dict[str, Any]:
    play = {"frame": {"duration": 90, "redraw": False}, "transition": {"duration": 0}, "fromcurrent": True}
    jump = {"frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}, "mode": "immediate"}
    look = {"bgcolor": theme.surface, "bordercolor": theme.muted, "font": {"color": theme.text, "size": 12}}
    return {
        "updatemenus": [
            {
                "type": "buttons",
                "direction": "right",
                "showactive": False,
                "x": 0,
                "xanchor": "left",
                "y": 0,
                "yanchor": "top",
                "pad": {"t": 66, "l": -6},
                "buttons": [
                    {"label": "▶", "method": "animate", "args": [None, play | {"mode": "immediate"}]},
                    {"label": "❚❚", "method": "animate", "args": [[None], jump]},
                ],
            }
            | look
        ],
        "sliders": [
            {
                "active": active,
                "x": 0.3,
                "len": 0.7,
                "y": 0,
                "yanchor": "top",
                "pad": {"t": 50, "b": 0},
                "currentvalue": {"prefix": "step ", "xanchor": "right", "font": {"color": theme.text, "size": 13}},
                "font": {"color": theme.muted, "size": 10},
                "bgcolor": theme.grid,
                "bordercolor": theme.grid,
                "activebgcolor": theme.spectrum,
                "tickcolor": theme.muted,
                "ticklen": 0,
                "minorticklen": 0,
                "steps": [
                    {"label": labels.step(step), "method": "animate", "args": [[str(step)], jump]} for step in steps
                ],
            }
        ],
    }


def _rows(ranks: int, most: int = MAP_ROWS, spaced: Literal["even", "log"] = "even") -> NDArray[np.int64]:
    """The ranks that are drawn: all, or `most` of them from the first to the last."""
    if ranks <= most:
        return np.arange(1, ranks + 1)
    spread = np.geomspace(1, ranks, most) if spaced == "log" else np.linspace(1, ranks, most)
    return np.unique(np.round(spread).astype(np.int64))


def _thin(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.round(np.linspace(0, count - 1, min(count, most))).astype(np.int64))
