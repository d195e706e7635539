"""The output head along training: singular-value map and singular entropy."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from saturation.figures import curves, parts
from saturation.figures.steps import StepScale, axis, edges, positions
from saturation.figures.theme import LIGHT, SPECTRUM_SCALE, Theme, colour_bar

PAPER_RANKS = 100
MAP_ROWS = 400  # about the pixels of a panel: more rows make a page heavier, not sharper

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
    rows = drawn_ranks(found.ranks)
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


def drawn_ranks(ranks: int, most: int = MAP_ROWS, spaced: Literal["even", "log"] = "even") -> NDArray[np.int64]:
    """The ranks that are drawn: all, or `most` of them from the first to the last."""
    if ranks <= most:
        return np.arange(1, ranks + 1)
    spread = np.geomspace(1, ranks, most) if spaced == "log" else np.linspace(1, ranks, most)
    return np.unique(np.round(spread).astype(np.int64))
