"""One measure along training, one line a model, coloured by parameter count or by another quantity of the model."""

from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import labels, parts
from saturation.figures.plain import Plain
from saturation.figures.steps import StepScale, axis, positions
from saturation.figures.theme import LIGHT, Theme, line_styles

CROWD = 80  # points above which a line carries no markers


def sizes(frame: pd.DataFrame, by: str = "parameters") -> dict[str, float]:
    """Parameter count of each model of a frame, or another quantity; smallest first, unknown (NaN) ones last."""
    codes, names = pd.factorize(frame["model"])
    values = np.full(len(names), np.nan)
    if by in frame:
        np.fmax.at(values, codes, frame[by].to_numpy(dtype=float, na_value=np.nan))
    return {str(names[place]): float(values[place]) for place in np.argsort(values, kind="stable")}


def extent(frame: pd.DataFrame, by: str = "parameters") -> tuple[float, float] | None:
    """Least and greatest known value of what models are coloured by, for colours that outlast a choice of models."""
    values = [value for value in sizes(frame, by).values() if value > 0]
    return (min(values), max(values)) if values else None


def differ_in_size(frame: pd.DataFrame) -> bool:
    """Whether the models of a frame are of more than one known parameter count, so that size orders them."""
    return len({value for value in sizes(frame).values() if value > 0}) > 1


def along_training(
    trajectory: pd.DataFrame,
    column: str,
    *,
    hover: str,
    scale: StepScale = "linear",
    by: str = "parameters",
    span: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
    height: int = 430,
) -> Plain | None:
    """Lines of `column` over the step for every model; None when nothing is measured.

    `hover` is a plotly template that writes %{y} with its unit. `by`: the column that colours the models, one of
    `labels.BY`; `span`: what its colours cover. Doubtful checkpoints are hollow points off the line.
    """
    frame = trajectory[trajectory[column].notna()]
    if frame.empty:
        return None
    values = sizes(frame, by)
    by_model = dict(list(frame.groupby("model", sort=False)))
    # Handed over at once: plotly takes milliseconds for each thing added to a figure of its own.
    traces: list[dict[str, Any]] = []
    for name, style in line_styles(values, theme, span).items():
        own = {"name": labels.model(name, values[name], by), "legendgroup": name}
        rows = by_model[name].sort_values("step")
        traces += [own | trace for trace in _traces(name, rows, column, hover, scale, style)]
    return parts.blank(
        theme,
        height,
        traces,
        hovermode="closest",
        margin={"l": 58, "r": parts.FLAG_ROOM, "t": 48, "b": 52},
        xaxis=axis(frame["step"].to_numpy(), scale),
        yaxis={"automargin": True},
        showlegend=True,
    )


def _traces(
    name: str, rows: pd.DataFrame, column: str, hover: str, scale: StepScale, style: dict[str, str]
) -> list[dict[str, Any]]:
    """The line of a model's checkpoints, and the doubtful ones beside it as hollow points."""
    drawn: list[dict[str, Any]] = []
    doubtful = rows["doubtful"].notna()
    for kept, marks in ((rows[~doubtful], False), (rows[doubtful], True)):
        if kept.empty:
            continue
        note = "<br>doubtful: %{customdata[1]}" if marks else ""
        errors = kept["stderr"] if "stderr" in kept else pd.Series(np.nan, index=kept.index)
        spread = [f" ± {labels.number(error)}" if error > 0 else "" for error in errors]
        measured = hover + ("%{text}" if any(spread) else "")
        points = {
            "type": "scatter",
            "x": positions(kept["step"], scale),
            "y": kept[column].to_numpy(dtype=float),
            "customdata": kept[["step", "doubtful"]].to_numpy(dtype=object),
            "mode": "markers" if marks else "lines" if len(kept) > CROWD else "lines+markers",
            "line": {"width": 2, **style},
            "marker": {"size": 4, "color": style["color"]} | ({"symbol": "circle-open", "size": 8} if marks else {}),
            "showlegend": not marks,
            "hovertemplate": f"<b>{name}</b> step %{{customdata[0]:,}}<br>{measured}{note}<extra></extra>",
        }
        drawn.append(points | ({"text": spread} if any(spread) else {}))
    return drawn
