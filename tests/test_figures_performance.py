"""Figures 1a and 1b: panels by size, all models on one axis, the shades of a line, loss against compute."""

import numpy as np
import pandas as pd
import pytest

from saturation.figures import DARK, LIGHT, curves, labels, loss_panels, metric_curves, scaling_figure, shades, theme
from saturation.figures.performance import is_logarithmic, panel_range, shown_models

STEPS = [0, 10, 20, 30, 40]
VALUES = {"small": [7.0, 4.0, 3.0, 3.2, 3.4], "large": [7.0, 3.5, 2.5, 2.2, 2.0]}


def curve(values=None, **columns) -> pd.DataFrame:
    """`small` turns at step 20, `large` falls to the end."""
    frames = []
    for place, (name, given) in enumerate((values or VALUES).items()):
        frames.append(
            pd.DataFrame(
                {
                    "family": "lab",
                    "model": name,
                    "step": STEPS[: len(given)],
                    "parameters": 1e6 * 10**place,
                    "hidden_size": 64.0 * 2**place,
                    "vocab_per_width": 16.0 / 2**place,
                    "peak_learning_rate": 1e-3 / 4**place,
                    "value": given,
                    "stderr": np.nan,
                    "floor": np.nan,
                    "doubtful": None,
                }
            )
        )
    return pd.concat(frames, ignore_index=True).assign(**columns)


def named(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def luminance(colour: str) -> float:
    return float(shades._rgb(colour).mean())


class TestPanels:
    def test_one_panel_a_model_smallest_on_top_on_one_step_axis(self):
        figure = loss_panels(curve())
        assert {trace.xaxis or "x" for trace in figure.data} == {"x"}
        assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]
        titles = [note.text for note in figure.layout.annotations]
        assert "<b>small</b>" in titles[0]
        assert "1M · loss (nats/token)" in titles[0]
        assert "<b>large</b>" in titles[1]
        assert figure.layout.xaxis.anchor == "y2"

    def test_points_carry_the_values_and_diamonds_mark_the_best(self):
        figure = loss_panels(curve())
        small, large = named(figure, "points")
        assert (list(small.x), list(small.y), list(small.customdata)) == (STEPS, VALUES["small"], STEPS)
        assert (small.yaxis, large.yaxis) == ("y", "y2")
        assert [(list(mark.x), list(mark.y)) for mark in named(figure, "best")] == [([20], [3.0]), ([40], [2.0])]
        assert {mark.marker.symbol for mark in named(figure, "best")} == {"diamond"}

    def test_best_of_an_accuracy_is_its_highest(self):
        figure = loss_panels(curve({"a": [0.1, 0.4, 0.3]}), higher_is_better=True, metric_title="sciq acc")
        assert list(named(figure, "best")[0].y) == [0.4]

    def test_nothing_is_best_where_the_direction_is_unknown(self):
        figure = loss_panels(curve(), higher_is_better=None)
        assert named(figure, "best") == []
        assert len({line.line.color for line in named(figure, "line") if line.yaxis == "y"}) == 1

    @pytest.mark.parametrize("look", [LIGHT, DARK], ids=lambda look: look.name)
    def test_the_line_stands_out_more_the_nearer_it_is_to_its_minimum(self, look):
        lines = [line for line in named(loss_panels(curve(), theme=look), "line") if line.yaxis == "y"]
        lowest = [np.nanmin(line.y) for line in lines]
        paper = luminance(look.background)
        contrast = [abs(luminance(line.line.color) - paper) for line in lines]
        assert len(lines) > 3
        assert np.argsort(lowest)[::-1].tolist() == np.argsort(contrast).tolist()

    def test_each_panel_shows_the_rise_and_cuts_the_first_descent(self):
        figure = loss_panels(curve())
        low, high = figure.layout.yaxis.range
        assert low < 3.0 < 3.4 < high < 4.0
        low, high = figure.layout.yaxis2.range
        assert low < 2.0 < high < 3.0

    def test_an_accuracy_is_cut_below(self):
        rows = curve({"a": [0.0, 0.7, 0.8, 0.78]})
        low, high = panel_range(rows, "linear", True, False)
        assert 0.6 < low < 0.78 < 0.8 < high < 0.85

    def test_a_perplexity_has_a_log_axis_in_exponents(self):
        rows = curve({"a": [1e6, 200.0, 30.0, 40.0]})
        figure = loss_panels(rows)
        assert figure.layout.yaxis.type == "log"
        low, high = figure.layout.yaxis.range
        assert low < np.log10(30) < np.log10(40) < high < 4
        assert np.nanmin(np.concatenate([line.y for line in named(figure, "line")])) == pytest.approx(30.0)

    @pytest.mark.parametrize(
        ("values", "higher", "log"),
        [([11, 4.4], False, False), ([1e6, 80], False, True), ([0.0, 0.4], True, False), ([1e6, 80], None, False)],
    )
    def test_which_metrics_are_logarithmic(self, values, higher, log):
        assert is_logarithmic(pd.DataFrame({"value": values}), higher) is log

    def test_doubtful_points_are_hollow_and_off_the_line(self):
        doubt = [None, None, "same weights as step 10", None, None]
        figure = loss_panels(curve({"small": VALUES["small"]}, doubtful=doubt))
        hollow = named(figure, "doubtful")[0]
        assert (list(hollow.x), list(hollow.y), hollow.marker.symbol) == ([20], [3.0], "circle-open")
        assert list(named(figure, "best")[0].x) == [30]
        assert 20 not in named(figure, "points")[0].x

    def test_floor_is_dashed_and_inside_the_panel(self):
        figure = loss_panels(curve(floor=1.5))
        floors = [shape for shape in figure.layout.shapes if shape.name == "entropy floor"]
        assert [(line.y0, line.y1, line.yref, line.line.dash) for line in floors] == [
            (1.5, 1.5, "y", "dash"),
            (1.5, 1.5, "y2", "dash"),
        ]
        assert figure.layout.yaxis2.range[0] < 1.5
        assert sum("1.500" in note.text for note in figure.layout.annotations) == 1

    def test_onset_and_cursor_follow_the_log_axis(self):
        figure = loss_panels(curve(), onsets={"small": 30}, cursor=40, scale="log")
        places = {shape.name: (shape.x0, shape.yref) for shape in figure.layout.shapes}
        assert places["onset"] == (pytest.approx(np.log10(31)), "y domain")
        assert places["cursor"] == (pytest.approx(np.log10(41)), "paper")
        assert any(note.text == "saturated since 30" for note in figure.layout.annotations)

    def test_the_words_of_an_onset_keep_clear_of_the_best_value(self):
        places = {}
        for up in (False, True):
            figure = loss_panels(curve({"a": [0.4, 0.5, 0.3]}), onsets={"a": 20}, higher_is_better=up)
            places[up] = next(note.y for note in figure.layout.annotations if note.name == "onset")
        assert places == {False: 1, True: 0}

    def test_hover_tells_the_standard_error_where_there_is_one(self):
        point = named(loss_panels(curve({"a": [0.5, 0.6]}, stderr=[0.012, np.nan]), higher_is_better=True), "points")[0]
        assert list(point.text) == [" ± 0.0120", ""]
        assert "%{text}" in point.hovertemplate

    def test_a_crowd_of_models_is_thinned_and_said(self):
        figure = loss_panels(curve({f"m{number:02}": [5.0, 4.0] for number in range(30)}))
        assert len(named(figure, "points")) == 12
        assert any("12 of 30 models" in note.text for note in figure.layout.annotations)
        assert shown_models({str(n): n for n in range(30)})[::11] == ["0", "29"]

    def test_nothing_known(self):
        assert "No loss (nats/token)" in loss_panels(curve().iloc[:0]).layout.annotations[0].text

    def test_ten_models_of_154_checkpoints_are_light(self):
        steps = [0, *(2**power for power in range(10)), *range(1000, 144_000, 1000)]
        rows = [
            pd.DataFrame({"model": f"m{n}", "step": steps, "value": 11 - np.log1p(steps) / 2, "parameters": 10.0**n})
            for n in range(6, 16)
        ]
        frame = pd.concat(rows, ignore_index=True)
        frame = frame.assign(family="x", stderr=np.nan, floor=np.nan, doubtful=None)
        figure = loss_panels(frame)
        assert len(figure.data) <= 90
        assert len(figure.to_json()) < 200_000


class TestShades:
    def test_parts_meet_at_the_borders_and_keep_every_point(self):
        x, y = np.arange(5.0), np.array([4.0, 0.0, 1.0, 3.0, 2.0])
        found = list(shades.split(x, y, near=0.0, far=4.0))
        assert [near for near, _ in found] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
        for near, (_, heights) in found:
            place = round((1 - near) * 5)
            inside = heights[~np.isnan(heights)]
            assert inside.min() >= place * 4 / 6 - 1e-12
            assert inside.max() <= (place + 1) * 4 / 6 + 1e-12
        drawn = sum(float(np.nansum(np.abs(np.diff(heights)))) for _, (_, heights) in found)
        assert drawn == pytest.approx(np.abs(np.diff(y)).sum())

    def test_one_point_or_a_flat_line_is_one_shade(self):
        x = np.arange(3.0)
        assert [near for near, _ in shades.split(x, np.ones(3), 1.0, 1.0)] == [1.0]
        assert [near for near, _ in shades.split(x[:1], x[:1], 0.0, 1.0)] == [1.0]

    def test_mixing_by_hand(self):
        ink, paper = shades._rgb(LIGHT.text), shades._rgb(LIGHT.background)
        own = np.array([100.0, 0.0, 200.0])
        assert (
            shades._rgb(shades.mixed("rgb(100,0,200)", 1.0, LIGHT)).tolist()
            == np.round(0.78 * own + 0.22 * ink).tolist()
        )
        assert shades._rgb(shades.mixed("#6400c8", 0.0, LIGHT)).tolist() == np.round(0.36 * own + 0.64 * paper).tolist()


class TestCurves:
    def test_all_models_on_one_axis_with_units(self):
        figure = metric_curves(curve(), cursor=20)
        assert [trace.name for trace in figure.data] == ["small · 1M", "large · 10M"]
        assert list(figure.data[1].y) == VALUES["large"]
        assert figure.layout.yaxis.title.text == "loss (nats/token)"
        assert figure.layout.yaxis.range[0] < 2.0

    def test_a_perplexity_is_logarithmic(self):
        figure = metric_curves(curve({"a": [1e6, 30.0], "b": [1e6, 300.0]}), metric_title="lambada perplexity")
        assert (figure.layout.yaxis.type, figure.layout.yaxis.title.text) == ("log", "lambada perplexity, log")

    @pytest.mark.parametrize(
        ("by", "names"),
        [
            ("parameters", ["small · 1M", "large · 10M"]),
            ("hidden_size", ["small · d=64", "large · d=128"]),
            ("vocab_per_width", ["large · V/d 8", "small · V/d 16"]),
            ("peak_learning_rate", ["large · lr 2.5e-4", "small · lr 1e-3"]),
        ],
    )
    def test_colours_follow_what_is_asked(self, by, names):
        figure = metric_curves(curve(), by=by)
        assert [trace.name for trace in figure.data] == names
        low, high = (theme.sample_colorscale("plasma", [edge])[0] for edge in LIGHT.plasma)
        assert [trace.line.color for trace in figure.data] == [low, high]

    def test_models_without_the_quantity_are_muted_and_say_so(self):
        frame = curve()
        frame.loc[frame["model"] == "small", "peak_learning_rate"] = np.nan
        figure = metric_curves(frame, by="peak_learning_rate")
        colours = {trace.name: trace.line.color for trace in figure.data}
        assert colours["small · lr unknown"] == LIGHT.muted
        assert colours["large · lr 2.5e-4"] != LIGHT.muted

    def test_a_column_that_is_not_there_is_an_unknown_quantity(self):
        figure = metric_curves(curve().drop(columns="hidden_size"), by="hidden_size")
        assert {trace.line.color for trace in figure.data} == {LIGHT.muted}
        assert {trace.line.dash for trace in figure.data} == {"solid", "dash"}

    def test_extent_of_what_colours_cover(self):
        frame = curve()
        assert curves.extent(frame, "hidden_size") == (64, 128)
        assert curves.extent(frame.assign(hidden_size=np.nan), "hidden_size") is None

    @pytest.mark.parametrize(("rate", "text"), [(1e-3, "1e-3"), (2.5e-4, "2.5e-4"), (1.2e-4, "1.2e-4"), (0.01, "1e-2")])
    def test_learning_rates(self, rate, text):
        assert labels.rate(rate) == text


class TestScaling:
    points = pd.DataFrame(
        {
            "model": ["a", "b"],
            "parameters": [1e6, 1e8],
            "best_step": [5, 9],
            "best_tokens": [1e9, 2e9],
            "best_loss": [4.0, 3.0],
            "best_flops": [6e15, 1.2e18],
            "final_step": [10, 10],
            "final_tokens": [2e9, 2.2e9],
            "final_loss": [4.2, 3.01],
            "final_flops": [1.2e16, 1.32e18],
            "best_distance": [0.04, -0.001],
            "final_distance": [0.08, 0.0],
            "fitted": ["", "final"],
        }
    )
    law = pd.DataFrame(
        {
            "which": ["best", "best", "final", "final"],
            "parameters": [1e6, 1e8] * 2,
            "flops": [6e15, 1.2e18, 1.2e16, 1.32e18],
            "loss": [3.85, 3.003, 3.9, 3.01],
            "low": [3.7, 2.9, 3.8, 2.95],
            "high": [4.0, 3.1, 4.0, 3.07],
        }
    )

    def test_best_is_filled_final_open_and_both_are_joined(self):
        figure = scaling_figure(self.points, self.law)
        first = named(figure, "a")[0]
        assert (list(first.x), list(first.y)) == ([6e15, 1.2e16], [4.0, 4.2])
        assert list(first.marker.symbol) == ["circle", "circle-open"]
        assert first.mode == "lines+markers+text"
        assert list(first.text) == ["", "a"]

    def test_axes_and_hover_have_units(self):
        figure = scaling_figure(self.points, self.law)
        assert figure.layout.xaxis.type == "log"
        assert "FLOPs, estimated as 6 N T" in figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text == "loss (nats/token)"
        best, final = named(figure, "a")[0].hovertext
        assert "loss 4.0000 nats/token<br>N 1M parameters, T 1B tokens<br>4.00 % above the law" in best
        assert "final checkpoint, step 10" in final
        assert "0.10 % below the law" in named(figure, "b")[0].hovertext[0]
        assert named(figure, "b")[0].hovertext[1].endswith("the law, used in the fit")

    def test_law_is_solid_at_final_tokens_and_dashed_at_best_ones(self):
        figure = scaling_figure(self.points, self.law)
        solid, dashed = named(figure, "law, final tokens")[0], named(figure, "law, best tokens")[0]
        assert (list(solid.y), solid.line.dash) == ([3.9, 3.01], "solid")
        assert (list(dashed.x), dashed.line.dash) == ([6e15, 1.2e18], "dash")
        band = named(figure, "95 % band")[0]
        assert list(band.y) == [4.0, 3.07, 2.95, 3.8]

    def test_without_uncertainty_there_is_no_band(self):
        figure = scaling_figure(self.points, self.law.assign(low=np.nan, high=np.nan))
        assert named(figure, "95 % band") == []

    def test_a_ring_marks_what_the_law_was_fitted_to(self):
        ring = named(scaling_figure(self.points, self.law), "in the fit")[0]
        assert (list(ring.x), list(ring.y)) == ([1.32e18], [3.01])

    def test_all_points_are_in_view(self):
        figure = scaling_figure(self.points, self.law)
        low, high = figure.layout.yaxis.range
        assert low < 3.0 < 4.2 < high
        low, high = figure.layout.xaxis.range
        assert low < np.log10(6e15) < np.log10(1.32e18) < high

    def test_points_alone_where_no_law_can_be_fitted(self):
        plain = self.points.drop(columns=["best_distance", "final_distance", "fitted"])
        figure = scaling_figure(plain)
        assert [trace.name for trace in figure.data] == ["a", "b", "best", "final"]
        assert "law" not in figure.data[0].hovertext[0]

    def test_nothing_known(self):
        assert "No loss" in scaling_figure(self.points.iloc[:0]).layout.annotations[0].text
