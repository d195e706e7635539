"""The playground's figure: points, bound, marks, axes, units, colours."""

import numpy as np
import pandas as pd
import pytest

from saturation.figures import DARK, LIGHT, playground_figure

GAPS = {1: 2.0, 2: 1.2, 3: 0.5, 4: 1e-8, 8: 2e-3}
TAILS = {1: 4.0, 2: 3.0, 3: 1.0, 4: 0.0, 8: 0.0}


def rows(**columns) -> pd.DataFrame:
    frame = pd.DataFrame({"width": list(GAPS), "gap": list(GAPS.values()), "tail": list(TAILS.values())})
    return frame.assign(rank=4, w_error=frame["tail"] / 5, **columns)


def named(figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


def test_measured_gaps_by_width_and_by_w_error() -> None:
    by_width, by_error = named(playground_figure(rows()), "measured gap")
    assert list(by_width.x) == [1, 2, 3, 4, 8]
    assert list(by_error.x) == pytest.approx([0.8, 0.6, 0.2, 0, 0])
    assert list(by_width.y) == list(by_error.y) == [2.0, 1.2, 0.5, 1e-4, 2e-3]
    assert (by_width.xaxis, by_width.yaxis, by_error.xaxis, by_error.yaxis) == ("x", "y", "x2", "y2")


def test_the_bound_is_dashed_and_ends_where_its_tail_does() -> None:
    by_width, by_error = named(playground_figure(rows(), 0.5, (1, 2)), "bound of theorem 5.3")
    for trace in (by_width, by_error):
        assert trace.line.dash == "dash"
        assert list(trace.y[:3]) == [2.0, 1.5, 0.5]
        assert np.isnan(trace.y[3:]).all()
    assert named(playground_figure(rows()), "bound of theorem 5.3") == []


def test_symbols_tell_fitted_exceeding_and_closed_widths() -> None:
    trace = named(playground_figure(rows(), 0.4, (1, 2)), "measured gap")[0]
    assert list(trace.marker.symbol) == ["circle-open", "circle-open", "x", "triangle-down", "circle"]
    assert list(trace.marker.color) == [LIGHT.loss, LIGHT.loss, LIGHT.warning, LIGHT.loss, LIGHT.loss]


def test_hover_gives_true_values_with_their_unit() -> None:
    words = named(playground_figure(rows(), 0.5, (1, 2)), "measured gap")[0].hovertext
    assert words[1] == "<b>width 2</b> of rank 4<br>gap 1.20 nats/token<br>bound 1.5<br>W-error 0.600"
    assert words[3] == "<b>width 4</b> of rank 4<br>gap 1.00e-08 nats/token<br>W-error 0.000"


def test_axes_and_lines() -> None:
    layout = playground_figure(rows()).layout
    assert (layout.xaxis.type, layout.yaxis.type, layout.yaxis2.type, layout.xaxis2.type) == ("log", "log", "log", None)
    assert layout.xaxis.title.text == "width d of the head (log)"
    assert layout.yaxis.title.text == "loss above the entropy (nats/token, log)"
    assert layout.xaxis2.title.text == "W-error"
    assert layout.yaxis2.matches == "y"
    assert list(layout.xaxis.tickvals) == [1, 2, 4, 8]
    low, high = layout.xaxis.range
    assert low < 0 < np.log10(8) < high
    low, high = layout.yaxis.range
    assert low < -4
    assert high > np.log10(2.0)
    (rank,) = [shape for shape in layout.shapes if shape.name == "rank"]
    assert (rank.x0, rank.x1, rank.y0, rank.y1) == (4, 4, 0, 1)
    closed = [shape for shape in layout.shapes if shape.name == "closed"]
    assert [(shape.y0, shape.y1, shape.yref) for shape in closed] == [(0.01, 0.01, "y"), (0.01, 0.01, "y2")]
    assert {note.text for note in layout.annotations} >= {"rank 4", "closed: 0.01"}


def test_the_bound_stays_on_the_axis() -> None:
    assert playground_figure(rows(), 100.0, (1, 2)).layout.yaxis.range[1] > np.log10(400.0)


def test_rows_in_any_order_and_one_legend_entry_each() -> None:
    figure = playground_figure(rows().iloc[::-1], 0.5, (1, 2))
    assert list(named(figure, "measured gap")[0].x) == [1, 2, 3, 4, 8]
    assert [trace.name for trace in figure.data if trace.showlegend] == ["bound of theorem 5.3", "measured gap"]


def test_theme() -> None:
    figure = playground_figure(rows(), 0.5, (1, 2), theme=DARK)
    assert figure.layout.template.layout.paper_bgcolor == DARK.background
    assert named(figure, "measured gap")[0].line.color == DARK.loss
    assert named(figure, "bound of theorem 5.3")[0].line.color == DARK.spectrum


def test_one_width_and_none() -> None:
    assert list(playground_figure(rows().iloc[:1]).layout.xaxis.tickvals) == [1]
    assert "No head is trained" in playground_figure(rows().iloc[:0]).layout.annotations[0].text
