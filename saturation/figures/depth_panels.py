"""Figure 2 of the paper: anisotropy by layer depth, one panel a family, all coloured on one scale of parameters."""

from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import labels, parts
from saturation.figures.grid import ROW, domain, panel_note
from saturation.figures.plain import Drawing, Plain
from saturation.figures.theme import LIGHT, Theme, colour_bar, line_scale, line_styles


@Drawing
def depth_panels(layers: pd.DataFrame, *, centred: bool = False, theme: Theme = LIGHT) -> Plain:
    """Mean cosine (y, 0 to 1) by layer depth (x: 0 embedding, 1 what the head reads), one line a model.

    `layers`: `queries.layer_anisotropy` of several families, each model at one step. Colour: parameters, log, plasma.
    """
    column = "centred_anisotropy" if centred else "anisotropy"
    frame = layers[layers[column].notna()]
    if frame.empty:
        return parts.empty(theme, "No anisotropy is measured yet.")
    families = list(dict.fromkeys(frame["family"]))
    columns = min(len(families), 2)
    rows = -(-len(families) // columns)
    height = 60 + 52 + ROW * rows
    models = frame.drop_duplicates(["family", "model"])
    counts = {f"{family}/{model}": size for family, model, size in models[["family", "model", "parameters"]].values}
    styles = line_styles(counts, theme)
    lowest = float(frame[column].min())
    words = f"<b>mean cosine</b>  <span style='color:{theme.muted}'>by layer depth</span>"
    notes = [panel_note(words, 0.0, 1.0, 32, 13, theme)]
    traces: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for place, family in enumerate(families):
        row, at = divmod(place, columns)
        number = "" if place == 0 else str(place + 1)
        x_domain, y_domain = domain(at, columns, 0.09), domain(rows - 1 - row, rows, 0.34 * ROW / height)
        axes[f"xaxis{number}"] = {
            "domain": x_domain,
            "anchor": f"y{number}",
            "range": [-0.02, 1.02],
            "showline": True,
            "ticks": "outside",
            "title": {"text": "layer depth"},
        }
        axes[f"yaxis{number}"] = {
            "domain": y_domain,
            "anchor": f"x{number}",
            "range": [min(-0.03, lowest - 0.03), 1.03],
        }
        notes.append(panel_note(f"<b>{family}</b>", x_domain[0], y_domain[1], 3, 12, theme))
        for model, lines in frame[frame["family"] == family].groupby("model", sort=False):
            style = styles[f"{family}/{model}"]
            traces.append(
                _trace(lines.sort_values("layer"), column, style) | {"xaxis": f"x{number}", "yaxis": f"y{number}"}
            )
    traces += _scale([count for count in counts.values() if count > 0], theme)
    return parts.blank(
        theme,
        height,
        traces,
        **axes,
        annotations=notes,
        hovermode="closest",
        showlegend=False,
        margin={"l": 58, "r": 14, "t": 60, "b": 52, "autoexpand": False},
    )


def _trace(rows: pd.DataFrame, column: str, style: dict[str, str]) -> dict[str, Any]:
    """The line of one model's layers at one step."""
    family, model, parameters, step = (rows[key].iloc[0] for key in ("family", "model", "parameters", "step"))
    name = labels.model(str(model), float(parameters))
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": rows["depth"].to_numpy(dtype=float),
        "y": rows[column].to_numpy(dtype=float),
        "line": {"width": 2, **style},
        "marker": {"size": 4, "color": style["color"]},
        "customdata": rows[["layer", "layers"]].to_numpy(dtype=np.int64),
        "hovertemplate": f"<b>{family}/{name}</b> step {labels.step(step)}<br>"
        "mean cosine %{y:.4f}<br>layer %{customdata[0]} of %{customdata[1]}<extra></extra>",
    }


def _scale(counts: list[float], theme: Theme) -> list[dict[str, Any]]:
    """The colour bar of parameter counts: an empty trace that carries the scale which the lines use."""
    if len(set(counts)) < 2:
        return []
    low, high = float(np.log10(min(counts))), float(np.log10(max(counts)))
    whole = list(range(int(np.ceil(low)), int(high) + 1))
    powers = whole if len(whole) > 1 else [low, high]
    title = {"text": "parameters", "side": "top", "font": {"size": 11, "color": theme.muted}}
    ticks = {"tickvals": powers, "ticktext": [labels.count(10**power) for power in powers]}
    marker = {
        "color": [low],
        "cmin": low,
        "cmax": high,
        "colorscale": line_scale(theme),
        "showscale": True,
        "colorbar": colour_bar(theme) | ticks | {"title": title},
    }
    shape = {"type": "scatter", "x": [None], "y": [None], "mode": "markers", "hoverinfo": "skip"}
    return [shape | {"marker": marker, "name": "parameters"}]
