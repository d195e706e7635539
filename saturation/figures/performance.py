"""A metric along training: one panel a size as in the paper's figure 1a, or all models on one axis."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import curves, labels, parts, shades
from saturation.figures.linked import domains
from saturation.figures.plain import Drawing, Plain
from saturation.figures.ranges import value_range
from saturation.figures.steps import StepScale, axis, positions
from saturation.figures.theme import LIGHT, Theme, line_styles

MOST_PANELS = 12
PANELS, PANEL, GAP, MARGIN = 640, (112, 160), 34, {"l": 60, "r": parts.FLAG_ROOM, "t": 34, "b": 52}  # pixels
RIGHT = {"x": 1, "xanchor": "right", "xshift": 0}
ROOM_BEFORE = 0.45  # share of a phone's step axis that the words at an onset take
DECADES = 30.0  # greatest over least value from which an axis is logarithmic
Parts = dict[str, Any]


def is_logarithmic(curve: pd.DataFrame, higher_is_better: bool | None) -> bool:
    """Whether a metric needs a log axis: perplexities fall by decades, losses and accuracies do not."""
    values = curve["value"].dropna()
    return bool(
        higher_is_better is False and len(values) and values.min() > 0 and values.max() > DECADES * values.min()
    )


def panel_range(
    rows: pd.DataFrame, scale: StepScale, higher_is_better: bool | None, logarithmic: bool
) -> list[float] | None:
    """The y range of a panel (`ranges.value_range`) without doubtful checkpoints; exponents on a logarithmic axis."""
    sure = rows[rows["doubtful"].isna()].sort_values("step")
    values, floors = sure["value"].to_numpy(dtype=float), rows["floor"].dropna()
    floor = None if floors.empty else float(floors.min())
    if logarithmic:
        values, floor = np.log10(values), None if floor is None else float(np.log10(floor))
    return value_range(values, higher_is_better=bool(higher_is_better), floor=floor, scale=scale)


def shown_models(values: Mapping[str, float], most: int = MOST_PANELS) -> list[str]:
    """The models that get a panel, smallest first: all, or `most` spread from the first to the last."""
    names = list(values)
    if len(names) <= most:
        return names
    return [names[place] for place in np.unique(np.round(np.linspace(0, len(names) - 1, most)).astype(int))]


@Drawing
def loss_panels(
    curve: pd.DataFrame,
    *,
    metric_title: str = "loss (nats/token)",
    higher_is_better: bool | None = False,
    cursor: int | None = None,
    scale: StepScale = "linear",
    by: str = "parameters",
    span: tuple[float, float] | None = None,
    onsets: Mapping[str, int] | None = None,
    theme: Theme = LIGHT,
) -> Plain:
    """Figure 1a of the paper: a metric along training, one panel a model, the smallest on top, on one step axis.

    curve: rows of `jobs.metrics.curve`. Each panel has its own range, which shows what follows the minimum; each line
    is the more visible the nearer it is to its best value, which a diamond marks. Doubtful checkpoints are hollow
    points off the line; the exact entropy of the text, where known, is dashed. onsets: step since which a model is
    saturated, a dotted line in its panel. by, span: what colours the models, and the range the colours cover.
    """
    frame = curve[curve["value"].notna()]
    if frame.empty:
        return parts.empty(theme, f"No {metric_title} of these models is known yet.")
    colouring = curves.sizes(frame, by)
    names = shown_models(curves.sizes(frame))
    styles = line_styles(colouring, theme, span)
    panel = min(max(PANELS // len(names), PANEL[0]), PANEL[1])
    inner = len(names) * panel + (len(names) - 1) * GAP
    figure = parts.blank(
        theme,
        inner + MARGIN["t"] + MARGIN["b"],
        hovermode="x",
        hoversubplots="axis",
        hoverdistance=-1,
        spikedistance=-1,
        showlegend=False,
        margin=MARGIN,
    )
    logarithmic = is_logarithmic(frame, higher_is_better)
    ends = domains((1.0,) * len(names), GAP / inner)
    last = int(frame["step"].max())
    layout: Parts = {}
    traces, notes, shapes = [], [], []  # added at once: one by one, plotly takes twice as long
    for place, (name, (low, high)) in enumerate(zip(names, ends, strict=True)):
        rows = frame[frame["model"] == name].sort_values("step")
        axis_name = f"y{place + 1 if place else ''}"
        limits = panel_range(rows, scale, higher_is_better, logarithmic)
        traces += _panel(rows, axis_name, styles[name]["color"], limits, scale, higher_is_better, logarithmic, theme)
        layout[f"yaxis{axis_name[1:]}"] = {"domain": (low, high), "anchor": "x", "nticks": 5, "range": limits} | (
            _log_axis(limits) if logarithmic and limits else {}
        )
        for shape, note in (
            *_floor(rows, axis_name, theme),
            *_onset((onsets or {}).get(name), axis_name, scale, bool(higher_is_better), last, theme),
        ):
            shapes.append(shape)
            notes += [note] if place == 0 or shape["name"] == "onset" else []
        unit = labels.model("", colouring[name], by).removeprefix(" · ")
        notes.append(parts.title(name, unit if place else f"{unit} · {metric_title}", high, theme))
    if len(names) < len(colouring):
        notes.append(parts.title("", f"{len(names)} of {len(colouring)} models", 1.0, theme) | RIGHT)
    figure.add_traces(*traces)
    spikes = {"showspikes": True, "spikemode": "across", "spikesnap": "hovered data"}
    xaxis = axis(frame["step"].to_numpy(), scale) | {"anchor": traces[-1]["yaxis"]} | spikes
    parts.add_cursor(figure, cursor, scale, theme)
    drawn = {name: [*own, *figure.layout.get(name, ())] for name, own in (("annotations", notes), ("shapes", shapes))}
    figure.layout |= layout | drawn | {"xaxis": xaxis}
    return figure


@Drawing
def metric_curves(
    curve: pd.DataFrame,
    *,
    metric_title: str = "loss (nats/token)",
    higher_is_better: bool | None = False,
    cursor: int | None = None,
    scale: StepScale = "linear",
    by: str = "parameters",
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Plain:
    """A metric of all models on one axis, coloured by `by`; logarithmic where it spans decades.

    The axis holds the panels of `loss_panels`: the first descent leaves it, and a double click shows all.
    """
    logarithmic = is_logarithmic(curve, higher_is_better)
    figure = curves.along_training(
        curve, "value", scale=scale, by=by, span=span, theme=theme, hover=f"{metric_title} %{{y:.5g}}"
    )
    if figure is None:
        return parts.empty(theme, f"No {metric_title} of these models is known yet.")
    ranges = [
        panel_range(rows, scale, higher_is_better, logarithmic)
        for _, rows in curve[curve["value"].notna()].groupby("model", sort=False)
    ]
    found = [limits for limits in ranges if limits is not None]
    figure.update(yaxis={"title": {"text": metric_title + (", log" if logarithmic else "")}})
    if found:
        limits = [min(low for low, _ in found), max(high for _, high in found)]
        figure.update(yaxis={"range": limits} | (_log_axis(limits) if logarithmic else {}))
    parts.add_cursor(figure, cursor, scale, theme)
    return figure


def _panel(
    rows: pd.DataFrame,
    yaxis: str,
    colour: str,
    limits: list[float] | None,
    scale: StepScale,
    higher_is_better: bool | None,
    logarithmic: bool,
    theme: Theme,
) -> list[Parts]:
    """The traces of one model: its line in shades, points that can be hovered, the diamond, hollow doubtful points."""
    sure, doubtful = rows[rows["doubtful"].isna()], rows[rows["doubtful"].notna()]
    traces: list[Parts] = []
    if not sure.empty:
        places, values = positions(sure["step"], scale), sure["value"].to_numpy(dtype=float)
        heights = np.log10(values) if logarithmic else values
        best = int((-heights if higher_is_better else heights).argmin())
        far = _far(heights, best, limits, higher_is_better)
        for shade, (x, y) in shades.split(places, heights, float(heights[best]), far):
            look = shades.mixed(colour, shade, theme) if higher_is_better is not None else colour
            traces.append(
                {
                    "type": "scatter",
                    "x": x,
                    "y": 10**y if logarithmic else y,
                    "yaxis": yaxis,
                    "mode": "lines",
                    "line": {"color": look, "width": 2.5},
                    "hoverinfo": "skip",
                    "name": "line",
                }
            )
        traces.append(_points(sure, places, values, yaxis, colour))
        if higher_is_better is not None:
            traces.append(
                {
                    "type": "scatter",
                    "x": [places[best]],
                    "y": [values[best]],
                    "yaxis": yaxis,
                    "mode": "markers",
                    "marker": {
                        "symbol": "diamond",
                        "size": 10,
                        "color": shades.mixed(colour, 1.0, theme),
                        "line": {"width": 1.5, "color": theme.background},
                    },
                    "cliponaxis": False,
                    "hoverinfo": "skip",
                    "name": "best",
                }
            )
    if not doubtful.empty:
        traces.append(
            {
                "type": "scatter",
                "x": positions(doubtful["step"], scale),
                "y": doubtful["value"].to_numpy(dtype=float),
                "yaxis": yaxis,
                "mode": "markers",
                "marker": {"symbol": "circle-open", "size": 8, "color": theme.warning, "line": {"width": 1.5}},
                "customdata": doubtful["step"].to_numpy(dtype=np.int64),
                "text": doubtful["doubtful"].astype(str),
                "hovertemplate": "%{y:.5g} (doubtful: %{text})<extra></extra>",
                "name": "doubtful",
            }
        )
    return traces


def _points(sure: pd.DataFrame, places: np.ndarray, values: np.ndarray, yaxis: str, colour: str) -> Parts:
    """Unseen points that carry the hover and can be clicked."""
    spread = [f" ± {labels.number(error)}" if error > 0 else "" for error in sure["stderr"]]
    return {
        "type": "scatter",
        "x": places,
        "y": values,
        "yaxis": yaxis,
        "mode": "markers",
        "marker": {"size": 5, "color": colour, "opacity": 0},
        "unselected": {"marker": {"opacity": 0}},
        "customdata": sure["step"].to_numpy(dtype=np.int64),
        "text": spread if any(spread) else None,
        "hovertemplate": f"<b>{sure['model'].iloc[0]}</b> %{{y:.5g}}{'%{text}' if any(spread) else ''}"
        "<extra>step %{customdata:,}</extra>",
        "name": "points",
    }


def _far(heights: np.ndarray, best: int, limits: list[float] | None, higher_is_better: bool | None) -> float:
    """Where the line is faintest: its worst after the best, but no nearer than a quarter of the panel."""
    later = heights[best:]
    away = abs(float(later.min() if higher_is_better else later.max()) - float(heights[best]))
    room = max(away, abs(limits[1] - limits[0]) / 4 if limits else 0.0)
    return float(heights[best]) + (-room if higher_is_better else room)


def _log_axis(limits: list[float]) -> Parts:
    ticks, text = parts.log_ticks(10 ** np.linspace(limits[0], limits[1], 20), most=5)
    return {"type": "log", "tickmode": "array", "tickvals": ticks, "ticktext": text}


def _floor(rows: pd.DataFrame, yaxis: str, theme: Theme) -> Iterator[tuple[Parts, Parts]]:
    """Line and words of the text's exact entropy, below which no model goes."""
    floors = rows["floor"].dropna().unique()
    if len(floors) != 1:
        return
    at = float(floors[0])
    line = {"color": theme.anisotropy, "width": 1.5, "dash": "dash"}
    note = {"text": f"exact entropy of the text {at:.3f}", "x": 0, "y": at, "yref": yaxis, "yanchor": "bottom"}
    yield (
        {"type": "line", "name": "entropy floor", "line": line, "x0": 0, "x1": 1, "xref": "x domain"}
        | {"y0": at, "y1": at, "yref": yaxis},
        note
        | {"xref": "x domain", "xanchor": "left", "showarrow": False, "font": _small(theme.anisotropy)}
        | {"bgcolor": theme.background},
    )


def _onset(
    step: int | None, yaxis: str, scale: StepScale, below: bool, last: int, theme: Theme
) -> Iterator[tuple[Parts, Parts]]:
    """Line and words at the step since which a model is saturated, of an axis that ends at step `last`.

    `below` keeps the words from a best value on top; they are before the line where even a phone has the room.
    """
    if step is None:
        return
    at, end = positions([step, last], scale)
    at, before = float(at), at >= ROOM_BEFORE * end
    line = {"color": theme.warning, "width": 1.5, "dash": "dot"}
    note = {"text": f"saturated since {labels.step(step)}", "x": at, "xref": "x", "y": 0 if below else 1}
    note |= {"yref": f"{yaxis} domain", "name": "onset"}
    yield (
        {"type": "line", "name": "onset", "line": line, "x0": at, "x1": at, "xref": "x"}
        | {"y0": 0, "y1": 1, "yref": f"{yaxis} domain"},
        note
        | {
            "xanchor": "right" if before else "left",
            "xshift": -4 if before else 4,
            "yanchor": "bottom" if below else "top",
            "showarrow": False,
            "font": _small(theme.warning),
            "bgcolor": theme.background,
        },
    )


def _small(colour: str) -> Parts:
    return {"size": 11, "color": colour}
