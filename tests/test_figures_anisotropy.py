"""Layer map, curves by depth, last layer along training, and the stand-alone page."""

import figure_frames as frames
import numpy as np
import pandas as pd
import pytest

from saturation.figures import (
    DARK,
    at_norm,
    coloured_panels,
    coloured_table,
    depth_curves,
    depth_panels,
    depth_table,
    last_layer_curves,
    layer_map,
)
from saturation.figures.ranges import value_range


@pytest.fixture
def two():
    return pd.concat(
        [frames.layers("small", 1e4), frames.layers("big", 1e6, steps=(0, 100), count=4)], ignore_index=True
    )


def test_map_has_layers_as_rows_and_steps_as_columns():
    trace = layer_map(frames.layers()).data[0]
    assert np.asarray(trace.z).shape == (3, 5)
    assert np.asarray(trace.z)[2].tolist() == pytest.approx([0.2, 0.21, 0.22, 0.23, 0.24])
    assert list(trace.y) == [-0.5, 0.5, 1.5, 2.5]
    assert list(trace.x) == [-0.5, 0.5, 1.5, 3, 502, 1498]
    assert (trace.zmin, trace.zmax) == (0, 1)
    assert trace.colorscale[0][1] == "#440154"


def test_map_hover_names_layer_step_and_unit():
    trace = layer_map(frames.layers(), scale="log").data[0]
    assert "mean cosine %{z:.4f}" in trace.hovertemplate
    assert "of 2" in trace.hovertemplate
    assert np.asarray(trace.customdata)[1].tolist() == list(frames.STEPS)


def test_centred_map_draws_the_centred_column():
    trace = layer_map(frames.layers(), centred=True).data[0]
    assert np.asarray(trace.z)[2, 0] == pytest.approx(0.1)


def test_curves_by_depth_take_each_model_at_its_nearest_step(two):
    figure = depth_curves(two, 4)
    small, big = figure.data
    assert (small.name, big.name) == ("small · 10k", "big · 1M (step 0)")
    assert list(small.x) == [0, 0.5, 1]
    assert list(small.y) == pytest.approx([0.03, 0.13, 0.23])
    assert list(big.x) == [0, 0.25, 0.5, 0.75, 1]


def test_depth_table_is_what_the_curves_show(two):
    table = depth_table(two, 4)
    assert table.groupby("model")["step"].first().to_dict() == {"small": 4, "big": 0}
    assert len(table) == 3 + 5


def test_depth_axis_is_the_papers():
    figure = depth_curves(frames.layers(), 0)
    assert figure.layout.xaxis.title.text == "layer depth"
    assert figure.layout.xaxis.range[0] < 0 < 1 < figure.layout.xaxis.range[1]


def test_last_layer_keeps_doubtful_points_off_the_line():
    frame = frames.trajectory(doubtful=[None, "copy", None, None, None])
    line, hollow = last_layer_curves(frame).data
    assert list(line.x) == [0, 2, 4, 1000]
    assert (list(hollow.x), hollow.marker.symbol, hollow.showlegend) == ([1], "circle-open", False)


def test_negative_cosines_stay_on_the_axis():
    figure = last_layer_curves(frames.trajectory(anisotropy=[-0.2, 0, 0.1, 0.1, 0.2]))
    assert figure.layout.yaxis.range[0] < -0.2


@pytest.mark.parametrize("draw", [layer_map, lambda frame, **rest: depth_curves(frame, 0, **rest)])
def test_nothing_measured(draw):
    figure = draw(frames.layers().iloc[:0], theme=DARK)
    assert "No anisotropy" in figure.layout.annotations[0].text


class TestFilm:
    def test_each_frame_moves_the_line_and_the_profile(self):
        figure = layer_map(frames.layers(), cursor=2)
        assert [frame.name for frame in figure.frames] == ["0", "1", "2", "4", "1000"]
        for place, frame in enumerate(figure.frames):
            line, profile = frame.data
            assert frame.traces == (1, 2)
            assert list(line.x) == [frames.STEPS[place]] * 2
            assert list(profile.x) == pytest.approx([0.1 * layer + 0.01 * place for layer in range(3)])
            assert profile.name == f"step {frames.STEPS[place]:,}"
        assert [step.label for step in figure.layout.sliders[0].steps] == ["0", "1", "2", "4", "1,000"]

    def test_it_starts_at_the_cursor_and_keeps_first_and_last(self):
        figure = layer_map(frames.layers(), cursor=2)
        _, line, profile, first, last, *_ = figure.data
        assert list(line.x) == [2, 2]
        assert list(profile.x) == pytest.approx([0.02, 0.12, 0.22])
        assert list(profile.y) == [0, 1, 2]
        assert (first.name, last.name) == ("first, step 0", "last, step 1,000")
        assert figure.layout.sliders[0].active == 2
        assert figure.layout.xaxis2.title.text == "mean cosine"

    def test_long_runs_are_thinned_to_what_a_film_shows_with_the_cursor_in_it(self):
        figure = layer_map(frames.layers(steps=tuple(range(400))), cursor=201)
        names = [int(frame.name) for frame in figure.frames]
        assert len(names) in (80, 81)
        assert {0, 201, 399} <= set(names)
        assert names == sorted(set(names))


class TestNorm:
    def test_before_the_norm_replaces_the_last_layer_only(self):
        layers = frames.layers()
        before = frames.trajectory(
            anisotropy_before_norm=[0.5, 0.6, 0.7, 0.8, 0.9], centred_anisotropy_before_norm=[0.4, 0.3, 0.2, 0.1, 0.0]
        )
        shown = at_norm(layers, before, "before")
        assert list(shown.columns) == list(layers.columns)
        last = shown["layer"] == 2
        assert shown.loc[last, "anisotropy"].tolist() == [0.5, 0.6, 0.7, 0.8, 0.9]
        assert shown.loc[last, "centred_anisotropy"].tolist() == [0.4, 0.3, 0.2, 0.1, 0.0]
        pd.testing.assert_frame_equal(shown[~last], layers[layers["layer"] < 2])
        assert at_norm(layers, before, "after") is layers

    def test_last_layer_curves_draw_the_state_before_the_norm(self):
        before = frames.trajectory(anisotropy_before_norm=[0.5, 0.6, 0.7, 0.8, 0.9])
        assert list(last_layer_curves(before, before_norm=True).data[0].y) == [0.5, 0.6, 0.7, 0.8, 0.9]


class TestColouredByAnisotropy:
    """Figure 3 of the paper."""

    curve = frames.curve("small", 1e4, values=(7.0, 6.0, 4.0, 3.0, 3.3))
    cosines = frames.trajectory("small", 1e4, steps=(0, 1, 2, 4), anisotropy=[0.1, 0.2, 0.6, 0.9])

    def test_points_carry_the_cosine_of_their_own_step(self):
        table = coloured_table(self.curve, self.cosines)
        assert table["anisotropy"].fillna(-1).tolist() == [0.1, 0.2, 0.6, 0.9, -1]
        figure = coloured_panels(table, "loss (nats/token)")
        line, coloured, ring = figure.data
        assert list(line.y) == [7.0, 6.0, 4.0, 3.0, 3.3]
        assert list(coloured.x) == [0, 1, 2, 4]
        assert list(coloured.marker.color) == [0.1, 0.2, 0.6, 0.9]
        assert (list(ring.x), ring.marker.symbol) == ([1000], "circle-open")

    def test_the_scale_is_viridis_from_nought_to_one(self):
        shared = coloured_panels(coloured_table(self.curve, self.cosines), "loss (nats/token)").layout.coloraxis
        assert (shared.cmin, shared.cmax) == (0, 1)
        assert shared.colorscale[0][1] == "#440154"
        assert shared.colorscale[-1][1] == "#fde725"

    def test_one_panel_a_model_smallest_first_on_one_step_axis(self):
        table = pd.concat(
            [coloured_table(frames.curve("big", 1e6), self.cosines), coloured_table(self.curve, self.cosines)]
        )
        figure = coloured_panels(table, "loss (nats/token)", cursor=4)
        assert [(trace.name, trace.xaxis) for trace in figure.data if trace.mode == "lines"] == [
            ("small", "x"),
            ("big", "x2"),
        ]
        assert figure.layout.xaxis2.matches == "x"
        assert [shape.x0 for shape in figure.layout.shapes if shape.name == "cursor"] == [4, 4]
        words = " ".join(note.text for note in figure.layout.annotations)
        assert "loss (nats/token)" in words
        assert "small · 10k" in words

    @pytest.mark.parametrize("models", [1, 2, 3, 4, 5, 7, 10, 12])
    def test_any_number_of_models_has_room(self, models):
        curve = pd.concat([frames.curve(f"m{index}", 10.0**index) for index in range(models)])
        figure = coloured_panels(coloured_table(curve, self.cosines), "loss")
        boxes = [
            (tuple(figure.layout[f"xaxis{number}"].domain), tuple(figure.layout[f"yaxis{number}"].domain))
            for number in ["", *range(2, models + 1)]
        ]
        assert len(set(boxes)) == models

    def test_doubtful_checkpoints_are_crosses_off_the_line(self):
        curve = frames.curve("small", 1e4, doubtful=[None, None, None, "same weights as step 2", None])
        line, *points = coloured_panels(coloured_table(curve, self.cosines), "loss").data
        assert list(line.x) == [0, 1, 2, 1000]
        assert [list(trace.x) for trace in points if trace.marker.symbol == "x"] == [[4]]

    def test_the_floor_is_drawn_where_the_text_has_one(self):
        curve = frames.curve("small", 1e4, floor=2.5)
        figure = coloured_panels(coloured_table(curve, self.cosines), "loss")
        assert [(shape.y0, shape.y1) for shape in figure.layout.shapes if shape.name == "entropy floor"] == [(2.5, 2.5)]
        assert figure.layout.yaxis.range[0] < 2.5

    def test_nothing_to_show_is_said(self):
        table = coloured_table(self.curve.iloc[:0], self.cosines)
        assert "Nothing of this metric" in coloured_panels(table, "loss").layout.annotations[0].text


class TestFamiliesSideBySide:
    """Figure 2 of the paper."""

    rows = pd.concat(
        [
            frames.layers("a", 1e8, steps=(5,)).assign(family="gpt2"),
            frames.layers("b", 1e10, steps=(5,), count=4).assign(family="opt"),
        ]
    )

    def test_one_panel_a_family_and_one_line_a_model(self):
        figure = depth_panels(self.rows)
        first, second, scale = figure.data
        assert (list(first.x), list(second.x)) == ([0, 0.5, 1], [0, 0.25, 0.5, 0.75, 1])
        assert (first.xaxis, second.xaxis) == ("x", "x2")
        assert list(first.y) == pytest.approx([0.0, 0.1, 0.2])
        assert figure.layout.yaxis2.range[1] >= 1
        assert figure.layout.xaxis.title.text == "layer depth"
        assert (scale.marker.cmin, scale.marker.cmax) == (8, 10)
        assert list(scale.marker.colorbar.ticktext) == ["100M", "1B", "10B"]

    def test_the_colour_bar_and_the_lines_agree(self):
        first, second, scale = depth_panels(self.rows).data
        assert first.line.color == scale.marker.colorscale[0][1]
        assert second.line.color == scale.marker.colorscale[-1][1]

    def test_mean_centred(self):
        assert list(depth_panels(self.rows, centred=True).data[0].y) == pytest.approx([0.0, 0.05, 0.1])


class TestRange:
    def test_a_late_rise_fills_the_axis(self):
        low, high = value_range([11.0, 5.0, 4.0, 4.2])
        assert (low, high) == pytest.approx((4.0 - 0.07, 4.875 + 0.07))

    def test_an_accuracy_is_the_same_upside_down(self):
        low, high = value_range([-11.0, -5.0, -4.0, -4.2], higher_is_better=True)
        assert (-high, -low) == pytest.approx(tuple(value_range([11.0, 5.0, 4.0, 4.2])))

    def test_a_floor_and_a_log_axis_widen_it(self):
        assert value_range([11.0, 4.0], floor=3.0)[0] < 3.0
        assert value_range([11.0, 5.0, 4.0], scale="log")[1] > 11.0

    def test_without_values_there_is_none(self):
        assert value_range([float("nan")]) is None
