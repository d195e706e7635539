"""Anisotropy of representations: by depth at one step, of the last layer along training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from saturation.figures import curves, film, labels, parts
from saturation.figures.plain import Drawing, Plain
from saturation.figures.steps import StepScale, nearest
from saturation.figures.theme import LIGHT, Theme, line_styles

FRAME_LINES = 400  # lines that all frames of the curves by depth hold together: plotly checks each on the server
LEAST_FRAMES = 24


def _column(centred: bool) -> str:
    return "centred_anisotropy" if centred else "anisotropy"


def at_norm(layers: pd.DataFrame, trajectory: pd.DataFrame, norm: str) -> pd.DataFrame:
    """The layers with the last one read `after` the final norm (as measured, what the head reads) or `before` it.

    `trajectory` has anisotropy_before_norm and its centred counterpart by model and step; checkpoints that lack
    them lose their last layer.
    """
    if norm == "after":
        return layers
    columns = ["anisotropy", "centred_anisotropy"]
    before = trajectory[["model", "step", *(f"{name}_before_norm" for name in columns)]]
    joined = layers.merge(before, on=["model", "step"], how="left")
    last = joined["layer"] == joined["layers"]
    for name in columns:
        joined[name] = joined[name].mask(last, joined[f"{name}_before_norm"])
    return joined[layers.columns]


def steps_shown(layers: pd.DataFrame, step: int, *, centred: bool = False) -> dict[str, int]:
    """The step that each model is drawn at: its measured step nearest to `step`."""
    frame = layers[layers[_column(centred)].notna()]
    return {str(name): nearest(rows["step"].to_numpy(), step) for name, rows in frame.groupby("model", sort=False)}


def depth_table(layers: pd.DataFrame, step: int, *, centred: bool = False) -> pd.DataFrame:
    """The rows behind the curves by depth: each model at its measured step nearest to `step`."""
    chosen = steps_shown(layers, step, centred=centred)
    kept = layers[layers["step"] == layers["model"].map(chosen)]
    return kept[["family", "model", "parameters", "step", "layer", "depth", _column(centred), "doubtful"]].reset_index(
        drop=True
    )


@Drawing
def depth_curves(
    layers: pd.DataFrame,
    step: int,
    *,
    centred: bool = False,
    played: Sequence[int] = (),
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Plain:
    """Figure 2 of the paper: mean cosine by layer depth (0 embedding, 1 what the head reads), one line a model.

    `played`: increasing steps that it has frames of, for a page's play bar; thinned out where there are many.
    """
    column = _column(centred)
    frame = layers[layers[column].notna()]
    if frame.empty:
        return parts.empty(theme, "No anisotropy is measured for these models yet.")
    counts = curves.sizes(frame)
    traces: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    by_model = _by_model(frame, column)
    for name, style in line_styles(counts, theme, span).items():
        profiles = by_model[name]
        place = int(profiles.nearest([step])[0])
        at, part = int(profiles.steps[place]), profiles.part(place)
        names[name] = labels.model(name, counts[name])
        traces.append(
            {
                "type": "scatter",
                "x": profiles.depths[part],
                "y": profiles.values[part],
                "customdata": profiles.layers[part],
                "mode": "lines+markers",
                "line": {"width": 2, **style},
                "marker": {"size": 5, "color": style["color"]},
                "name": names[name] if at == step else f"{names[name]} (step {labels.step(at)})",
                "hovertemplate": f"<b>{name}</b> step {labels.step(at)}<br>mean cosine %{{y:.4f}}<br>"
                "layer %{customdata[0]} of %{customdata[1]}<extra></extra>",
            }
        )
    lowest = float(frame[column].min())
    figure = parts.blank(
        theme,
        430,
        traces,
        hovermode="closest",
        margin={"l": 58, "r": 14, "t": 48, "b": 52},
        showlegend=True,
        xaxis={"title": {"text": "layer depth"}, "range": [-0.02, 1.02], "showline": True, "ticks": "outside"},
        yaxis={"title": {"text": "mean cosine"}, "range": [min(-0.03, lowest - 0.03), 1.03]},
    )
    figure.frames = _depth_frames(by_model, names, step, played)
    return figure


def _depth_frames(
    by_model: "dict[str, _Profiles]", names: dict[str, str], step: int, played: Sequence[int]
) -> list[dict[str, Any]]:
    """A frame for each step played: every model at its measured step nearest to it. `names`: models in words."""
    if not len(played):
        return []
    most = min(max(FRAME_LINES // len(names), LEAST_FRAMES), film.FRAMES)
    chosen = film.shown(len(played), int(np.argmin(np.abs(np.asarray(played) - step))), most)
    shown = [int(played[index]) for index in chosen]
    columns = []
    for name, words in names.items():
        profiles = by_model[name]
        values = [profiles.values[profiles.part(at)].astype(np.float32) for at in profiles.nearest(shown)]
        columns.append([{"type": "scatter", "y": each, "name": words} for each in values])
    traces = list(range(len(names)))
    return [
        {"name": str(at), "data": list(data), "traces": traces}
        for at, data in zip(shown, zip(*columns, strict=True), strict=True)
    ]


class _Profiles(NamedTuple):
    """The values of a model by layer at each of its steps, which increase: one step after the other.

    ends: where the values of each step begin, and those of the last end. layers: (layer, number of layers).
    """

    steps: NDArray[np.int64]
    ends: NDArray[np.int64]
    values: NDArray[np.float64]
    depths: NDArray[np.float64]
    layers: NDArray[np.int64]

    def nearest(self, steps: Sequence[int]) -> NDArray[np.int64]:
        """The place of the step nearest to each of these; of two the earlier."""
        return np.abs(self.steps[:, None] - np.asarray(steps)).argmin(axis=0)

    def part(self, place: int) -> slice:
        """Where the values of the step at this place lie."""
        return slice(self.ends[place], self.ends[place + 1])


def _by_model(frame: pd.DataFrame, column: str) -> dict[str, _Profiles]:
    """The profiles of each model. By arrays: a frame for each model and step costs a page more than its drawing."""
    codes, names = pd.factorize(frame["model"])
    steps, layer = frame["step"].to_numpy(dtype=np.int64), frame["layer"].to_numpy(dtype=np.int64)
    order = np.lexsort((layer, steps, codes))
    codes, steps = codes[order], steps[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(codes) != 0) | (np.diff(steps) != 0)])
    values, depths = (frame[name].to_numpy(dtype=float)[order] for name in (column, "depth"))
    layers = np.stack([layer[order], frame["layers"].to_numpy(dtype=np.int64)[order]], axis=1)
    ends = np.append(starts, len(codes))
    found = {}
    for code, name in enumerate(names):
        first, last = np.searchsorted(codes[starts], [code, code + 1])
        found[str(name)] = _Profiles(steps[starts[first:last]], ends[first : last + 1], values, depths, layers)
    return found


@Drawing
def last_layer_curves(
    trajectory: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    centred: bool = False,
    before_norm: bool = False,
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Plain:
    """Mean cosine of what the head reads along training, one line a model, coloured by parameters.

    before_norm: of the last layer before the final norm instead.
    """
    column = _column(centred) + ("_before_norm" if before_norm else "")
    figure = curves.along_training(
        trajectory, column, scale=scale, span=span, theme=theme, hover="mean cosine %{y:.4f}"
    )
    if figure is None:
        return parts.empty(theme, "No anisotropy is measured for these models yet.")
    lowest = float(trajectory[column].min())
    figure.update(yaxis={"title": {"text": "mean cosine"}, "range": [min(-0.03, lowest - 0.03), 1.03]})
    parts.add_cursor(figure, cursor, scale, theme)
    return figure
