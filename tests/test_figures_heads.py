"""Figures 6 to 9 from frames made by hand: traces, axes, units, colours."""

import numpy as np
import pandas as pd
import pytest

from saturation.figures import (
    DARK,
    LIGHT,
    heads_by_rank,
    learning_rates,
    loss_by_w_error,
    ngram_curves,
    theme,
    truncated_along_training,
)

RANKS = [1, 2, 4]


def table() -> pd.DataFrame:
    """Two models of width 4: at rank r the trained head loses 1/r more than its own, the truncated one 2/r."""
    rows = []
    for model, own, size in (("small", 4.0, 1e6), ("large", 3.0, 1e8)):
        common = {"family": "lab", "model": model, "step": 10, "parameters": size, "hidden_size": 4}
        common |= {"text_name": "t", "tokens": 9, "learning_rate": np.nan, "spread": np.nan}
        for kind, lost in (("trained", 1.0), ("truncated", 2.0)):
            rows += [
                common
                | {"kind": kind, "rank": rank, "w_error": 1 - rank / 4}
                | {"nats_per_token": own + (lost / rank if rank < 4 else 0), "accuracy": 0.1 * rank}
                for rank in RANKS
            ]
        rows.append(common | {"kind": "own", "rank": 4, "w_error": 0.0, "nats_per_token": own, "accuracy": 0.5})
    return pd.DataFrame(rows)


def lines(figure, dash: str) -> list:
    return [trace for trace in figure.data if trace.line.dash == dash and trace.x[0] is not None]


class TestByRank:
    def test_solid_is_trained_dashed_truncated_dotted_the_models_own(self) -> None:
        figure = heads_by_rank(table())
        solid, dashed, dotted = (lines(figure, dash) for dash in ("solid", "dash", "dot"))
        assert [list(trace.y) for trace in solid] == [[5.0, 4.5, 4.0], [4.0, 3.5, 3.0]]
        assert [list(trace.y) for trace in dashed] == [[6.0, 5.0, 4.0], [5.0, 4.0, 3.0]]
        assert [(list(trace.x), list(trace.y)) for trace in dotted] == [([1, 4], [4, 4]), ([1, 4], [3, 3])]
        assert all(list(trace.x) == RANKS for trace in solid + dashed)

    def test_one_colour_and_one_legend_entry_a_model(self) -> None:
        figure = heads_by_rank(table(), theme=DARK)
        styles = theme.line_styles({"small": 1e6, "large": 1e8}, DARK)
        assert [trace.line.color for trace in lines(figure, "solid")] == [styles[name]["color"] for name in styles]
        assert [trace.line.color for trace in lines(figure, "dash")] == [styles[name]["color"] for name in styles]
        shown = [trace.name for trace in figure.data if trace.showlegend is not False]
        assert shown == ["small · 1M", "large · 100M", "trained", "truncated", "its own head"]

    def test_accuracy_in_percent(self) -> None:
        figure = heads_by_rank(table(), "accuracy")
        assert list(lines(figure, "solid")[0].y) == pytest.approx([10, 20, 40])
        assert figure.layout.yaxis.title.text == "top-1 accuracy (%)"

    def test_axes(self) -> None:
        figure = heads_by_rank(table())
        assert figure.layout.xaxis.type == "log"
        assert list(figure.layout.xaxis.ticktext) == ["1", "2", "4"]
        assert figure.layout.yaxis.title.text == "loss (nats/token)"
        assert figure.layout.template.layout.paper_bgcolor == LIGHT.background

    def test_the_spread_over_seeds(self) -> None:
        rows = table()
        rows.loc[(rows["model"] == "small") & (rows["kind"] == "trained"), "spread"] = 0.01
        small, large = lines(heads_by_rank(rows), "solid")
        assert list(small.error_y.array) == [0.01] * 3
        assert large.error_y.array is None

    def test_nothing_measured(self) -> None:
        assert "No head of lower rank" in heads_by_rank(table().iloc[:0]).layout.annotations[0].text
        assert "No head of lower rank" in loss_by_w_error(table().iloc[:0]).layout.annotations[0].text


class TestByError:
    def test_losses_against_the_error_of_the_rank(self) -> None:
        figure = loss_by_w_error(table())
        small = lines(figure, "solid")[0]
        assert list(small.x) == [0.0, 0.5, 0.75]
        assert list(small.y) == [4.0, 4.5, 5.0]
        assert list(small.customdata) == [4, 2, 1]
        assert figure.layout.xaxis.range[1] == pytest.approx(1.04 * 0.75)


class TestRates:
    def test_the_chosen_rate_of_each_rank_over_those_tried(self) -> None:
        tried = pd.DataFrame(
            [
                {"family": "lab", "model": "small", "step": 10, "parameters": 1e6, "rank": rank, "learning_rate": rate}
                | {"validation_nats_per_token": 3.0, "init": "normal", "chosen": chosen}
                for rank, rate, chosen in ((1, 0.001, False), (1, 0.05, True), (2, 0.001, True), (2, 0.05, False))
            ]
        )
        figure = learning_rates(tried)
        marks, line = figure.data
        assert (list(marks.x), marks.mode, marks.showlegend) == ([1, 1, 2, 2], "markers", False)
        assert (list(line.x), list(line.y)) == ([1, 2], [0.05, 0.001])
        assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
        assert list(figure.layout.yaxis.ticktext) == ["1e-3", "5e-2"]


class TestAlongTraining:
    ROWS = pd.DataFrame(
        [
            {"step": step, "rank": rank, "nats_per_token": own + added, "own_nats_per_token": own, "doubtful": None}
            for step, own in ((0, 5.0), (10, 4.0))
            for rank, added in ((1, 0.5 + step), (2, 0.25), (4, 0.0))
        ]
    )

    def test_a_cell_is_the_loss_that_the_rank_adds(self) -> None:
        cells = truncated_along_training(self.ROWS, cursor=10).data[0]
        np.testing.assert_allclose(cells.z, [[0.5, 10.5], [0.25, 0.25], [0.0, 0.0]], rtol=1e-6)
        assert cells.customdata[0][1].tolist() == [10, 1]
        assert (cells.zmin, cells.zmax) == (0, 2.0)  # what lies above is as bright as the end of the scale
        assert list(cells.colorbar.ticktext) == ["0", "1", "≥ 2"]
        gains = truncated_along_training(self.ROWS.assign(nats_per_token=self.ROWS["own_nats_per_token"] - 0.1))
        assert gains.data[0].colorbar.ticktext[0] == "≤ 0"

    def test_ranks_are_rows_and_steps_are_columns(self) -> None:
        figure = truncated_along_training(self.ROWS, cursor=10)
        assert list(figure.layout.yaxis.ticktext) == ["1", "2", "4"]
        assert list(figure.layout.yaxis.range) == [2.5, -0.5]  # rank 1 on top, as in the maps of singular values
        assert figure.layout.xaxis.title.text == "training step"
        assert [shape.name for shape in figure.layout.shapes] == ["cursor", "cursor"]


class TestNgrams:
    POINTS = pd.DataFrame(
        [
            {"label": label, "rank": rank, "w_error": error, "low": error - wide, "high": error + wide}
            | {"vocabulary": size, "method": "stochastic" if wide else "exact", "rank_at_half": 2}
            for label, size, wide in (("a", 1000, 0.0), ("b", 4000, 0.01))
            for rank, error in ((0, 1.0), (100, 0.6), (3000, 0.2), (9000, 0.0))
        ]
    )

    def test_a_line_a_matrix_and_a_band_where_it_is_estimated(self) -> None:
        figure = ngram_curves(self.POINTS)
        exact, band, estimated = figure.data
        assert list(exact.y) == list(estimated.y) == [1.0, 0.6, 0.2, 0.0]
        assert band.fill == "toself"
        assert list(band.y) == pytest.approx([1.01, 0.61, 0.21, 0.01, -0.01, 0.19, 0.59, 0.99])
        assert exact.line.color != estimated.line.color

    def test_the_error_asked_for_and_known_widths_are_marked(self) -> None:
        figure = ngram_curves(self.POINTS, error=0.3)
        level, *verticals = figure.layout.shapes
        assert (level.y0, level.y1) == (0.3, 0.3)
        assert [shape.x0 for shape in verticals] == [128, 512, 1024, 2048]
        assert [note.text for note in figure.layout.annotations] == ["512", "1k", "2k"]  # 128 has no room

    def test_axes_linear_and_log(self) -> None:
        linear, log = ngram_curves(self.POINTS), ngram_curves(self.POINTS, scale="log")
        assert tuple(linear.layout.yaxis.range) == (-0.02, 1.02)
        assert linear.layout.xaxis.range[0] == 0
        assert log.layout.xaxis.type == "log"
        assert list(log.data[0].x) == [100, 3000, 9000]  # rank 0 has no place on a log axis
        assert [note.text for note in log.layout.annotations] == ["512", "1k", "2k"]
        assert log.layout.annotations[0].x == pytest.approx(np.log10(512))

    def test_nothing_counted(self) -> None:
        assert "Choose a corpus" in ngram_curves(self.POINTS.iloc[:0]).layout.annotations[0].text
