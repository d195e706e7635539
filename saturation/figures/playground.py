"""The playground: loss gap of heads trained on a language of known rank, by width and by W-error."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from saturation.figures import labels, parts
from saturation.figures.plain import Drawing, Plain
from saturation.figures.theme import LIGHT, Theme

HEIGHT = 420
CLOSED = 0.01  # nats: the gap below which the bottleneck counts as closed
# What lies below is left over by training, and would stretch the axis by decades of no meaning.
LEAST_SHOWN = 1e-4
WIDTHS_END, ERRORS_START = 0.58, 0.66  # of the figure's width
Values = NDArray[np.float64]


@Drawing
def playground_figure(
    rows: pd.DataFrame,
    constant: float | None = None,
    fitted_on: Sequence[int] = (),
    *,
    theme: Theme = LIGHT,
) -> Plain:
    """Loss above the exact entropy (y, nats, log): left by the width of the head (x, log), right by its W-error (x).

    rows: of one language, one a width, with width, rank, gap, w_error and tail (`queries.playground`). constant: of the
    bound constant * tail, dashed; fitted_on: the widths it was fitted on, ringed. A cross lies above the bound; a
    triangle is a gap below 0.0001 nats, drawn there.
    """
    if rows.empty:
        return parts.empty(theme, "No head is trained on this language yet.")
    frame = rows.sort_values("width")
    widths, errors = frame["width"].to_numpy(dtype=float), frame["w_error"].to_numpy(dtype=float)
    gaps, tails = frame["gap"].to_numpy(dtype=float), frame["tail"].to_numpy(dtype=float)
    rank = int(frame["rank"].iloc[0])
    limits = np.full(len(frame), np.nan) if constant is None else constant * tails
    limits[tails == 0] = np.nan  # nothing to draw on a log axis: the bound says that the gap is closed
    shown = np.maximum(gaps, LEAST_SHOWN)
    marks = _marks(widths, gaps, limits, fitted_on, theme)
    hover = _hover(frame, limits)
    traces: list[dict[str, Any]] = []
    for places, number in ((widths, ""), (errors, "2")):
        own = {"type": "scatter", "xaxis": f"x{number}", "yaxis": f"y{number}", "showlegend": not number}
        if constant is not None:
            dashed = {"color": theme.spectrum, "width": 1.8, "dash": "dash"}
            bounded = {"x": places, "y": limits, "mode": "lines", "line": dashed, "hoverinfo": "skip"}
            traces.append(own | bounded | {"name": "bound of theorem 5.3", "legendgroup": "bound"})
        measured = {"x": places, "y": shown, "mode": "lines+markers", "marker": marks}
        line = {"color": theme.loss, "width": 2}
        said = {
            "hovertext": hover,
            "hoverinfo": "text",
            "name": "measured gap",
            "legendgroup": "gap",
            "cliponaxis": False,
        }
        traces.append(own | measured | said | {"line": line})
    ticks, text = parts.log_ticks(np.concatenate([[LEAST_SHOWN, CLOSED], shown, limits]))
    span = np.log10([LEAST_SHOWN, max(np.nanmax(np.concatenate([gaps, limits])), 2 * CLOSED)])
    gap_axis = {
        "type": "log",
        "range": [float(span[0]) - 0.12, float(span[1]) + 0.12],
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": text,
    }
    second = parts.title("by W-error", "", 1.0, theme) | {"x": ERRORS_START}
    return parts.blank(
        theme,
        HEIGHT,
        traces,
        hovermode="closest",
        showlegend=True,
        legend={"y": -0.18, "yanchor": "top"},
        margin={"l": 66, "r": 16, "t": 40, "b": 96},
        xaxis=_width_axis(widths) | {"domain": [0, WIDTHS_END]},
        xaxis2={
            "domain": [ERRORS_START, 1],
            "anchor": "y2",
            "range": [-0.03, 1.03],
            "title": {"text": "W-error"},
            "showline": True,
            "ticks": "outside",
        },
        yaxis=gap_axis | {"title": {"text": "loss above the entropy (nats/token, log)"}},
        yaxis2=gap_axis | {"anchor": "x2", "matches": "y", "showticklabels": False},
        shapes=[*_closed(theme), _rank_line(rank, theme)],
        annotations=[
            parts.title("by width", "", 1.0, theme),
            second,
            _note(f"rank {rank}", {"x": float(np.log10(rank)), "xref": "x", "y": 1, "yref": "y domain"}, theme),
            _note(
                f"closed: {CLOSED:g}", {"x": 0, "xref": "x domain", "y": float(np.log10(CLOSED)), "yref": "y"}, theme
            ),
        ],
    )


def _marks(widths: Values, gaps: Values, limits: Values, fitted_on: Sequence[int], theme: Theme) -> dict[str, Any]:
    """Symbols of the points: what they say is in the docstring of the figure."""
    fitted = np.isin(widths, list(fitted_on))
    above = ~fitted & (gaps > limits)
    symbols = np.where(
        above, "x", np.where(fitted, "circle-open", np.where(gaps < LEAST_SHOWN, "triangle-down", "circle"))
    )
    colours = np.where(above, theme.warning, theme.loss)
    return {"symbol": symbols, "color": colours, "size": np.where(fitted | above, 10, 8), "line": {"width": 2}}


def _hover(frame: pd.DataFrame, limits: Values) -> list[str]:
    lines = []
    for row, limit in zip(frame.to_dict("records"), limits, strict=True):
        bounded = f"<br>bound {limit:.4g}" if np.isfinite(limit) else ""
        lines.append(
            f"<b>width {row['width']}</b> of rank {row['rank']}<br>gap {labels.number(row['gap'])} nats/token{bounded}"
            f"<br>W-error {row['w_error']:.3f}"
        )
    return lines


def _width_axis(widths: Values) -> dict[str, Any]:
    """A log axis with a tick at each power of two among or between the widths."""
    low, high = np.log10([widths.min(), widths.max()])
    room = max(0.05 * (high - low), 0.05)
    powers = 2.0 ** np.arange(np.ceil(np.log2(widths.min())), np.floor(np.log2(widths.max())) + 1)
    shown = powers if len(powers) else widths[:1]
    return {
        "type": "log",
        "title": {"text": "width d of the head (log)"},
        "range": [float(low - room), float(high + room)],
        "tickmode": "array",
        "tickvals": shown,
        "ticktext": [f"{value:.0f}" for value in shown],
        "showline": True,
        "ticks": "outside",
    }


def _closed(theme: Theme) -> list[dict[str, Any]]:
    """The line under which a gap counts as closed, in both panels."""
    ends = {"x0": 0, "x1": 1, "y0": CLOSED, "y1": CLOSED}
    line = {"color": theme.muted, "width": 1.8, "dash": "dot"}
    return [
        {"type": "line", "xref": f"x{number} domain", "yref": f"y{number}", **ends, "line": line, "name": "closed"}
        | {"layer": "below"}
        for number in ("", "2")
    ]


def _rank_line(rank: int, theme: Theme) -> dict[str, Any]:
    line = {"color": theme.muted, "width": 1.5}
    ends = {"x0": rank, "x1": rank, "y0": 0, "y1": 1}
    return {"type": "line", "xref": "x", "yref": "y domain", **ends, "line": line, "name": "rank", "layer": "below"}


def _note(text: str, place: dict[str, Any], theme: Theme) -> dict[str, Any]:
    shift = {"xanchor": "left", "xshift": 4, "yanchor": "bottom" if place["yref"] == "y" else "top"}
    return place | shift | {"text": text, "showarrow": False, "font": {"size": 11, "color": theme.muted}}
