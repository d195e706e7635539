"""Figure 3 of the paper: performance along training, coloured by last-layer anisotropy, one panel a model."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from saturation.figures import curves, labels, parts
from saturation.figures.grid import ROW, corner, domain
from saturation.figures.ranges import value_range
from saturation.figures.steps import StepScale, axis, positions
from saturation.figures.theme import ANISOTROPY_SCALE, LIGHT, Theme, colour_bar

HEAD, FOOT = 56, 52  # pixels above and below the panels


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


def coloured_panels(
    table: pd.DataFrame,
    title: str,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    higher_is_better: bool = False,
    theme: Theme = LIGHT,
) -> go.Figure:
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
    figure = parts.blank(
        theme,
        height,
        hovermode="closest",
        showlegend=False,
        margin={"l": 58, "r": 14, "t": HEAD, "b": FOOT, "autoexpand": False},
        coloraxis={
            "cmin": 0,
            "cmax": 1,
            "colorscale": ANISOTROPY_SCALE,
            "colorbar": colour_bar(theme)
            | {"tickvals": [0, 0.5, 1], "ticktext": ["0", "0.5", "1"], "ypad": 24, "len": 0.22},
        },
    )
    shared = axis(frame["step"].to_numpy(), scale)
    for place, (name, parameters) in enumerate(counts.items()):
        row, column = divmod(place, columns)
        x_domain, y_domain = domain(column, columns, 0.09), domain(rows - 1 - row, rows, 0.34 * ROW / height)
        number = "" if place == 0 else str(place + 1)
        own = frame[frame["model"] == name].sort_values("step")
        sure = own[own["doubtful"].isna()]
        floor = own["floor"].max()
        figure.update_layout(
            {
                f"xaxis{number}": shared
                | {"domain": x_domain, "anchor": f"y{number}"}
                | ({"matches": "x"} if place else {})
                | ({} if row == rows - 1 else {"title": None}),
                f"yaxis{number}": {
                    "domain": y_domain,
                    "anchor": f"x{number}",
                    "range": value_range(sure["value"], higher_is_better=higher_is_better, floor=floor, scale=scale),
                },
            }
        )
        _add_curve(figure, own, name, number, title, scale, theme)
        if np.isfinite(floor):
            ends = {"x0": 0, "x1": 1, "y0": float(floor), "y1": float(floor)}
            _add_line(figure, f"x{number} domain", f"y{number}", ends, theme.anisotropy, "dash", "entropy floor")
        _add_name(figure, labels.model(name, parameters), x_domain[0], y_domain[1], theme)
        if cursor is not None:
            at = float(positions([cursor], scale)[0])
            ends = {"x0": at, "x1": at, "y0": 0, "y1": 1}
            _add_line(figure, f"x{number}", f"y{number} domain", ends, theme.text, "dot", "cursor")
    words = "coloured by mean cosine of the last layer"
    words += ", dashed: exact entropy of the text" if frame["floor"].notna().any() else ""
    figure.add_annotation(
        text=f"<b>{title}</b>  <span style='color:{theme.muted}'>{words}</span>",
        **corner(0.0, 1.0, 30),
        font={"size": 13, "color": theme.text},
    )
    return figure


def _add_curve(
    figure: go.Figure, own: pd.DataFrame, name: str, number: str, title: str, scale: StepScale, theme: Theme
) -> None:
    sure = own[own["doubtful"].isna()]
    axes: dict[str, Any] = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    figure.add_trace(
        go.Scatter(
            x=positions(sure["step"], scale),
            y=sure["value"].to_numpy(dtype=float),
            mode="lines",
            line={"color": theme.muted, "width": 1},
            hoverinfo="skip",
            name=name,
            **axes,
        )
    )
    with_cosine = sure["anisotropy"].notna()
    kinds = (
        (sure[with_cosine], {"coloraxis": "coloraxis", "size": 7}, "<br>mean cosine %{customdata[1]:.3f}"),
        (sure[~with_cosine], {"symbol": "circle-open", "size": 6, "color": theme.muted}, "<br>anisotropy not measured"),
        (own[own["doubtful"].notna()], {"symbol": "x", "size": 7, "color": theme.warning}, "<br>%{customdata[2]}"),
    )
    for rows, marker, note in kinds:
        if rows.empty:
            continue
        colours = {"color": rows["anisotropy"].to_numpy(dtype=float)} if "coloraxis" in marker else {}
        figure.add_trace(
            go.Scatter(
                x=positions(rows["step"], scale),
                y=rows["value"].to_numpy(dtype=float),
                customdata=rows[["step", "anisotropy", "doubtful"]].astype(object).to_numpy(),
                mode="markers",
                marker=marker | colours,
                hovertemplate=f"<b>{name}</b> step %{{customdata[0]:,}}<br>{title} %{{y:.4g}}{note}<extra></extra>",
                name=name,
                **axes,
            )
        )


def _add_name(figure: go.Figure, text: str, x: float, y: float, theme: Theme) -> None:
    figure.add_annotation(text=f"<b>{text}</b>", **corner(x, y, 3), font={"size": 12, "color": theme.text})


def _add_line(
    figure: go.Figure, xref: str, yref: str, ends: dict[str, float], colour: str, dash: str, name: str
) -> None:
    line = {"color": colour, "width": 1.2, "dash": dash}
    figure.add_shape(type="line", xref=xref, yref=yref, **ends, line=line, name=name, layer="below")
