"""Loss of best and final checkpoints against compute, with the fitted law: figure 1b of the paper."""

from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import curves, labels, parts
from saturation.figures.plain import Drawing, Plain, scatter
from saturation.figures.theme import LIGHT, Theme, line_styles

HEIGHT = 480
DASH = {"final": "solid", "best": "dash"}
SYMBOLS = {"best": "circle", "final": "circle-open"}


@Drawing
def scaling_figure(
    points: pd.DataFrame,
    law: pd.DataFrame | None = None,
    *,
    by: str = "parameters",
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Plain:
    """Loss in nats per token (y) against training FLOPs, estimated as 6 N T (x, log): one thin line a model.

    points: one row a model with parameters and, at the best and the final checkpoint, step, tokens, flops and loss;
    where a law is given also best_distance and final_distance, relative, and `fitted`: `best` or `final` where that
    checkpoint entered the fit, else empty. law: rows of which (best, final), flops, loss, low and high (the band of
    95 %, NaN where there is none). A best checkpoint is filled, a final one open.
    """
    if points.empty:
        return parts.empty(theme, "No loss with a known number of training tokens.")
    figure = parts.blank(theme, HEIGHT, hovermode="closest", margin={"l": 58, "r": 18, "t": 62, "b": 52})
    if law is not None:
        _add_law(figure, law, theme)
    colouring = curves.sizes(points, by)
    styles = line_styles(colouring, theme, span)
    rows = points.set_index("model", drop=False)
    for name in rows.index:
        figure.add_traces(_model(rows.loc[name], styles[name]["color"], labels.model(name, colouring[name], by)))
    if "fitted" in points:
        _add_rings(figure, points, theme)
    _add_key(figure, theme)
    compute = np.concatenate([points["best_flops"], points["final_flops"]]).astype(float)
    low, high = np.log10(compute.min()), np.log10(compute.max())
    room = max(0.06 * (high - low), 0.1)
    ticks, text = parts.log_ticks(compute)
    figure.update(
        showlegend=True,
        xaxis={
            "type": "log",
            "title": {"text": "training compute (FLOPs, estimated as 6 N T, log)"},
            "range": [low - room, high + room],
            "tickmode": "array",
            "tickvals": ticks,
            "ticktext": text,
            "showline": True,
            "ticks": "outside",
        },
        yaxis={"title": {"text": "loss (nats/token)"}, "range": _range(points, law)},
    )
    return figure


def _model(row: "pd.Series[Any]", colour: str, legend: str) -> dict[str, Any]:
    """A model's best and final checkpoint, joined and named."""
    hovers = []
    for which in ("best", "final"):
        lines = [
            f"<b>{legend}</b> {which} checkpoint, step {labels.step(row[f'{which}_step'])}",
            f"loss {row[f'{which}_loss']:.4f} nats/token",
            f"N {labels.count(row['parameters'])} parameters, T {labels.count(row[f'{which}_tokens'])} tokens",
        ]
        distance = row.get(f"{which}_distance", float("nan"))
        if pd.notna(distance):
            used = ", used in the fit" if row.get("fitted") == which else ""
            lines.append(f"{100 * abs(distance):.2f} % {'below' if distance < 0 else 'above'} the law{used}")
        hovers.append("<br>".join(lines))
    return {
        "type": "scatter",
        "x": [row["best_flops"], row["final_flops"]],
        "y": [row["best_loss"], row["final_loss"]],
        "mode": "lines+markers+text",
        "line": {"color": colour, "width": 1.2},
        "marker": {
            "symbol": list(SYMBOLS.values()),
            "size": [9, 10],
            "color": colour,
            "line": {"width": 2, "color": colour},
        },
        "text": ["", row["model"]],
        "textposition": "top right",
        "textfont": {"color": colour, "size": 12},
        "hovertext": hovers,
        "hoverinfo": "text",
        "showlegend": False,
        "name": row["model"],
        "cliponaxis": False,
    }


def _add_law(figure: Plain, law: pd.DataFrame, theme: Theme) -> None:
    final = law[law["which"] == "final"]
    if final["low"].notna().all():
        red, green, blue = (int(theme.anisotropy[start : start + 2], 16) for start in (1, 3, 5))
        figure.add_traces(
            scatter(
                x=np.concatenate([final["flops"], final["flops"][::-1]]),
                y=np.concatenate([final["high"], final["low"][::-1]]),
                fill="toself",
                fillcolor=f"rgba({red},{green},{blue},0.16)",
                mode="lines",
                line={"width": 0},
                hoverinfo="skip",
                name="95 % band",
            )
        )
    for which, dash in DASH.items():
        rows = law[law["which"] == which]
        figure.add_traces(
            scatter(
                x=rows["flops"].to_numpy(dtype=float),
                y=rows["loss"].to_numpy(dtype=float),
                customdata=[labels.count(size) for size in rows["parameters"]],
                mode="lines",
                line={"color": theme.anisotropy, "width": 1.8, "dash": dash},
                name=f"law, {which} tokens",
                hovertemplate=f"law at {which} tokens %{{y:.4f}} nats/token<br>N %{{customdata}}<extra></extra>",
            )
        )


def _add_rings(figure: Plain, points: pd.DataFrame, theme: Theme) -> None:
    """A ring around the checkpoints that the law was fitted to."""
    used = points[points["fitted"].isin(list(SYMBOLS))]
    if used.empty:
        return
    figure.add_traces(
        scatter(
            x=[row[f"{row['fitted']}_flops"] for _, row in used.iterrows()],
            y=[row[f"{row['fitted']}_loss"] for _, row in used.iterrows()],
            mode="markers",
            marker={"symbol": "circle-open", "size": 18, "color": theme.muted, "line": {"width": 1}},
            hoverinfo="skip",
            name="in the fit",
        )
    )


def _add_key(figure: Plain, theme: Theme) -> None:
    for which, symbol in SYMBOLS.items():
        figure.add_traces(
            scatter(
                x=[None],
                y=[None],
                mode="markers",
                marker={"symbol": symbol, "size": 9, "color": theme.muted, "line": {"width": 2, "color": theme.muted}},
                name=which,
            )
        )


def _range(points: pd.DataFrame, law: pd.DataFrame | None) -> list[float]:
    """All points and the law's curves; a wide band may leave the figure."""
    values = [points["best_loss"], points["final_loss"]] + ([] if law is None else [law["loss"]])
    everything = np.concatenate(values).astype(float)
    room = max(0.1 * (everything.max() - everything.min()), 0.02)
    return [float(everything.min() - room), float(everything.max() + 1.4 * room)]
