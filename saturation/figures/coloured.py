"""Figure 3 of the paper: performance along training, coloured by last-layer anisotropy, one panel a model."""

from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import curves, labels, parts
from saturation.figures.grid import ROW, domain, panel_note
from saturation.figures.plain import Drawing, Plain
from saturation.figures.ranges import value_range
from saturation.figures.steps import StepScale, axis, positions
from saturation.figures.theme import ANISOTROPY_SCALE, LIGHT, Theme, colour_bar

HEAD, FOOT = 78, 52  # pixels above and below the panels


def coloured_table(
    curve: pd.DataFrame, trajectory: pd.DataFrame, *, centred: bool = False, before_norm: bool = False
) -> pd.DataFrame:
    """The values of a metric with the last-layer anisotropy measured at the same model and step (NaN where none is).

    `curve`: `jobs.metrics.curve`; `trajectory`: `queries.trajectory` of the same family.
    """
    column = ("centred_" if centred else "") + "anisotropy" + ("_before_norm" if before_norm else "")
    cosines = trajectory[["model", "step", column]].rename(columns={column: "anisotropy"})
    kept = curve[["family", "model", "parameters", "step", "value", "stderr", "floor", "doubtful"]]
    return kept.merge(cosines, on=["model", "step"], how="left")


@Drawing
def coloured_panels(
    table: pd.DataFrame,
    title: str,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    higher_is_better: bool = False,
    theme: Theme = LIGHT,
) -> Plain:
    """One panel a model, smallest first: the metric (y) by training step (x), viridis 0 to 1 by the mean cosine.

    `table`: `coloured_table`; `title`: the metric with its unit. Steps without a measured cosine are muted rings,
    doubtful checkpoints crosses; neither hides that the line goes on.
    """
    frame = table[table["value"].notna()]
    if frame.empty:
        return parts.empty(theme, "Nothing of this metric is measured or imported for these models yet.")
    counts = curves.sizes(frame)
    columns = 1 if len(counts) == 1 else 2 if len(counts) <= 4 else 3
    rows = -(-len(counts) // columns)
    height = HEAD + FOOT + ROW * rows
    shared = axis(frame["step"].to_numpy(), scale, most=6 if columns == 1 else 3)
    words = "coloured by last-layer mean cosine"
    # Gathered and handed over at once: plotly takes milliseconds for each thing added to a figure of its own.
    traces: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    notes = [panel_note(f"<b>{title}</b>  <span style='color:{theme.muted}'>{words}</span>", 0.0, 1.0, 30, 13, theme)]
    for place, (name, parameters) in enumerate(counts.items()):
        row, column = divmod(place, columns)
        x_domain, y_domain = domain(column, columns, 0.09), domain(rows - 1 - row, rows, 0.34 * ROW / height)
        number = "" if place == 0 else str(place + 1)
        own = frame[frame["model"] == name].sort_values("step")
        floor = own["floor"].max()
        values = own.loc[own["doubtful"].isna(), "value"]
        axes[f"xaxis{number}"] = shared | {"domain": x_domain, "anchor": f"y{number}"}
        axes[f"xaxis{number}"] |= ({"matches": "x"} if place else {}) | ({} if row == rows - 1 else {"title": None})
        axes[f"yaxis{number}"] = {
            "domain": y_domain,
            "anchor": f"x{number}",
            "range": value_range(values, higher_is_better=higher_is_better, floor=floor, scale=scale),
        }
        traces += _traces(own, name, number, title, scale, theme)
        if np.isfinite(floor):
            ends = {"x0": 0, "x1": 1, "y0": float(floor), "y1": float(floor)}
            shapes.append(_line(f"x{number} domain", f"y{number}", ends, theme.anisotropy, "dash", "entropy floor"))
        notes.append(panel_note(f"<b>{labels.model(name, parameters)}</b>", x_domain[0], y_domain[1], 3, 12, theme))
    bar = colour_bar(theme) | {"tickvals": [0, 0.5, 1], "ticktext": ["0", "0.5", "1"], "len": 0.22}
    figure = parts.blank(
        theme,
        height,
        traces,
        **axes,
        shapes=shapes,
        annotations=notes,
        hovermode="closest",
        showlegend=False,
        margin={"l": 58, "r": 14, "t": HEAD, "b": FOOT, "autoexpand": False},
        coloraxis={"cmin": 0, "cmax": 1, "colorscale": ANISOTROPY_SCALE, "colorbar": bar},
    )
    add_cursors(figure, cursor, scale, theme)
    return figure


def add_cursors(figure: Plain, step: int | None, scale: StepScale, theme: Theme) -> None:
    """Draw the step cursor in every panel."""
    if step is None:
        return
    at = float(positions([step], scale)[0])
    ends = {"x0": at, "x1": at, "y0": 0, "y1": 1}
    for name in [name for name in figure.layout if name.startswith("xaxis") and "domain" in figure.layout[name]]:
        number = name.removeprefix("xaxis")
        figure.add_shape(**_line(f"x{number}", f"y{number} domain", ends, theme.text, "dot", "cursor"))


def _traces(
    own: pd.DataFrame, name: str, number: str, title: str, scale: StepScale, theme: Theme
) -> list[dict[str, Any]]:
    """The line of the checkpoints that are not doubtful, and their points by kind."""
    sure = own["doubtful"].isna()
    common = {"type": "scatter", "name": name, "xaxis": f"x{number}", "yaxis": f"y{number}"}
    line = {
        "mode": "lines",
        "hoverinfo": "skip",
        "line": {"color": theme.muted, "width": 1},
        "x": positions(own.loc[sure, "step"], scale),
        "y": own.loc[sure, "value"].to_numpy(dtype=float),
    }
    drawn: list[dict[str, Any]] = [common | line]
    measured = own["anisotropy"].notna()
    ring = {"symbol": "circle-open", "size": 6, "color": theme.muted}
    cross = {"symbol": "x", "size": 7, "color": theme.warning}
    outline = {"width": 0.8, "color": theme.muted}  # either end of viridis is as dark or as bright as a background
    for kept, marker, note in (
        (sure & measured, {"coloraxis": "coloraxis", "size": 7, "line": outline}, "mean cosine %{customdata[1]:.3f}"),
        (sure & ~measured, ring, "anisotropy not measured"),
        (~sure, cross, "doubtful: %{text}"),
    ):
        rows = own[kept]
        if rows.empty:
            continue
        cosines = rows["anisotropy"].to_numpy(dtype=float)
        points = {
            "x": positions(rows["step"], scale),
            "y": rows["value"].to_numpy(dtype=float),
            "mode": "markers",
            "customdata": np.stack([rows["step"].to_numpy(dtype=float), cosines], axis=1),
            "marker": marker | ({"color": cosines} if "coloraxis" in marker else {}),
            "hovertemplate": f"<b>{name}</b> step %{{customdata[0]:,}}<br>{title} %{{y:.4g}}<br>{note}<extra></extra>",
        }
        drawn.append(common | points | ({"text": rows["doubtful"].astype(str).to_numpy()} if marker is cross else {}))
    return drawn


def _line(xref: str, yref: str, ends: dict[str, float], colour: str, dash: str, name: str) -> dict[str, Any]:
    line = {"color": colour, "width": 1.2, "dash": dash}
    return {"type": "line", "xref": xref, "yref": yref, **ends, "line": line, "name": name, "layer": "below"}
