"""The two looks of the figures: one explicit plotly template each, and the colours that carry meaning.

A figure holds its own template because importing streamlit replaces plotly's default colours by
placeholders, and because a saved figure must look like the one on the page.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

FONT = '"Source Sans", "Source Sans 3", "Source Sans Pro", "Helvetica Neue", Arial, sans-serif'
SERIF = '"Latin Modern Roman", "CMU Serif", "Times New Roman", "Liberation Serif", "DejaVu Serif", serif'
SPECTRUM_SCALE = "plasma"  # singular values, as in the paper's figure 4
ANISOTROPY_SCALE = "viridis"  # cosines, as in the paper's figure 3
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
NEAR = 0.1  # share of the lines' colours within which two of them are hard to tell apart


@dataclass(frozen=True)
class Theme:
    """Colours of one look. `plasma` is the part of the scale whose lines keep a contrast of 2.6 on it."""

    name: str
    background: str
    surface: str
    text: str
    muted: str
    grid: str
    loss: str
    anisotropy: str
    spectrum: str
    warning: str
    plasma: tuple[float, float]
    font: str = FONT


LIGHT = Theme(
    name="light",
    background="#fdfcfe",
    surface="#f4f1f8",
    text="#221a33",
    muted="#675d7c",
    grid="#e9e4f0",
    loss="#33294a",
    anisotropy="#1b7f79",
    spectrum="#a11c9a",
    warning="#b3470a",
    plasma=(0.03, 0.68),
)
DARK = Theme(
    name="dark",
    background="#14111d",
    surface="#1e1a2b",
    text="#eeeaf6",
    muted="#aaa1bd",
    grid="#2d2740",
    loss="#d9d2ea",
    anisotropy="#3fbf9f",
    spectrum="#ea7457",
    warning="#fcbb2d",
    plasma=(0.33, 0.95),
)
PAPER = Theme(
    name="paper",
    background="#ffffff",
    surface="#ffffff",
    text="#000000",
    muted="#444444",
    grid="#e6e6e6",
    loss="#1a1a1a",
    anisotropy="#1b7f79",
    spectrum="#a11c9a",
    warning="#b3470a",
    plasma=(0.03, 0.68),
    font=SERIF,
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


def template(theme: Theme) -> go.layout.Template:
    """The plotly template of a theme: every colour and font that a figure does not set itself."""
    return go.layout.Template(plain_template(theme))


@cache
def plain_template(theme: Theme) -> dict[str, Any]:
    """The same as plain dicts (`plain`)."""
    axis = {
        "gridcolor": theme.grid,
        "linecolor": theme.muted,
        "tickcolor": theme.muted,
        "zeroline": False,
        "tickfont": {"color": theme.muted, "size": 12},
        "title": {"font": {"color": theme.muted, "size": 13}, "standoff": 8},
        "automargin": True,
        "spikecolor": theme.muted,
        "spikethickness": 1,
        "spikedash": "dot",
    }
    return {
        "layout": {
            "paper_bgcolor": theme.background,
            "plot_bgcolor": theme.background,
            "font": {"family": theme.font, "color": theme.text, "size": 13},
            "colorway": [theme.loss, theme.anisotropy, theme.spectrum, theme.warning],
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 52, "r": 14, "t": 36, "b": 44},
            "hoverlabel": {
                "bgcolor": theme.surface,
                "bordercolor": theme.muted,
                "font": {"family": theme.font, "color": theme.text, "size": 13},
                "align": "left",
            },
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
                "font": {"color": theme.text, "size": 12},
                "bgcolor": "rgba(0,0,0,0)",
            },
            "modebar": {
                "bgcolor": "rgba(0,0,0,0)",
                "color": theme.muted,
                "activecolor": theme.text,
            },
        }
    }


def colour_bar(theme: Theme, top: float = 1.0) -> dict[str, Any]:
    """A slim horizontal colour bar above the right corner of a panel whose upper end is at paper height `top`.

    Of the topmost panel, it hangs from the figure's edge: the panel's title is below it, not beside it, as on a phone
    there is no room for both.
    """
    hanging = {"yref": "container", "y": 1.0, "yanchor": "top", "ypad": 6} if top == 1.0 else {}
    return {
        "orientation": "h",
        "x": 1.0,
        "xanchor": "right",
        "xpad": 0,
        "y": top,
        "yanchor": "bottom",
        "ypad": 16,
        "len": 0.3,
        "thickness": 7,
        "outlinewidth": 0,
        "ticks": "",
        "tickfont": {"color": theme.muted, "size": 11},
    } | hanging


def line_scale(theme: Theme, samples: int = 11) -> list[list[Any]]:
    """The part of plasma that lines are coloured by, as a plotly colour scale for a colour bar."""
    shares = [index / (samples - 1) for index in range(samples)]
    start, end = theme.plasma
    return [[share, _plasma(start + share * (end - start))] for share in shares]


@cache
def _plasma(share: float) -> str:
    """The colour at a share of the scale; kept, because plotly takes a millisecond for each."""
    return str(sample_colorscale(SPECTRUM_SCALE, [share])[0])


def line_styles(
    values: Mapping[str, float], theme: Theme, span: tuple[float, float] | None = None
) -> dict[str, dict[str, str]]:
    """Colour and dash of each model: plasma by the logarithm of its parameter count, or of another quantity.

    `span` is the range that the colours cover (default: that of `values`), so that a model keeps its colour when
    others leave the figure. Models of equal value share a colour; those of unknown are muted; neighbours of equal or
    near colour differ in dash. Where the quantity hardly tells the models apart (runs of one size), colours follow
    their place by value and name instead, the same in whatever order they are given, and dashes do so too.
    """
    known = {name: value for name, value in values.items() if is_known(value)}
    placed = len(known) > 1 and len({f"{value:.2g}" for value in known.values()}) <= len(known) / 2
    if placed:
        ranked = sorted(known, key=lambda name: (known[name], name))
        known, span = {name: math.exp(place) for place, name in enumerate(ranked)}, None
    logs = [math.log(value) for value in known.values()]
    low, high = (math.log(edge) for edge in span) if span else (min(logs, default=0), max(logs, default=0))
    start, end = theme.plasma
    styles: dict[str, dict[str, str]] = {}
    last, order = -math.inf, -1
    for name in sorted(values, key=lambda name: (known.get(name, 0), name)):
        share = 0.5 if name not in known or high <= low else (math.log(known[name]) - low) / (high - low)
        share = min(max(share, 0.0), 1.0)
        scaled = _plasma(start + share * (end - start))
        colour = scaled if name in known else theme.muted
        along = share if name in known else -1.0
        order = order + 1 if placed or along - last < NEAR else 0
        last = along
        styles[name] = {"color": colour, "dash": DASHES[order % len(DASHES)]}
    return styles


def is_known(value: float | None) -> bool:
    """Whether a size, a rate or a count is stated at all."""
    return value is not None and math.isfinite(value) and value > 0
