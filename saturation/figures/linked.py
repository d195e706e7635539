"""One model's training on one step axis: loss, last-layer anisotropy, singular entropy, singular-value map."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from saturation.figures import parts, singular
from saturation.figures.curves import CROWD
from saturation.figures.ranges import value_range
from saturation.figures.steps import StepScale, axis, positions
from saturation.figures.theme import LIGHT, Theme

PANELS = ("loss", "anisotropy", "entropy", "map")
SHARES = (0.27, 0.2, 0.2, 0.33)
GAP = 0.062
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


def linked_figure(
    trajectory: pd.DataFrame,
    spectra: pd.DataFrame,
    *,
    cursor: int | None = None,
    scale: StepScale = "linear",
    ranks: int | None = singular.PAPER_RANKS,
    theme: Theme = LIGHT,
) -> go.Figure:
    """The overview figure of one model.

    `trajectory`: rows of one model (`queries.trajectory`); `spectra`: `queries.spectra` of the same model.
    Loss is in nats per token, anisotropy a mean cosine, singular entropy in nats. Doubtful checkpoints are
    drawn hollow and left out of the lines. Hovering shows all panels at one step.
    """
    if trajectory.empty and spectra.empty:
        return parts.empty(theme, "Nothing is measured for this model yet.", HEIGHT // 2)
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
    _loss(figure, trajectory, scale, theme)
    _pair(figure, trajectory, "anisotropy", "y2", scale, theme.anisotropy)
    _pair(figure, trajectory, "singular_entropy", "y3", scale, theme.spectrum)
    mapped = singular.ratios(spectra, ranks=ranks)
    if mapped is not None:
        cells = singular.heatmap(mapped, scale, theme, top=domains()[3][1])
        figure.add_trace(cells.update(yaxis="y4", hoverinfo="skip", hovertemplate=None))
    _marks(figure, trajectory, mapped, scale, theme)
    steps = np.concatenate([trajectory["step"].to_numpy(), spectra["step"].to_numpy()])
    _layout(figure, trajectory, steps, scale, theme, mapped)
    parts.add_cursor(figure, cursor, scale, theme)
    return figure


def linked_table(trajectory: pd.DataFrame) -> pd.DataFrame:
    """The numbers behind the curves of the overview figure, one row per checkpoint."""
    columns = [
        *("family", "model", "step", "nats_per_token", "anisotropy", "centred_anisotropy"),
        *("singular_entropy", "centred_singular_entropy", "floor", "text_id", "doubtful"),
    ]
    return trajectory[columns].reset_index(drop=True)


def _line(frame: pd.DataFrame, column: str, scale: StepScale, *, markers: bool = True, **trace: Any) -> go.Scatter:
    kept = frame[frame[column].notna() & frame["doubtful"].isna()]
    return go.Scatter(
        x=positions(kept["step"], scale),
        y=kept[column].to_numpy(dtype=float),
        customdata=kept["step"].to_numpy(dtype=np.int64),
        mode="lines+markers",  # plotly lets only markers be clicked: where they would crowd, they are unseen
        marker={"size": 4, "opacity": 1 if markers and len(kept) <= CROWD else 0},
        unselected={"marker": {"opacity": 0}},
        **trace,
    )


def _hollow(figure: go.Figure, frame: pd.DataFrame, column: str, yaxis: str, scale: StepScale, colour: str) -> None:
    doubtful = frame[frame[column].notna() & frame["doubtful"].notna()]
    if doubtful.empty:
        return
    figure.add_trace(
        go.Scatter(
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


def _loss(figure: go.Figure, frame: pd.DataFrame, scale: StepScale, theme: Theme) -> None:
    figure.add_trace(
        _line(
            frame,
            "nats_per_token",
            scale,
            name="loss",
            yaxis="y",
            line={"color": theme.loss, "width": 2},
            hovertemplate="loss %{y:.4f} nats/token<extra></extra>",
        )
    )
    _hollow(figure, frame, "nats_per_token", "y", scale, theme.warning)
    sure = frame[frame["nats_per_token"].notna() & frame["doubtful"].isna()]
    if not sure.empty:
        best = sure.iloc[int(sure["nats_per_token"].argmin())]
        figure.add_trace(
            go.Scatter(
                x=positions([best["step"]], scale),
                y=[float(best["nats_per_token"])],
                yaxis="y",
                mode="markers",
                marker={"symbol": "diamond", "size": 10, "color": theme.spectrum},
                hoverinfo="skip",
                name="best loss",
            )
        )
    floors = frame["floor"].dropna().unique()
    if len(floors) == 1:
        figure.add_hline(
            y=float(floors[0]),
            line={"color": theme.anisotropy, "width": 1.5, "dash": "dash"},
            name="entropy floor",
        )
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
        )


def _pair(figure: go.Figure, frame: pd.DataFrame, column: str, yaxis: str, scale: StepScale, colour: str) -> None:
    """A measure and its centred counterpart: solid, and dotted."""
    word = column.replace("_", " ")
    for name, dash, label in ((column, "solid", word), (f"centred_{column}", "dot", f"{word}, centred")):
        figure.add_trace(
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


def _marks(
    figure: go.Figure, frame: pd.DataFrame, mapped: singular.Ratios | None, scale: StepScale, theme: Theme
) -> None:
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


def _layout(
    figure: go.Figure,
    frame: pd.DataFrame,
    steps: np.ndarray,
    scale: StepScale,
    theme: Theme,
    mapped: "singular.Ratios | None",
) -> None:
    ends = domains()
    figure.update_layout(
        xaxis=axis(steps, scale)
        | {"anchor": "y4", "showspikes": True, "spikemode": "across", "spikesnap": "hovered data"},
        yaxis={"domain": ends[0], "anchor": "x", "range": loss_range(frame, scale)},
        yaxis2={"domain": ends[1], "anchor": "x", "range": _unit_range(frame)},
        yaxis3={"domain": ends[2], "anchor": "x", "type": "log"},
        yaxis4={"domain": ends[3], "anchor": "x", "showgrid": False},
    )
    values = frame[["singular_entropy", "centred_singular_entropy"]].to_numpy(dtype=float)
    tickvals, ticktext = parts.log_ticks(values)
    figure.update_layout(yaxis3={"tickmode": "array", "tickvals": tickvals, "ticktext": ticktext})
    if mapped is not None:
        figure.update_layout(yaxis4={"range": [mapped.ranks + 0.5, 0.5]} | singular.rank_ticks(mapped.ranks))
    else:
        figure.update_layout(yaxis4={"range": [0, 1], "showticklabels": False})
    titles = (
        ("Loss", "nats per token"),
        ("Last-layer anisotropy", "mean cosine, dotted: centred"),
        ("Singular entropy", "nats, dotted: centred"),
        ("Singular values", "σ<sub>i</sub>/σ<sub>1</sub> by rank"),
    )
    measured = (
        frame["nats_per_token"].notna().any(),
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


def loss_range(frame: pd.DataFrame, scale: StepScale = "linear") -> list[float] | None:
    """The loss axis (`ranges.value_range`) of the checkpoints that are not doubtful, down to the text's floor."""
    rows = frame[frame["nats_per_token"].notna() & frame["doubtful"].isna()].sort_values("step")
    floors = frame["floor"].dropna()
    return value_range(rows["nats_per_token"], floor=None if floors.empty else float(floors.min()), scale=scale)


def _unit_range(frame: pd.DataFrame) -> list[float]:
    values = frame[["anisotropy", "centred_anisotropy"]].to_numpy(dtype=float)
    lowest = np.nanmin(values) if np.isfinite(values).any() else 0.0
    return [min(-0.03, float(lowest) - 0.03), 1.03]


def step_of_point(customdata: object) -> int | None:
    """The step that a clicked point of the figure carries."""
    value = customdata[0] if isinstance(customdata, list | tuple) and customdata else customdata
    return int(value) if isinstance(value, int | float) else None
