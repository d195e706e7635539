"""Anisotropy of representations: by layer and step, by depth at one step, of the last layer along training."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from saturation.figures import curves, labels, parts
from saturation.figures.steps import StepScale, axis, edges, nearest, positions
from saturation.figures.theme import ANISOTROPY_SCALE, LIGHT, Theme, colour_bar, line_styles


def _column(centred: bool) -> str:
    return "centred_anisotropy" if centred else "anisotropy"


def layer_map(
    layers: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    centred: bool = False,
    theme: Theme = LIGHT,
) -> go.Figure:
    """Mean cosine of one model by training step (x) and layer (y): 0 the embedding, the top what the head reads."""
    column = _column(centred)
    frame = layers[layers[column].notna()]
    if frame.empty:
        return parts.empty(theme, "No anisotropy is measured for this model yet.")
    table = frame.pivot_table(index="layer", columns="step", values=column)
    steps = table.columns.to_numpy(dtype=np.int64)
    last = int(frame["layers"].iloc[0])
    figure = parts.blank(theme, 370, margin=parts.MAP_MARGIN)
    figure.add_trace(
        go.Heatmap(
            x=edges(positions(steps, scale)),
            y=edges(table.index.to_numpy(dtype=float)),
            z=table.to_numpy(dtype=np.float32),
            customdata=np.broadcast_to(steps.astype(np.int32), table.shape),
            zmin=0,
            zmax=1,
            colorscale=ANISOTROPY_SCALE,
            hoverongaps=False,
            hovertemplate=f"mean cosine %{{z:.4f}}<br>layer %{{y:.0f}} of {last}<extra>step %{{customdata:,}}</extra>",
            name="anisotropy",
            colorbar=colour_bar(theme) | {"tickvals": [0, 0.5, 1], "ticktext": ["0", "0.5", "1"]},
        )
    )
    marks = frame[["step", "doubtful"]].drop_duplicates("step")
    parts.add_marks(figure, marks, scale, theme, y=float(table.index.min()) - 0.5)
    values, text = _layer_ticks(last)
    figure.update_layout(
        xaxis=axis(steps, scale),
        yaxis={
            "title": {"text": "layer"},
            "range": [float(table.index.min()) - 0.5, float(table.index.max()) + 0.5],
            "tickmode": "array",
            "tickvals": values,
            "ticktext": text,
            "showgrid": False,
        },
    )
    parts.add_title(figure, "mean cosine", "mean-centred" if centred else "plain", 1.0, theme)
    parts.add_cursor(figure, cursor, scale, theme)
    return figure


def steps_shown(layers: pd.DataFrame, step: int, *, centred: bool = False) -> dict[str, int]:
    """The step that each model is drawn at: its measured step nearest to `step`."""
    frame = layers[layers[_column(centred)].notna()]
    return {str(name): nearest(rows["step"].to_numpy(), step) for name, rows in frame.groupby("model", sort=False)}


def depth_table(layers: pd.DataFrame, step: int, *, centred: bool = False) -> pd.DataFrame:
    """The rows behind the curves by depth: each model at its measured step nearest to `step`."""
    chosen = steps_shown(layers, step, centred=centred)
    kept = layers[layers["step"] == layers["model"].map(chosen)]
    return kept[["family", "model", "parameters", "step", "layer", "depth", _column(centred), "doubtful"]].reset_index(
        drop=True
    )


def depth_curves(
    layers: pd.DataFrame,
    step: int,
    *,
    centred: bool = False,
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> go.Figure:
    """Figure 2 of the paper: mean cosine by layer depth (0 embedding, 1 what the head reads), one line a model."""
    column = _column(centred)
    frame = layers[layers[column].notna()]
    if frame.empty:
        return parts.empty(theme, "No anisotropy is measured for these models yet.")
    chosen = steps_shown(frame, step, centred=centred)
    counts = curves.sizes(frame)
    figure = parts.blank(theme, 430, hovermode="closest", margin={"l": 58, "r": 14, "t": 48, "b": 52}, showlegend=True)
    for name, style in line_styles(counts, theme, span).items():
        at = chosen[name]
        rows = frame[(frame["model"] == name) & (frame["step"] == at)].sort_values("layer")
        label = labels.model(name, counts[name])
        figure.add_trace(
            go.Scatter(
                x=rows["depth"].to_numpy(dtype=float),
                y=rows[column].to_numpy(dtype=float),
                customdata=rows[["layer", "layers"]].to_numpy(dtype=np.int64),
                mode="lines+markers",
                line={"width": 2, **style},
                marker={"size": 5, "color": style["color"]},
                name=label if at == step else f"{label} (step {labels.step(at)})",
                hovertemplate=f"<b>{name}</b> step {labels.step(at)}<br>mean cosine %{{y:.4f}}<br>"
                "layer %{customdata[0]} of %{customdata[1]}<extra></extra>",
            )
        )
    lowest = float(frame[column].min())
    figure.update_layout(
        xaxis={"title": {"text": "layer depth"}, "range": [-0.02, 1.02], "showline": True, "ticks": "outside"},
        yaxis={"title": {"text": "mean cosine"}, "range": [min(-0.03, lowest - 0.03), 1.03]},
    )
    return figure


def last_layer_curves(
    trajectory: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    centred: bool = False,
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> go.Figure:
    """Mean cosine of what the head reads along training, one line a model, coloured by parameters."""
    column = _column(centred)
    figure = curves.along_training(
        trajectory, column, scale=scale, span=span, theme=theme, hover="mean cosine %{y:.4f}"
    )
    if figure is None:
        return parts.empty(theme, "No anisotropy is measured for these models yet.")
    lowest = float(trajectory[column].min())
    figure.update_yaxes(title={"text": "mean cosine"}, range=[min(-0.03, lowest - 0.03), 1.03])
    parts.add_cursor(figure, cursor, scale, theme)
    return figure


def _layer_ticks(last: int) -> tuple[list[int], list[str]]:
    width = max(1, round(last / 6))
    values = [*range(0, last - width // 2, width), last]
    return values, [str(value) for value in values]
