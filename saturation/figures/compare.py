"""Runs side by side: three measures on one axis, differences from one of them, and a map of where two differ."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import labels, parts
from saturation.figures.grid import domain, panel_note
from saturation.figures.plain import Drawing, Plain
from saturation.figures.ranges import value_range
from saturation.figures.steps import StepScale, edges
from saturation.figures.theme import DARK, LIGHT, Theme, colour_bar, line_styles

AXES = {
    "step": "training step",
    "tokens": "tokens trained on",
    "flops": "training compute (FLOPs, estimated as 6 N T)",
    "fraction": "fraction of training",
}
PANELS = {
    "nats_per_token": ("loss", "nats/token", "%{y:.4f} nats/token"),
    "anisotropy": ("last-layer anisotropy", "mean cosine", "mean cosine %{y:.4f}"),
    "singular_entropy": ("singular entropy", "nats", "%{y:.4f} nats"),
}
# Less (orange) to more (purple) from what the background is like: on a dark page a white middle would glare.
DIVERGING = {
    "light": "PuOr",
    "dark": [[0, "#fdbf6f"], [0.25, "#b5651d"], [0.5, DARK.surface], [0.75, "#6f56ad"], [1, "#cfc4f0"]],
}
HEIGHT, HEAD, FOOT = 190, 84, 52  # pixels of a panel, above them and below


def run_sizes(rows: pd.DataFrame) -> dict[str, float]:
    """The parameter count of each run of `jobs.compare.aligned`, in their order."""
    sizes = rows.groupby("run", sort=False)["parameters"].max().astype(float)
    return {str(run): float(size) for run, size in sizes.items()}


@Drawing
def compare_panels(
    rows: pd.DataFrame,
    align: str = "step",
    *,
    log_x: bool = False,
    difference: str | None = None,
    sizes: Mapping[str, float] | None = None,
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Plain:
    """Loss, last-layer anisotropy and singular entropy (stacked) of several runs over what they are aligned by.

    rows: `jobs.compare.aligned`; with `difference`, the name of the run whose values are taken off, differences in the
    same columns. Colour: parameters; runs of one size differ in dash. sizes: `run_sizes` of all chosen runs, so that
    each keeps its look where others are left out; span: the parameter counts that colours cover.
    """
    frame = rows[rows["x"].notna()]
    if log_x:
        frame = frame[frame["x"] > 0]
    shown = [column for column in PANELS if column in frame and frame[column].notna().any()]
    if frame.empty or not shown:
        return parts.empty(theme, "None of these runs has values on this axis.")
    sizes = run_sizes(frame) if sizes is None else sizes
    styles = line_styles(sizes, theme, span)
    height = HEAD + FOOT + HEIGHT * len(shown)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {}
    notes = []
    named: set[str] = set()
    for place, column in enumerate(shown):
        number = "" if place == 0 else str(place + 1)
        title, unit, hover = PANELS[column]
        end = domain(len(shown) - 1 - place, len(shown), 0.1)
        layout[f"yaxis{number}"] = {"domain": end, "anchor": "x"}
        if column == "nats_per_token" and not difference:
            layout[f"yaxis{number}"]["range"] = _loss_range(frame, "log" if log_x else "linear")
        less = f"<br>less that of {difference}" if difference else ""
        words = f"<b>{title}</b>  <span style='color:{theme.muted}'>{unit}{less}</span>"
        notes.append(panel_note(words, 0.0, end[1], 4, 13, theme))
        for run, size in sizes.items():
            own = frame[(frame["run"] == run) & frame[column].notna()].sort_values("x")
            if len(own):
                legend = run not in named
                named.add(run)
                traces.append(_line(own, run, column, styles[run], f"y{number}", hover, align, size, legend))
    return parts.blank(
        theme,
        height,
        traces,
        **layout,
        annotations=notes,
        hovermode="closest",
        showlegend=True,
        legend={"y": 1 + (48 if difference else 30) / (HEIGHT * len(shown))},
        margin={"l": 62, "r": 16, "t": HEAD, "b": FOOT},
        xaxis=_axis(align, log_x) | {"anchor": "y" if len(shown) == 1 else f"y{len(shown)}"},
    )


def _axis(align: str, log_x: bool, **title: Any) -> dict[str, Any]:
    """The axis of training: steps and tokens as 10k and 5M, FLOPs as powers of ten."""
    return {
        "title": {"text": AXES[align] + (" (log scale)" if log_x else ""), **title},
        "type": "log" if log_x else "linear",
        "exponentformat": "power" if log_x or align == "flops" else "B",
        "showline": True,
        "ticks": "outside",
    }


def _loss_range(frame: pd.DataFrame, scale: StepScale) -> list[float] | None:
    """From the best of all runs to where the first descents are nearly done (`ranges.value_range` of each)."""
    runs = [rows.sort_values("x")["nats_per_token"] for _, rows in frame.groupby("run")]
    ends = [end for end in (value_range(values, scale=scale) for values in runs) if end]
    return [min(low for low, _ in ends), max(high for _, high in ends)] if ends else None


def _line(
    own: pd.DataFrame,
    run: str,
    column: str,
    style: dict[str, str],
    yaxis: str,
    hover: str,
    align: str,
    size: float,
    legend: bool,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines" if len(own) > 80 else "lines+markers",
        "x": own["x"].to_numpy(dtype=float),
        "y": own[column].to_numpy(dtype=float),
        "yaxis": yaxis,
        "customdata": own["step"].to_numpy(dtype=np.int64),
        "line": {"width": 2, **style},
        "marker": {"size": 4, "color": style["color"]},
        "name": labels.model(run, size),
        "legendgroup": run,
        "showlegend": legend,
        "hovertemplate": f"<b>{run}</b> step %{{customdata:,}}<br>{AXES[align]} %{{x:.4s}}<br>{hover}<extra></extra>",
    }


@Drawing
def difference_map(
    table: pd.DataFrame,
    first: str,
    second: str,
    align: str = "fraction",
    *,
    log_x: bool = False,
    theme: Theme = LIGHT,
) -> Plain:
    """Mean cosine of `first` less that of `second` (purple more, orange less) by what aligns them and layer depth.

    table: `jobs.compare.depth_difference`.
    """
    places = table.columns.to_numpy(dtype=float)
    kept = places > 0 if log_x else np.full(len(places), True)
    if not kept.any():
        return parts.empty(theme, "The two runs have no stretch of this axis in common.")
    places = places[kept]
    borders = 10 ** edges(np.log10(places)) if log_x else edges(places)
    values = table.to_numpy(dtype=np.float32)[:, kept]
    most = max(float(np.abs(values).max()), 0.05)
    cells = {
        "type": "heatmap",
        "x": borders,
        "y": edges(table.index.to_numpy(dtype=float)),
        "z": values,
        "zmin": -most,
        "zmax": most,
        "colorscale": DIVERGING.get(theme.name, DIVERGING["light"]),
        "hovertemplate": f"%{{z:+.4f}}<br>depth %{{y:.2f}}<br>{AXES[align]} %{{x:.4s}}<extra></extra>",
        "name": "difference",
        "colorbar": colour_bar(theme)
        | {"tickvals": [-most, 0, most], "ticktext": [f"\N{MINUS SIGN}{most:.2g}", "0", f"{most:.2g}"], "len": 0.35},
    }
    figure = parts.blank(
        theme,
        360,
        [cells],
        margin=parts.MAP_MARGIN,
        showlegend=False,
        xaxis=_axis(align, log_x, standoff=18),
        yaxis={"title": {"text": "layer depth"}, "showgrid": False},
    )
    parts.add_title(figure, "mean cosine", f"<br>{first} less {second}", 1.0, theme)
    return figure
