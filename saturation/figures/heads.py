"""Heads of lower rank: figures 6a, 6b, 8 and 9 of the paper, and truncated heads along training."""

from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import curves, labels, parts
from saturation.figures.plain import Drawing, Plain
from saturation.figures.steps import StepScale, axis, edges, positions
from saturation.figures.theme import LIGHT, Theme, colour_bar, line_styles

MARGIN = {"l": 62, "r": 16, "t": 48, "b": 52}
DASHES = {"trained": "solid", "truncated": "dash"}
# Loss added by a truncated head above which a map's colour no longer changes: the paper's curves end at about 1.5.
MOST_ADDED = 2.0
ADDED_SCALE = "cividis"
METRICS = {
    "nats_per_token": ("loss (nats/token)", 1.0, "%{y:.4f} nats/token"),
    "accuracy": ("top-1 accuracy (%)", 100.0, "%{y:.2f} %"),
}
Traces = list[dict[str, Any]]


@Drawing
def heads_by_rank(
    table: pd.DataFrame,
    metric: str = "nats_per_token",
    *,
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Plain:
    """Loss or accuracy (y) by the rank of the head (x, log), one colour a model.

    table: `jobs.head_tables.by_rank`. Solid: trained heads of that rank, with the spread over seeds; dashed: the
    model's own head cut to it; dotted: the model's own head.
    """
    title, factor, hover = METRICS[metric]
    frame = table[table[metric].notna()]
    if frame.empty:
        return parts.empty(theme, "No head of lower rank is measured for these models yet.")
    ranks = np.unique(frame["rank"].to_numpy(dtype=float))
    traces = _lines(frame, "rank", metric, "rank %{x}<br>" + hover, span, theme)
    if (frame["kind"] == "own").any():
        traces.append(_meaning("its own head", "dot", theme))
    own = frame[frame["kind"] == "own"].drop_duplicates("model")
    wholes = dict(zip(own["model"], own[metric], strict=True))
    for line in [trace for trace in traces if "legendgroup" in trace and trace["showlegend"]]:
        if line["legendgroup"] in wholes:
            traces.append(_level(ranks, factor * float(wholes[line["legendgroup"]]), line, hover))
    return _figure(theme, traces, rank_axis(ranks, "rank of the head"), title)


@Drawing
def loss_by_w_error(table: pd.DataFrame, *, span: tuple[float, float] | None = None, theme: Theme = LIGHT) -> Plain:
    """Figure 8: loss of heads of each rank (y) against the W-error that the rank allows on the model's own head (x)."""
    frame = table[table["nats_per_token"].notna() & table["w_error"].notna() & table["kind"].isin(DASHES)]
    if frame.empty:
        return parts.empty(theme, "No head of lower rank is measured for these models yet.")
    hover = "rank %{customdata:,}<br>W-error %{x:.3f}<br>" + METRICS["nats_per_token"][2]
    traces = _lines(frame, "w_error", "nats_per_token", hover, span, theme)
    most = max(float(frame["w_error"].max()), 0.1)  # heads with one dominating value leave little to the other ranks
    ends = {"range": [-0.02 * most, 1.04 * most], "showline": True, "ticks": "outside"}
    xaxis = {"title": {"text": "W-error that the rank allows"}} | ends
    return _figure(theme, traces, xaxis, METRICS["nats_per_token"][0])


@Drawing
def learning_rates(tried: pd.DataFrame, *, span: tuple[float, float] | None = None, theme: Theme = LIGHT) -> Plain:
    """Figure 9: the learning rate chosen for each rank (both axes log); small marks are the rates that were tried.

    tried: `jobs.head_tables.rates`.
    """
    if tried.empty:
        return parts.empty(theme, "No trained head is measured for these models yet.")
    sizes, traces = curves.sizes(tried), []
    for name, style in line_styles(sizes, theme, span).items():
        own = tried[tried["model"] == name].sort_values("rank")
        for rows, chosen in ((own, False), (own[own["chosen"]], True)):
            mark = {"size": 9, "color": style["color"]} if chosen else {"size": 5, "color": theme.muted, "opacity": 0.5}
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if chosen else "markers",
                    "x": rows["rank"].to_numpy(dtype=float),
                    "y": rows["learning_rate"].to_numpy(dtype=float),
                    "customdata": rows[["validation_nats_per_token", "init"]].to_numpy(dtype=object),
                    "line": {"width": 2, "color": style["color"]},
                    "marker": mark,
                    "name": labels.model(name, sizes[name]),
                    "legendgroup": name,
                    "showlegend": chosen,
                    "hovertemplate": f"<b>{name}</b> rank %{{x}}<br>learning rate %{{y:.2g}}"
                    f"{' (chosen)' if chosen else ''}<br>%{{customdata[1]}} start<br>"
                    "validation loss %{customdata[0]:.4f} nats/token<extra></extra>",
                }
            )
    rates = np.unique(tried["learning_rate"].to_numpy(dtype=float))
    logs = np.log10([rates.min(), rates.max()])
    return parts.blank(
        theme,
        430,
        traces,
        hovermode="closest",
        margin=MARGIN,
        showlegend=True,
        xaxis=rank_axis(np.unique(tried["rank"].to_numpy(dtype=float)), "rank of the head"),
        yaxis={
            "type": "log",
            "title": {"text": "learning rate"},
            "range": [float(logs[0]) - 0.15, float(logs[1]) + 0.15],
            "tickmode": "array",
            "tickvals": rates.tolist(),
            "ticktext": [labels.rate(rate) for rate in rates],
        },
    )


@Drawing
def truncated_along_training(
    rows: pd.DataFrame, *, cursor: int | None = None, scale: StepScale = "linear", theme: Theme = LIGHT
) -> Plain:
    """Loss that a checkpoint's own head adds when cut to a rank (colour, nats/token), by step (x) and rank (y).

    The lowest rank is on top, as in the maps of singular values. A head that loses nothing by the cut, or gains, has
    the colour of 0.
    """
    frame = rows.assign(added=rows["nats_per_token"] - rows["own_nats_per_token"])
    frame = frame[frame["added"].notna()]
    if frame.empty:
        return parts.empty(theme, "No truncated head is measured for this model yet.")
    table = frame.pivot_table(index="rank", columns="step", values="added")
    steps, ranks = table.columns.to_numpy(dtype=np.int64), table.index.to_numpy(dtype=np.int64)
    places = np.arange(len(ranks), dtype=float)
    added = table.to_numpy()
    most = min(max(float(np.nanmax(added)), 1e-6), MOST_ADDED)
    ends = ("≤ " if np.nanmin(added) < 0 else "", "≥ " if np.nanmax(added) > most else "")
    cells = {
        "type": "heatmap",
        "x": edges(positions(steps, scale)),
        "y": edges(places),
        "z": table.to_numpy(dtype=np.float32),
        "customdata": np.stack([np.broadcast_to(steps, table.shape), np.broadcast_to(ranks[:, None], table.shape)], -1),
        "zmin": 0,
        "zmax": most,
        "colorscale": ADDED_SCALE,
        "hoverongaps": False,
        "hovertemplate": "%{z:+.4f} nats/token<br>rank %{customdata[1]}<extra>step %{customdata[0]:,}</extra>",
        "name": "added loss",
        "colorbar": colour_bar(theme)
        | {"tickvals": [0, most / 2, most], "ticktext": [f"{ends[0]}0", f"{most / 2:.2g}", f"{ends[1]}{most:.2g}"]},
    }
    figure = parts.blank(
        theme,
        380,
        [cells],
        margin=parts.MAP_MARGIN,
        showlegend=False,
        xaxis=axis(steps, scale),
        yaxis={
            "title": {"text": "rank kept"},
            "range": [len(ranks) - 0.5, -0.5],
            "tickmode": "array",
            "tickvals": places.tolist(),
            "ticktext": [f"{rank:,}" for rank in ranks],
            "showgrid": False,
        },
    )
    parts.add_title(figure, "added loss", "nats/token above its own head", 1.0, theme)
    parts.add_marks(figure, frame[["step", "doubtful"]].drop_duplicates("step"), scale, theme, y=len(ranks) - 0.5)
    parts.add_cursor(figure, cursor, scale, theme)
    return figure


def rank_axis(ranks: np.ndarray, title: str) -> dict[str, Any]:
    """A log axis of ranks with a tick at each of them, or at powers of four where they are many."""
    shown = ranks if len(ranks) <= 12 else 4.0 ** np.arange(0, np.log2(ranks.max()) / 2 + 1)
    return {
        "type": "log",
        "title": {"text": f"{title} (log scale)"},
        "tickmode": "array",
        "tickvals": shown.tolist(),
        "ticktext": [f"{rank:,.0f}" for rank in shown],
        "range": [float(np.log10(ranks.min())) - 0.05, float(np.log10(ranks.max())) + 0.05],
        "showline": True,
        "ticks": "outside",
    }


def _figure(theme: Theme, traces: Traces, xaxis: dict[str, Any], title: str) -> Plain:
    return parts.blank(
        theme,
        430,
        traces,
        hovermode="closest",
        margin=MARGIN,
        showlegend=True,
        xaxis=xaxis,
        yaxis={"title": {"text": title}},
    )


def _lines(
    frame: pd.DataFrame, x: str, metric: str, hover: str, span: tuple[float, float] | None, theme: Theme
) -> Traces:
    """A line for each model and kind of head, one legend entry a model, and entries that say what the dashes mean."""
    sizes = curves.sizes(frame)
    traces: Traces = []
    ordered = frame.sort_values(x)
    models, every = ordered["model"].to_numpy(dtype=object), ordered["kind"].to_numpy(dtype=object)
    columns = {name: ordered[name].to_numpy(dtype=float) for name in {x, metric, "rank", "spread"}}
    for name, style in line_styles(sizes, theme, span).items():
        own = models == name
        kinds = [kind for kind in DASHES if (own & (every == kind)).any()]
        for kind in kinds:
            rows = {key: values[own & (every == kind)] for key, values in columns.items()}
            line = _line(rows, x, metric, kind, style["color"])
            words = {
                "name": labels.model(name, sizes[name]),
                "legendgroup": name,
                "showlegend": kind == kinds[0],
                "hovertemplate": f"<b>{name}</b> {kind}, {hover}%{{text}}<extra></extra>",
            }
            traces.append(line | words)
    return traces + [_meaning(kind, dash, theme) for kind, dash in DASHES.items() if (frame["kind"] == kind).any()]


def _line(rows: dict[str, np.ndarray], x: str, metric: str, kind: str, colour: str) -> dict[str, Any]:
    spread = rows["spread"] if metric == "nats_per_token" else np.full(len(rows[x]), np.nan)
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": rows[x],
        "y": METRICS[metric][1] * rows[metric],
        "customdata": rows["rank"].astype(np.int64),
        "text": [f"<br>seeds differ by {value:.2g}" if value > 0 else "" for value in spread],
        "line": {"width": 2, "color": colour, "dash": DASHES[kind]},
        "marker": {"size": 5, "color": colour, "symbol": "circle" if kind == "trained" else "circle-open"},
    }
    if np.isfinite(spread).any():
        trace["error_y"] = {"type": "data", "array": np.nan_to_num(spread), "thickness": 1, "width": 3}
    return trace


def _level(ranks: np.ndarray, value: float, line: dict[str, Any], hover: str) -> dict[str, Any]:
    """The model's own head, across the ranks, in the colour of its line."""
    name = line["legendgroup"]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [float(ranks.min()), float(ranks.max())],
        "y": [value, value],
        "line": {"width": 1.2, "color": line["line"]["color"], "dash": "dot"},
        "name": f"{name}, its own head",
        "showlegend": False,
        "hovertemplate": f"<b>{name}</b> its own head<br>{hover}<extra></extra>",
    }


def _meaning(kind: str, dash: str, theme: Theme) -> dict[str, Any]:
    """A legend entry that says what a kind's dash means."""
    look = {"mode": "lines", "line": {"width": 2, "color": theme.muted, "dash": dash}}
    return {"type": "scatter", "x": [None], "y": [None], "name": kind, "hoverinfo": "skip"} | look
