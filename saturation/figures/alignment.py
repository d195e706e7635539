"""What the head's leading directions point at along training: the all-ones vector, and log token frequency."""

import pandas as pd

from saturation.figures import labels, parts
from saturation.figures.curves import CROWD
from saturation.figures.linked import domains
from saturation.figures.plain import Drawing, Parts, Plain, scatter
from saturation.figures.steps import StepScale, axis, positions
from saturation.figures.theme import LIGHT, Theme

VECTORS = 3
NAMES = ("first direction", "second", "third")
STYLES = (("solid", 2.4), ("dash", 1.8), ("dot", 2.0))
PANELS = {
    "ones_alignment": ("Along all-ones", "|cos(u<sub>i</sub>, 1)|", "|cos(u, 1)|"),
    "frequency_correlation": ("With log token frequency", "correlation", "correlation with log frequency"),
}
PANEL_HEIGHT = 190
GAP = 0.13
MARGIN = {"l": 52, "r": parts.FLAG_ROOM, "t": 68, "b": 52}


def panels(centred: bool) -> tuple[str, ...]:
    """The y axes of `alignment_curves`."""
    return ("y",) if centred else ("y", "y2")


@Drawing
def alignment_curves(
    rows: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    centred: bool = False,
    theme: Theme = LIGHT,
) -> Plain:
    """Of one model (`queries.alignment`), its three leading left singular vectors along training, in stacked panels.

    Above, the absolute cosine with the all-ones vector; the centred head has none, as its vectors are all orthogonal
    to it. Below, the correlation with log token frequency and the bound that 99 % of unrelated vectors stay under.
    Doubtful checkpoints are hollow and off the lines.
    """
    shown = rows[rows["rank"] <= VECTORS]
    columns = {_column(name, centred): panel for name, panel in PANELS.items() if not (centred and "ones" in name)}
    if shown.empty or shown[list(columns)].isna().all(axis=None):
        return parts.empty(theme, "No alignment is measured for this model yet.")
    height = PANEL_HEIGHT * len(columns) + MARGIN["t"] + MARGIN["b"]
    figure = parts.blank(theme, height, hovermode="closest", margin=MARGIN, showlegend=True)
    ends = domains((1.0,) * len(columns), GAP)
    colours = (theme.spectrum, theme.anisotropy, theme.loss)
    for place, ((column, (title, unit, hover)), end) in enumerate(zip(columns.items(), ends, strict=True)):
        yaxis = "y" if place == 0 else f"y{place + 1}"
        for index in range(VECTORS):
            of_rank = shown[(shown["rank"] == index + 1) & shown[column].notna()].sort_values("step")
            for trace in _traces(of_rank, column, index, hover, scale, colours[index]):
                shared = {"yaxis": yaxis, "showlegend": place == 0 and trace["mode"] != "markers"}
                figure.add_traces(trace | shared)
        name = f"yaxis{place + 1}" if place else "yaxis"
        figure.update(**{name: {"domain": end, "anchor": "x", "range": [-0.03, 1.03], "dtick": 0.5}})
        parts.add_title(figure, title, unit, end[1], theme)
    _add_chance(figure, shown, "y" if len(columns) == 1 else f"y{len(columns)}", theme)
    above = 24 / (PANEL_HEIGHT * len(columns))
    figure.update(
        xaxis=axis(shown["step"].to_numpy(), scale) | {"anchor": "y" if len(columns) == 1 else f"y{len(columns)}"},
        legend={"y": 1 + above, "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    parts.add_cursor(figure, cursor, scale, theme, panels=panels(centred))
    return figure


def alignment_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The numbers behind the curves, of all leading vectors: one row per step and rank."""
    measured = [_column(name, centred) for centred in (False, True) for name in PANELS]
    columns = ["family", "model", "step", "rank", *measured, "tokens_seen", "correlation_by_chance", "doubtful"]
    return rows[columns].reset_index(drop=True)


def _column(name: str, centred: bool) -> str:
    return f"centred_{name}" if centred else name


def _traces(rows: pd.DataFrame, column: str, index: int, hover: str, scale: StepScale, colour: str) -> list[Parts]:
    """A line over the sure checkpoints of one vector, and hollow points for the doubtful ones."""
    dash, width = STYLES[index]
    traces = []
    for kept, doubtful in ((rows[rows["doubtful"].isna()], False), (rows[rows["doubtful"].notna()], True)):
        if kept.empty:
            continue
        notes = [f"<br>doubtful: {note}" if doubtful else "" for note in kept["doubtful"]]
        traces.append(
            scatter(
                x=positions(kept["step"], scale),
                y=kept[column].to_numpy(dtype=float),
                mode="markers" if doubtful else "lines" if len(kept) > CROWD else "lines+markers",
                line={"color": colour, "width": width, "dash": dash},
                marker={"symbol": "circle-open", "size": 8, "color": colour}
                if doubtful
                else {"size": 4, "color": colour},
                text=[f"step {labels.step(step)}{note}" for step, note in zip(kept["step"], notes, strict=True)],
                name=NAMES[index],
                legendgroup=NAMES[index],
                hovertemplate=f"{NAMES[index]}, %{{text}}<br>{hover} %{{y:.4f}}<extra></extra>",
            )
        )
    return traces


def _add_chance(figure: Plain, rows: pd.DataFrame, yaxis: str, theme: Theme) -> None:
    """The bound under which unrelated vectors stay, where all checkpoints share one: they do on one text."""
    bounds = rows["correlation_by_chance"].dropna().unique()
    if len(bounds) != 1:
        return
    bound = float(bounds[0])
    line = {"color": theme.muted, "width": 1.2, "dash": "dash"}
    figure.add_shape(
        type="line",
        xref="paper",
        x0=0,
        x1=1,
        yref=yaxis,
        y0=bound,
        y1=bound,
        line=line,
        layer="below",
        name=f"by chance below {bound:.3f} (99 %)",  # in the legend: beside the line it would lie on curves
        showlegend=True,
    )
