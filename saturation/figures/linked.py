"""One model's training on one step axis: loss, last-layer anisotropy, singular entropy, singular-value map."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from saturation.figures import labels, parts, singular
from saturation.figures.curves import CROWD
from saturation.figures.plain import Drawing, Parts, Plain, scatter
from saturation.figures.ranges import value_range
from saturation.figures.steps import StepScale, axis, positions
from saturation.figures.theme import LIGHT, Theme

PANELS = ("loss", "anisotropy", "entropy", "map")
SHARES = (0.27, 0.2, 0.2, 0.33)
GAP = 0.062
DRAWN = ["step", "doubtful", "anisotropy", "centred_anisotropy", "singular_entropy", "centred_singular_entropy"]
HEIGHT = 880


def domains(shares: tuple[float, ...] = SHARES, gap: float = GAP) -> list[tuple[float, float]]:
    """Lower and upper end of each panel on the paper, from the top panel down."""
    usable = 1 - gap * (len(shares) - 1)
    ends, top = [], 1.0
    for share in shares:
        height = usable * share / sum(shares)
        ends.append((max(top - height, 0.0), top))
        top -= height + gap
    return ends


LINKED = ("y", "y2", "y3", "y4")  # the panels' y axes


@Drawing
def linked_figure(
    trajectory: pd.DataFrame,
    spectra: pd.DataFrame,
    *,
    curve: pd.DataFrame | None = None,
    metric: tuple[str, str, bool] = ("Loss", "nats/token", False),
    turns: Mapping[str, int] | None = None,
    cursor: int | None = None,
    scale: StepScale = "linear",
    ranks: int | None = singular.PAPER_RANKS,
    theme: Theme = LIGHT,
) -> Plain:
    """The overview figure of one model.

    `trajectory`: rows of one model (`queries.trajectory`); `spectra`: `queries.spectra` of the same model.
    `curve`: values of another metric than the loss (`jobs.metrics.curve`); `metric`: its name, unit, and whether
    higher is better. `turns`: where anisotropy or singular_entropy turned, and since when performance is saturated
    (`RunVerdict.marks`), each marked in its panel.
    Loss is in nats per token, anisotropy a mean cosine, singular entropy in nats. Doubtful checkpoints are
    drawn hollow and left out of the lines. Hovering shows all panels at one step.
    """
    values = trajectory.assign(value=trajectory["nats_per_token"]) if curve is None else curve
    if trajectory.empty and spectra.empty and values.empty:
        return parts.empty(theme, "Nothing is measured for this model yet.", HEIGHT // 2)
    # What is drawn of these wide frames: to pick rows costs by the column.
    trajectory, values = trajectory[DRAWN], values[["step", "value", "floor", "doubtful"]]
    figure = parts.blank(
        theme,
        HEIGHT,
        hovermode="x",
        hoversubplots="axis",
        hoverdistance=-1,
        spikedistance=-1,
        showlegend=False,
        margin={"l": 52, "r": parts.FLAG_ROOM, "t": 34, "b": 52},
    )
    _performance(figure, values, metric, scale, theme)
    _pair(figure, trajectory, "anisotropy", "y2", scale, theme.anisotropy)
    _pair(figure, trajectory, "singular_entropy", "y3", scale, theme.spectrum)
    mapped = singular.ratios(spectra, ranks=ranks)
    if mapped is not None:
        colour = singular.fitting_scale(mapped)
        cells = singular.heatmap(mapped, scale, theme, colour=colour, top=domains()[3][1])
        unhovered = {"yaxis": "y4", "hoverinfo": "skip", "hovertemplate": None, "customdata": None}
        figure.add_traces(cells | unhovered)
    _marks(figure, trajectory, mapped, scale, theme)
    steps = np.concatenate([frame["step"].to_numpy() for frame in (trajectory, spectra, values)])
    _layout(figure, trajectory, values, metric, steps, scale, theme, mapped)
    _turns(figure, turns or {}, scale, theme)
    parts.add_cursor(figure, cursor, scale, theme, panels=LINKED)
    return figure


def linked_table(trajectory: pd.DataFrame) -> pd.DataFrame:
    """The numbers behind the curves of the overview figure, one row per checkpoint."""
    columns = [
        *("family", "model", "step", "nats_per_token", "anisotropy", "centred_anisotropy"),
        *("singular_entropy", "centred_singular_entropy", "floor", "text_id", "doubtful"),
    ]
    return trajectory[columns].reset_index(drop=True)


def _line(frame: pd.DataFrame, column: str, scale: StepScale, *, markers: bool = True, **trace: Any) -> Parts:
    kept = frame[frame[column].notna() & frame["doubtful"].isna()]
    return scatter(
        x=positions(kept["step"], scale),
        y=kept[column].to_numpy(dtype=float),
        customdata=kept["step"].to_numpy(dtype=np.int64),
        mode="lines+markers",  # plotly lets only markers be clicked: where they would crowd, they are unseen
        marker={"size": 4, "opacity": 1 if markers and len(kept) <= CROWD else 0},
        unselected={"marker": {"opacity": 0}},
        **trace,
    )


def _hollow(figure: Plain, frame: pd.DataFrame, column: str, yaxis: str, scale: StepScale, colour: str) -> None:
    chosen = frame[column].notna() & frame["doubtful"].notna()
    if not chosen.any():
        return
    doubtful = frame[chosen]
    figure.add_traces(
        scatter(
            x=positions(doubtful["step"], scale),
            y=doubtful[column].to_numpy(dtype=float),
            yaxis=yaxis,
            mode="markers",
            marker={"symbol": "circle-open", "size": 8, "color": colour, "line": {"width": 1.5}},
            customdata=doubtful["step"].to_numpy(dtype=np.int64),
            text=doubtful["doubtful"].astype(str),
            hovertemplate="%{y:.4g} (doubtful: %{text})<extra></extra>",
            name="doubtful",
        )
    )


def _performance(
    figure: Plain, frame: pd.DataFrame, metric: tuple[str, str, bool], scale: StepScale, theme: Theme
) -> None:
    label, unit, higher_is_better = metric
    figure.add_traces(
        _line(
            frame,
            "value",
            scale,
            name=label.lower(),
            yaxis="y",
            line={"color": theme.loss, "width": 2},
            hovertemplate=f"{label.lower()} %{{y:.4f}} {unit}".rstrip() + "<extra></extra>",
        )
    )
    _hollow(figure, frame, "value", "y", scale, theme.warning)
    sure = frame[frame["value"].notna() & frame["doubtful"].isna()]
    if not sure.empty:
        best = sure.iloc[int(sure["value"].argmax() if higher_is_better else sure["value"].argmin())]
        figure.add_traces(
            scatter(
                x=positions([best["step"]], scale),
                y=[float(best["value"])],
                yaxis="y",
                mode="markers",
                marker={"symbol": "diamond", "size": 10, "color": theme.spectrum},
                hoverinfo="skip",
                name=f"best {label.lower()}",
            )
        )
    floors = frame["floor"].dropna().unique()
    if len(floors) == 1:
        ends = {"xref": "x domain", "x0": 0, "x1": 1, "yref": "y", "y0": float(floors[0]), "y1": float(floors[0])}
        line = {"color": theme.anisotropy, "width": 1.5, "dash": "dash"}
        figure.add_shape(type="line", **ends, line=line, name="entropy floor")
        figure.add_annotation(
            text=f"exact entropy of the text {floors[0]:.3f}",
            x=0,
            xref="paper",
            y=float(floors[0]),
            yref="y",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11, "color": theme.anisotropy},
            bgcolor=theme.background,
        )


def _pair(figure: Plain, frame: pd.DataFrame, column: str, yaxis: str, scale: StepScale, colour: str) -> None:
    """A measure and its centred counterpart: solid, and dotted."""
    word = column.replace("_", " ")
    for name, dash, label in ((column, "solid", word), (f"centred_{column}", "dot", f"{word}, centred")):
        figure.add_traces(
            _line(
                frame,
                name,
                scale,
                name=label,
                yaxis=yaxis,
                line={"color": colour, "width": 2, "dash": dash},
                markers=dash == "solid",
                hovertemplate=f"{label} %{{y:.4f}}<extra></extra>",
            )
        )
        _hollow(figure, frame, name, yaxis, scale, colour)


def _marks(figure: Plain, frame: pd.DataFrame, mapped: singular.Ratios | None, scale: StepScale, theme: Theme) -> None:
    """Marks of all checkpoints on the step axis; their hover tells the step and the spectrum in two ratios."""
    rows, notes = frame, None
    if mapped is not None:
        rows = mapped.marks
        shown = [rank for rank in (2, 10, 100) if rank <= mapped.ranks]
        notes = [
            " · ".join(f"σ<sub>{rank}</sub>/σ<sub>1</sub> {column[rank - 1]:.3f}" for rank in shown)
            for column in mapped.values.T
        ]
    bottom = mapped.ranks + 0.5 if mapped is not None else 0.0
    parts.add_marks(figure, rows, scale, theme, y=bottom, notes=notes, yaxis="y4")


def _turns(figure: Plain, turns: Mapping[str, int], scale: StepScale, theme: Theme) -> None:
    """A line at each turn, within the panel of what turned: dashed, and for performance as on its own page."""
    for name, step in turns.items():
        yaxis = {"performance": "y", "anisotropy": "y2", "singular_entropy": "y3"}[name]
        words, dash = ("saturated since", "dot") if name == "performance" else ("turns at", "dash")
        place = float(positions([step], scale)[0])
        figure.add_shape(
            type="line",
            xref="x",
            yref=f"{yaxis} domain",
            x0=place,
            x1=place,
            y0=0,
            y1=1,
            line={"color": theme.warning, "width": 1.5, "dash": dash},
            name=f"turn of {name}",
        )
        figure.add_annotation(
            text=f"{words} {labels.step(step)}",
            x=place,
            xref="x",
            y=1,
            yref=f"{yaxis} domain",
            xanchor="left",
            yanchor="top",
            xshift=4,
            showarrow=False,
            font={"size": 11, "color": theme.warning},
            bgcolor=theme.background,
        )


def _layout(
    figure: Plain,
    frame: pd.DataFrame,
    values: pd.DataFrame,
    metric: tuple[str, str, bool],
    steps: np.ndarray,
    scale: StepScale,
    theme: Theme,
    mapped: "singular.Ratios | None",
) -> None:
    ends = domains()
    figure.update(
        xaxis=axis(steps, scale)
        | {"anchor": "y4", "showspikes": True, "spikemode": "across", "spikesnap": "hovered data"},
        yaxis={"domain": ends[0], "anchor": "x", "range": _value_axis(values, metric[2], scale)},
        yaxis2={"domain": ends[1], "anchor": "x", "range": _unit_range(frame)},
        yaxis3={"domain": ends[2], "anchor": "x", "type": "log"},
        yaxis4={"domain": ends[3], "anchor": "x", "showgrid": False},
    )
    entropies = frame[["singular_entropy", "centred_singular_entropy"]].to_numpy(dtype=float)
    tickvals, ticktext = parts.log_ticks(entropies)
    figure.update(yaxis3={"tickmode": "array", "tickvals": tickvals, "ticktext": ticktext})
    if mapped is not None:
        figure.update(yaxis4={"range": [mapped.ranks + 0.5, 0.5]} | singular.rank_ticks(mapped.ranks))
    else:
        figure.update(yaxis4={"range": [0, 1], "showticklabels": False})
    logarithmic = mapped is not None and singular.fitting_scale(mapped) == "log"
    titles = (
        metric[:2],
        ("Last-layer anisotropy", "mean cosine, dotted: centred"),
        ("Singular entropy", "nats, dotted: centred"),
        ("Singular values", "σ<sub>i</sub>/σ<sub>1</sub>" + (", log" if logarithmic else " by rank")),
    )
    measured = (
        values["value"].notna().any(),
        frame["anisotropy"].notna().any(),
        frame["singular_entropy"].notna().any(),
        mapped is not None,
    )
    for (text, unit), (low, high), here in zip(titles, ends, measured, strict=True):
        parts.add_title(figure, text, unit, high, theme)
        if not here:
            figure.add_annotation(
                text="not measured yet",
                x=0.5,
                xref="paper",
                y=(low + high) / 2,
                yref="paper",
                showarrow=False,
                font={"color": theme.muted},
            )


def _value_axis(frame: pd.DataFrame, higher_is_better: bool, scale: StepScale) -> list[float] | None:
    """The axis of the metric (`ranges.value_range`) over checkpoints that are not doubtful, down to the floor."""
    rows = frame[frame["value"].notna() & frame["doubtful"].isna()].sort_values("step")
    floors = frame["floor"].dropna()
    floor = None if floors.empty else float(floors.min())
    return value_range(rows["value"], higher_is_better=higher_is_better, floor=floor, scale=scale)


def _unit_range(frame: pd.DataFrame) -> list[float]:
    values = frame[["anisotropy", "centred_anisotropy"]].to_numpy(dtype=float)
    lowest = np.nanmin(values) if np.isfinite(values).any() else 0.0
    return [min(-0.03, float(lowest) - 0.03), 1.03]


def step_of_point(customdata: object) -> int | None:
    """The step that a clicked point of the figure carries."""
    value = customdata[0] if isinstance(customdata, list | tuple) and customdata else customdata
    return int(value) if isinstance(value, int | float) else None
