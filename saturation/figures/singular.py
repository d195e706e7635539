"""The output head along training: singular-value map and singular entropy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from saturation.figures import curves, parts
from saturation.figures.plain import Drawing, Parts, Plain
from saturation.figures.steps import StepScale, axis, edges, positions
from saturation.figures.theme import LIGHT, SPECTRUM_SCALE, Theme, colour_bar

PAPER_RANKS = 100
DARK_SHARE = 0.15  # of the largest value, below which cells of linear colours look alike
MAP_ROWS = 400  # about the pixels of a panel: more rows make a page heavier, not sharper

ColourScale = Literal["linear", "log"]
Normalisation = Literal["largest", "sum"]


@dataclass(frozen=True)
class Words:
    """How singular values over something are written: in a title, in a hover, and what they are relative to."""

    title: str
    hover: str
    unit: str
    column: str


DIVIDED: dict[Normalisation, Words] = {
    "largest": Words("σ<sub>i</sub>/σ<sub>1</sub>", "σ/σ₁", "1 = the largest singular value", "ratio"),
    "sum": Words("σ<sub>i</sub>/Σσ", "σ/Σσ", "share of the sum of all", "share"),
}


@dataclass(frozen=True)
class Ratios:
    """Singular values over the largest or their sum: `values` (ranks, checkpoints), NaN beyond a spectrum's end."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    marks: pd.DataFrame
    divide: Normalisation = "largest"

    @property
    def ranks(self) -> int:
        return self.values.shape[0]

    @property
    def words(self) -> Words:
        return DIVIDED[self.divide]


def ratios(
    spectra: pd.DataFrame,
    *,
    ranks: int | None = PAPER_RANKS,
    centred: bool = False,
    divide: Normalisation = "largest",
) -> Ratios | None:
    """sigma_i / sigma_1 of each checkpoint, or sigma_i / sum(sigma); None when no spectrum is measured.

    `ranks` None keeps all; the sum is over all in either case.
    """
    column = "centred_singular_values" if centred else "singular_values"
    measured = np.array([isinstance(value, np.ndarray | list) and len(value) > 0 for value in spectra[column]], bool)
    kept = spectra.loc[measured].sort_values("step")
    if kept.empty:
        return None
    longest = max(len(value) for value in kept[column])
    rows = min(longest, ranks) if ranks else longest
    values = np.full((rows, len(kept)), np.nan)
    for index, spectrum in enumerate(kept[column]):
        spectrum = np.asarray(spectrum, dtype=np.float64)
        if spectrum[0] > 0:
            whole = spectrum[0] if divide == "largest" else spectrum.sum()
            values[: spectrum.size, index] = spectrum[:rows] / whole
    if np.isnan(values).all():  # every head is the same row throughout, and nothing is left of it centred
        return None
    return Ratios(kept["step"].to_numpy(dtype=np.int64), values, kept[["step", "doubtful"]], divide)


def map_table(
    spectra: pd.DataFrame,
    *,
    ranks: int | None = PAPER_RANKS,
    centred: bool = False,
    divide: Normalisation = "largest",
) -> pd.DataFrame:
    """The numbers of the map in long form: step, rank (from 1), and ratio (to the largest) or share (of the sum)."""
    found, column = ratios(spectra, ranks=ranks, centred=centred, divide=divide), DIVIDED[divide].column
    if found is None:
        return pd.DataFrame({"step": [], "rank": [], column: []})
    table = pd.DataFrame(
        {
            "step": np.repeat(found.steps, found.ranks),
            "rank": np.tile(np.arange(1, found.ranks + 1), found.steps.size),
            column: found.values.T.ravel(),
        }
    )
    return table.dropna(ignore_index=True)


def heatmap(
    found: Ratios,
    scale: StepScale,
    theme: Theme,
    *,
    colour: ColourScale = "linear",
    top: float = 1.0,
    log_ranks: bool = False,
) -> Parts:
    """The map's trace: cells with exact borders; the true step, rank and value in the hover.

    `top` is the paper height of the panel's upper end, where the colour bar goes.
    """
    rows = drawn_ranks(found.ranks, spaced="log" if log_ranks else "even")
    values = found.values[rows - 1]
    steps, ranks = np.broadcast_to(found.steps, values.shape), np.broadcast_to(rows[:, None], values.shape)
    highest = 1.0 if found.divide == "largest" else float(np.nanmax(values))
    bar = colour_bar(theme, top)
    trace: Parts = {
        "type": "heatmap",
        "x": edges(positions(found.steps, scale)),
        "y": rank_places(np.concatenate([[0.5], (rows[:-1] + rows[1:]) / 2, [found.ranks + 0.5]]), log_ranks),
        "customdata": np.stack([steps, ranks, values], axis=-1).astype(np.float32),
        "colorscale": SPECTRUM_SCALE,
        "hoverongaps": False,
        "name": "singular values",
        "hovertemplate": f"{found.words.hover} %{{customdata[2]:.4g}} at rank %{{customdata[1]:,}}"
        "<extra>step %{customdata[0]:,}</extra>",
    }
    if colour == "linear":
        ticks = [0, highest / 2, highest]
        bar |= {"tickvals": ticks, "ticktext": [f"{value:.2g}" for value in ticks]}
        return trace | {"z": values.astype(np.float32), "zmin": 0, "zmax": highest, "colorbar": bar}
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values > 0, np.log10(values), np.nan)
    end = float(np.log10(highest))
    lowest = max(end - 6.0, min(end - 0.1, float(np.nanmin(logs))))
    shown, text = parts.log_ticks([10**lowest, highest], most=4)
    bar |= {"tickvals": np.log10(shown), "ticktext": text}
    return trace | {"z": logs.astype(np.float32), "zmin": lowest, "zmax": end, "colorbar": bar}


def fitting_scale(found: Ratios) -> ColourScale:
    """The colours that show a map's structure: logarithmic where most of it would be as dark as its lowest value."""
    dark = found.values[np.isfinite(found.values)] < DARK_SHARE * float(np.nanmax(found.values))
    return "log" if dark.mean() > 0.5 else "linear"


def rank_places(ranks: NDArray, log: bool) -> NDArray[np.float64]:
    """Where ranks lie on their axis: a log axis is a linear one of logarithms, so that cells keep exact borders."""
    return np.log10(ranks) if log else np.asarray(ranks, dtype=np.float64)


def rank_axis(ranks: int, log: bool) -> dict[str, Any]:
    """Layout of a map's rank axis, rank 1 on top."""
    first, last = rank_places(np.array([0.5, ranks + 0.5]), log)
    shared = {"range": [last, first], "showgrid": False}
    if not log:
        return shared | {"title": {"text": "singular rank"}} | rank_ticks(ranks)
    values = log_ranks_shown(ranks)
    text = [f"{value:,}" for value in values]
    return shared | {
        "title": {"text": "singular rank (log scale)"},
        "tickmode": "array",
        "tickvals": np.log10(values),
        "ticktext": text,
    }


def log_ranks_shown(ranks: int) -> list[int]:
    """Ticks of a log rank axis: 1, 2, 5, 10 ..."""
    return [
        multiple * 10**power
        for power in range(len(str(ranks)))
        for multiple in (1, 2, 5)
        if multiple * 10**power <= ranks
    ]


def rank_ticks(ranks: int) -> dict[str, Any]:
    """Ticks of a rank axis that starts at 1."""
    width = next(w for w in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000) if ranks / w <= 8)
    values = [1, *range(width, ranks + 1, width)] if width > 1 else list(range(1, ranks + 1))
    return {"tickmode": "array", "tickvals": values, "ticktext": [str(value) for value in values]}


def sketches(spectra: pd.DataFrame, steps: Sequence[int], most: int = 40) -> list[list[float]] | None:
    """sigma_i / sigma_1 at each of `steps` by at most `most` ranks up to the paper's, in three digits.

    An empty list where a step has no spectrum; None when no spectrum is measured.
    """
    found = ratios(spectra)
    if found is None:
        return None
    rows = drawn_ranks(found.ranks, most, spaced="even") - 1
    columns = found.values[rows].T.round(3)
    of_step = {int(step): [float(x) for x in row if x == x] for step, row in zip(found.steps, columns, strict=True)}
    return [of_step.get(int(step), []) for step in steps]


@Drawing
def singular_map(
    spectra: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    ranks: int | None = PAPER_RANKS,
    centred: bool = False,
    colour: ColourScale = "linear",
    divide: Normalisation = "largest",
    log_ranks: bool = False,
    theme: Theme = LIGHT,
) -> Plain:
    """Figure 4 of the paper: x training step, y singular rank, colour sigma_i / sigma_1 or its share of the sum."""
    found = ratios(spectra, ranks=ranks, centred=centred, divide=divide)
    if found is None:
        return parts.empty(theme, "No spectrum is measured for this model yet.")
    figure = parts.blank(theme, 440, margin=parts.MAP_MARGIN)
    figure.add_traces(heatmap(found, scale, theme, colour=colour, log_ranks=log_ranks))
    ranked = rank_axis(found.ranks, log_ranks)
    parts.add_marks(figure, found.marks, scale, theme, y=ranked["range"][0])
    figure.update(xaxis=axis(found.steps, scale), yaxis=ranked)
    parts.add_title(figure, found.words.title, found.words.unit, 1.0, theme)
    parts.add_cursor(figure, cursor, scale, theme)
    return figure


@Drawing
def entropy_curves(
    trajectory: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    centred: bool = False,
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Plain:
    """Figure 5 of the paper: singular entropy along training, log axis, coloured by parameters."""
    column = "centred_singular_entropy" if centred else "singular_entropy"
    figure = curves.along_training(
        trajectory, column, scale=scale, span=span, theme=theme, hover="singular entropy %{y:.4g} nats"
    )
    if figure is None:
        return parts.empty(theme, "No singular entropy is measured for these models yet.")
    values, text = parts.log_ticks(trajectory[column].to_numpy(dtype=float))
    ticks = {"type": "log", "tickmode": "array", "tickvals": values, "ticktext": text}
    figure.update(yaxis=ticks | {"title": {"text": "singular entropy (nats, log)"}})
    parts.add_cursor(figure, cursor, scale, theme)
    return figure


def drawn_ranks(ranks: int, most: int = MAP_ROWS, spaced: Literal["even", "log"] = "even") -> NDArray[np.int64]:
    """The ranks that are drawn: all, or `most` of them from the first to the last."""
    if ranks <= most:
        return np.arange(1, ranks + 1)
    spread = np.geomspace(1, ranks, most) if spaced == "log" else np.linspace(1, ranks, most)
    return np.unique(np.round(spread).astype(np.int64))
