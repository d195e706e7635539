"""Figure 7 of the paper: W-error of n-gram matrices by rank."""

from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import labels, parts
from saturation.figures.heads import rank_axis
from saturation.figures.plain import Drawing, Plain
from saturation.figures.steps import StepScale
from saturation.figures.theme import DASHES, LIGHT, Theme, line_styles

KNOWN_WIDTHS = (128, 512, 1024, 2048, 4096, 8192)
ROOM = {"linear": 0.11, "log": 0.06}  # of the axis between two words above it, for the width of a phone
MARGIN = {"l": 62, "r": 16, "t": 72, "b": 52}


@Drawing
def ngram_curves(
    points: pd.DataFrame,
    *,
    scale: StepScale = "linear",
    error: float = 0.5,
    theme: Theme = LIGHT,
) -> Plain:
    """W-error (y, 0 to 1) by rank (x, linear or log), one line a corpus and tokenizer, with the band of an estimate.

    points: `jobs.widths.points`. Colour: size of the vocabulary; dash: corpora of one size. Horizontal: `error`.
    """
    if points.empty:
        return parts.empty(theme, "Choose a corpus above, or count one.")
    first = points.drop_duplicates("label")
    sizes = {str(label): float(size) for label, size in first[["label", "vocabulary"]].values}
    styles = line_styles(sizes, theme)
    traces: list[dict[str, Any]] = []
    for place, (label, rows) in enumerate(points.groupby("label", sort=False)):
        rows, shown = rows.sort_values("rank"), labels.literal(str(label))
        kept = rows[rows["rank"] > 0] if scale == "log" else rows
        style = {"color": styles[str(label)]["color"], "dash": DASHES[place % len(DASHES)]}
        x = kept["rank"].to_numpy(dtype=float)
        if (rows["method"] != "exact").any():
            low, high = kept["low"].to_numpy(dtype=float), kept["high"].to_numpy(dtype=float)
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": np.concatenate([x, x[::-1]]),
                    "y": np.concatenate([high, low[::-1]]),
                    "fill": "toself",
                    "fillcolor": style["color"],
                    "opacity": 0.25,
                    "line": {"width": 0},
                    "name": f"{shown}, band",
                    "legendgroup": str(label),
                    "showlegend": False,
                    "hoverinfo": "skip",
                }
            )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": kept["w_error"].to_numpy(dtype=float),
                "line": {"width": 2.2, **style},
                "name": shown,
                "legendgroup": str(label),
                "hovertemplate": f"<b>{shown}</b><br>rank %{{x:,}}<br>W-error %{{y:.3f}}<extra></extra>",
            }
        )
    # What lies beyond the last rank with a visible error is empty.
    visible = points.loc[points["w_error"] > 0.005, "rank"]
    last = float(max(visible.max() if len(visible) else 1.0, 2.0))
    shapes = [_line("y", error, theme.warning, "dash")]
    notes = []
    ranks = np.unique(points.loc[points["rank"] > 0, "rank"].to_numpy(dtype=float))
    low = np.log10(ranks.min())
    noted = 0.0
    for width in KNOWN_WIDTHS:
        if width < last:
            shapes.append(_line("x", width, theme.muted, "dot"))
            at = (np.log10(width) - low) / (np.log10(ranks.max()) - low) if scale == "log" else width / last
            if at - noted >= ROOM[scale]:
                notes.append(_note(_short(width), float(width), scale, theme))
                noted = at
    xaxis = (
        rank_axis(ranks, "rank, or hidden size")
        if scale == "log"
        else {
            "title": {"text": "rank, or hidden size"},
            "range": [0, last * 1.02],
            "showline": True,
            "ticks": "outside",
        }
    )
    return parts.blank(
        theme,
        460,
        traces,
        hovermode="closest",
        margin=MARGIN,
        showlegend=True,
        shapes=shapes,
        annotations=notes,
        legend={"y": 1.07},
        xaxis=xaxis,
        yaxis={"title": {"text": "W-error"}, "range": [-0.02, 1.02]},
    )


def _line(axis: str, value: float, colour: str, dash: str) -> dict[str, Any]:
    ends = {"x0": 0, "x1": 1, "y0": value, "y1": value, "xref": "x domain", "yref": "y"}
    if axis == "x":
        ends = {"x0": value, "x1": value, "y0": 0, "y1": 1, "xref": "x", "yref": "y domain"}
    line = {"color": colour, "width": 1, "dash": dash}
    return {"type": "line", **ends, "line": line, "layer": "below", "name": "error" if axis == "y" else "width"}


def _short(width: int) -> str:
    """A hidden size as it is spoken of: 512, 2k."""
    return f"{width // 1024}k" if width >= 1024 else str(width)


def _note(text: str, at: float, scale: StepScale, theme: Theme) -> dict[str, Any]:
    at = float(np.log10(at)) if scale == "log" else at  # plotly places words on a log axis by the exponent
    place = {"x": at, "xref": "x", "y": 1, "yref": "y domain", "yanchor": "bottom", "showarrow": False}
    return place | {"text": text, "font": {"size": 10, "color": theme.muted}}
