"""Pieces that several figures share: the step cursor, panel titles, the marks of checkpoints, log ticks."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import labels
from saturation.figures.plain import Plain, scatter
from saturation.figures.steps import StepScale, positions
from saturation.figures.theme import Theme, plain_template

FLAG_ROOM = 38  # pixels right of a step axis, half the flag of a cursor at its end
# A map has a title and a colour bar above it, for which plotly would reserve room twice.
MAP_MARGIN = {"l": 62, "r": FLAG_ROOM, "t": 64, "b": 52, "autoexpand": False}


def blank(theme: Theme, height: int, traces: Sequence[Any] = (), **layout: Any) -> Plain:
    """A figure in a theme, of a height in pixels, with what is given of its traces and layout."""
    return Plain(traces, {"template": plain_template(theme), "height": height, "dragmode": "zoom", **layout})


def empty(theme: Theme, message: str, height: int = 260) -> Plain:
    """A figure that says why there is nothing to see."""
    figure = blank(theme, height, xaxis={"visible": False}, yaxis={"visible": False})
    centre = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
    figure.add_annotation(text=message, showarrow=False, **centre, font={"color": theme.muted})
    return figure


def add_cursor(
    figure: Plain,
    step: int | None,
    scale: StepScale,
    theme: Theme,
    label: bool = True,
    panels: Sequence[str] = (),
    flag: str = "center",
) -> None:
    """Draw the step cursor over all panels, with a flag on the step axis; the halo shows it on any colour.

    `panels`: y axes of stacked panels, between which it leaves titles and colour bars alone. `flag`: the part of the
    flag that is at the step.
    """
    if step is None:
        return
    place = float(positions([step], scale)[0])
    ends = {"xref": "x", "x0": place, "x1": place, "y0": 0, "y1": 1}
    for reach in [f"{name} domain" for name in panels] or ["paper"]:
        for width, colour, opacity in ((4, theme.background, 0.75), (1.5, theme.text, 1.0)):
            line = {"color": colour, "width": width}
            figure.add_shape(type="line", **ends, yref=reach, opacity=opacity, line=line, name="cursor")
    if label:
        figure.add_annotation(
            text=f"step {labels.step(step)}",
            x=place,
            xref="x",
            y=0,
            yref="paper",
            yanchor="top",
            yshift=-5,
            xanchor=flag,
            xshift=10 if flag == "right" else 0,  # over the whole of a tick's label
            showarrow=False,
            font={"color": theme.background, "size": 11},
            bgcolor=theme.text,
            borderpad=3,
            name="cursor",
        )


def add_title(figure: Plain, text: str, unit: str, top: float, theme: Theme) -> None:
    """Write a panel's title and unit above its left corner; `top` is the panel's upper end on the paper."""
    figure.add_annotation(**title(text, unit, top, theme))


def title(text: str, unit: str, top: float, theme: Theme) -> dict[str, Any]:
    """The annotation that `add_title` adds."""
    return {
        "text": f"<b>{text}</b>  <span style='color:{theme.muted}'>{unit}</span>",
        "x": 0,
        "xref": "paper",
        "xanchor": "left",
        "xshift": -4,
        "y": top,
        "yref": "paper",
        "yanchor": "bottom",
        "yshift": 4,
        "showarrow": False,
        "align": "left",
        "font": {"size": 13, "color": theme.text},
    }


def add_marks(
    figure: Plain,
    frame: pd.DataFrame,
    scale: StepScale,
    theme: Theme,
    y: float,
    notes: Sequence[str] | None = None,
    yaxis: str = "y",
) -> None:
    """Mark below a map where a checkpoint was measured, and which are doubtful.

    `frame` has the columns step and doubtful; `notes` are lines for the hover, one a row.
    """
    words = frame["doubtful"].fillna("").astype(str)
    hover = [
        f"step {labels.step(step)}{'<br>' + note if note else ''}{'<br>doubtful: ' + word if word else ''}"
        for step, note, word in zip(frame["step"], notes or [""] * len(frame), words, strict=True)
    ]
    shown = frame.assign(hover=hover)
    doubtful = frame["doubtful"].notna()
    for rows, symbol, size, colour in (
        (shown[~doubtful], "line-ns-open", 5, theme.muted),
        (shown[doubtful], "circle-open", 7, theme.warning),
    ):
        if rows.empty:
            continue
        figure.add_traces(
            scatter(
                x=positions(rows["step"].to_numpy(), scale),
                y=np.full(len(rows), float(y)),
                yaxis=yaxis,
                mode="markers",
                marker={"symbol": symbol, "size": size, "color": colour, "line": {"width": 1}},
                customdata=rows["step"].to_numpy(dtype=np.int64),
                text=rows["hover"].to_numpy(dtype=object),
                # No template: plotly then leaves out the axis label, on a log axis the place and not the step.
                hoverinfo="text",
                cliponaxis=False,
                showlegend=False,
                name="checkpoints",
            )
        )


def log_ticks(values: Sequence[float] | np.ndarray, most: int = 6) -> tuple[list[float], list[str]]:
    """Ticks 1, 2, 5 ... for a log axis over positive `values`; plain even ticks when they span little."""
    data = np.asarray(values, dtype=np.float64)
    data = data[np.isfinite(data) & (data > 0)]
    if data.size == 0:
        return [1.0], ["1"]
    low, high = float(data.min()), float(data.max())
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        chosen = [m * 10.0**power for power in decades for m in multiples]
        inside = [value for value in chosen if low * 0.95 <= value <= high * 1.05]
        if len(inside) <= most:
            break
    if len(inside) > most:
        inside = inside[:: math.ceil(len(inside) / most)]
    if len(inside) < 3:
        width = max(high - low, low * 0.1) / 3
        base = 10 ** math.floor(math.log10(width))
        width = next(m * base for m in (1, 2, 5, 10) if m * base >= width)
        first = math.floor(low / width)
        inside = [index * width for index in range(first, first + 6) if index > 0]
        inside = [value for value in inside if low - width <= value <= high + width]
    return [float(f"{value:.6g}") for value in inside], [_plain(value) for value in inside]


def _plain(value: float) -> str:
    """A tick of a log axis: plain digits near 1, a power of ten far from it."""
    if 1e-3 <= value < 1e4:
        return f"{value:.4g}"
    digits, power = f"{value:.2e}".split("e")
    factor = f"{float(digits):g}"
    return f"{'' if factor == '1' else factor + '·'}10<sup>{int(power)}</sup>"
