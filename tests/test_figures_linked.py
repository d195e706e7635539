"""The overview figure: four panels on one step axis, one cursor."""

import itertools
from dataclasses import replace

import figure_frames as frames
import numpy as np
import pytest

from saturation.figures import DARK, LIGHT, linked_figure, linked_table, singular
from saturation.figures.linked import domains, step_of_point


def by_name(figure, name):
    return [trace for trace in figure.data if trace.name == name]


@pytest.fixture
def figure():
    return linked_figure(frames.trajectory(floor=[2.5] * 5), frames.spectra(), cursor=4)


def test_every_trace_lies_on_the_one_step_axis(figure):
    assert {trace.xaxis or "x" for trace in figure.data} == {"x"}
    assert figure.layout.hoversubplots == "axis"
    assert [
        trace.yaxis or "y" for trace in figure.data if trace.name in ("loss", "anisotropy", "singular entropy")
    ] == [
        "y",
        "y2",
        "y3",
    ]
    assert by_name(figure, "singular values")[0].yaxis == "y4"


def test_panels_do_not_overlap_and_fill_the_paper():
    ends = domains()
    assert ends[0][1] == 1.0
    assert ends[-1][0] == pytest.approx(0.0, abs=1e-9)
    assert all(upper[0] > lower[1] for upper, lower in itertools.pairwise(ends))


def test_curves_carry_the_measured_values_and_units(figure):
    loss = by_name(figure, "loss")[0]
    assert list(loss.x) == list(frames.STEPS)
    assert list(loss.y) == list(frames.LOSSES)
    assert "nats/token" in loss.hovertemplate
    assert list(by_name(figure, "anisotropy, centred")[0].y) == pytest.approx(np.linspace(0.05, 0.25, 5))
    assert by_name(figure, "anisotropy, centred")[0].line.dash == "dot"
    assert figure.layout.yaxis3.type == "log"


def test_best_loss_is_marked(figure):
    best = by_name(figure, "best loss")[0]
    assert (list(best.x), list(best.y)) == ([4], [3.0])


def test_floor_is_a_dashed_line_at_the_exact_entropy(figure):
    floor = next(shape for shape in figure.layout.shapes if shape.name == "entropy floor")
    assert (floor.y0, floor.y1, floor.line.dash) == (2.5, 2.5, "dash")
    assert any("2.500" in note.text for note in figure.layout.annotations)


def test_without_a_floor_there_is_no_such_line():
    figure = linked_figure(frames.trajectory(), frames.spectra(), cursor=4)
    assert [shape.name for shape in figure.layout.shapes] == ["cursor"] * 8


def test_cursor_spans_all_panels_at_its_step_and_not_what_is_between_them(figure):
    lines = [shape for shape in figure.layout.shapes if shape.name == "cursor"]
    assert {(line.x0, line.x1, line.y0, line.y1, line.yref) for line in lines} == {
        (4.0, 4.0, 0, 1, f"{panel} domain") for panel in ("y", "y2", "y3", "y4")
    }
    assert any(note.text == "step 4" for note in figure.layout.annotations)


def test_cursor_follows_a_log_axis():
    figure = linked_figure(frames.trajectory(), frames.spectra(), cursor=1000, scale="log")
    line = next(shape for shape in figure.layout.shapes if shape.name == "cursor")
    assert line.x0 == pytest.approx(np.log10(1001))


def test_map_is_the_normalised_spectrum(figure):
    cells = by_name(figure, "singular values")[0]
    assert np.asarray(cells.z)[0].tolist() == [1.0] * 5
    assert np.asarray(cells.z)[:, 1].tolist() == pytest.approx([1, 3 / 8, 2 / 8, 1 / 8])
    assert (cells.zmin, cells.zmax) == (0, 1)


def test_doubtful_checkpoints_are_hollow_points_off_the_line():
    doubtful = [None, None, "same weights as step 1", None, None]
    figure = linked_figure(frames.trajectory(doubtful=doubtful), frames.spectra())
    assert list(by_name(figure, "loss")[0].x) == [0, 1, 4, 1000]
    hollow = by_name(figure, "doubtful")[0]
    assert (list(hollow.x), list(hollow.y), hollow.marker.symbol) == ([2], [4.0], "circle-open")
    assert "same weights as step 1" in hollow.text[0]


def test_best_loss_is_never_a_doubtful_one():
    frame = frames.trajectory(doubtful=[None, None, None, "wrong shard", None])
    assert list(by_name(linked_figure(frame, frames.spectra()), "best loss")[0].x) == [1000]


def test_loss_axis_shows_the_rise_and_leaves_the_first_descent_out():
    low, high = linked_figure(frames.trajectory(), frames.spectra()).layout.yaxis.range
    assert low < 3.0 < 3.3 < high < 4.0
    assert linked_figure(frames.trajectory(), frames.spectra(), scale="log").layout.yaxis.range[1] > 7.0


def test_loss_axis_reaches_down_to_the_floor():
    assert linked_figure(frames.trajectory(floor=[1.0] * 5), frames.spectra()).layout.yaxis.range[0] < 1.0


def test_another_metric_takes_the_place_of_the_loss():
    curve = frames.curve(values=(0.1, 0.2, 0.4, 0.3, 0.2))
    figure = linked_figure(frames.trajectory(), frames.spectra(), curve=curve, metric=("sciq acc", "", True))
    assert list(by_name(figure, "sciq acc")[0].y) == [0.1, 0.2, 0.4, 0.3, 0.2]
    assert (list(by_name(figure, "best sciq acc")[0].x), list(by_name(figure, "best sciq acc")[0].y)) == ([2], [0.4])
    assert any("<b>sciq acc</b>" in note.text for note in figure.layout.annotations)


def test_turns_are_marked_in_their_own_panels():
    figure = linked_figure(frames.trajectory(), frames.spectra(), turns={"performance": 4, "singular_entropy": 2})
    marks = {shape.name: (shape.x0, shape.yref) for shape in figure.layout.shapes if shape.name.startswith("turn")}
    assert marks == {"turn of performance": (4, "y domain"), "turn of singular_entropy": (2, "y3 domain")}
    assert {note.text for note in figure.layout.annotations} >= {"saturated since 4", "turns at 2"}


def test_panels_without_measurements_say_so():
    nothing = [np.nan] * 5
    frame = frames.trajectory(nats_per_token=nothing, anisotropy=nothing, centred_anisotropy=nothing)
    figure = linked_figure(frame, frames.spectra())
    assert [note.text for note in figure.layout.annotations].count("not measured yet") == 2


def test_nothing_measured_at_all():
    figure = linked_figure(frames.trajectory().iloc[:0], frames.spectra().iloc[:0])
    assert len(figure.data) == 0
    assert "Nothing is measured" in figure.layout.annotations[0].text


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_figure_carries_its_theme(theme):
    figure = linked_figure(frames.trajectory(), frames.spectra(), theme=theme)
    assert figure.layout.template.layout.paper_bgcolor == theme.background
    assert by_name(figure, "loss")[0].line.color == theme.loss


def test_table_has_one_row_per_checkpoint():
    table = linked_table(frames.trajectory())
    assert table["step"].tolist() == list(frames.STEPS)
    assert table["nats_per_token"].tolist() == list(frames.LOSSES)


@pytest.mark.parametrize(("data", "step"), [(1500, 1500), ([1500, "x"], 1500), (None, None), ("x", None)])
def test_step_of_a_clicked_point(data, step):
    assert step_of_point(data) == step


def test_a_map_that_would_be_dark_all_over_has_logarithmic_colours():
    flat = singular.ratios(frames.spectra())
    assert singular.fitting_scale(flat) == "linear"
    steep = replace(flat, values=np.array([[1.0, 1.0], [0.02, 0.1], [0.001, 0.01]]))
    assert singular.fitting_scale(steep) == "log"
