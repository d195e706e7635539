"""Singular-value map, spectrum film, singular entropy."""

import figure_frames as frames
import numpy as np
import pandas as pd
import pytest

from saturation.figures import DARK, LIGHT, entropy_curves, map_table, singular_map, spectrum_film
from saturation.figures.film import FRAMES
from saturation.figures.singular import MAP_ROWS, ratios
from saturation.figures.spectrum_film import FILM_POINTS


def cells(figure):
    return next(trace for trace in figure.data if trace.type == "heatmap")


def test_ratios_of_each_checkpoint():
    found = ratios(frames.spectra())
    assert found.values.shape == (4, 5)
    assert found.values[:, 4].tolist() == pytest.approx([1, 3 / 20, 2 / 20, 1 / 20])


def test_fewer_ranks_than_the_paper_shows_are_all_shown():
    assert ratios(frames.spectra(size=4), ranks=100).ranks == 4
    assert ratios(frames.spectra(size=128), ranks=100).ranks == 100
    assert ratios(frames.spectra(size=128), ranks=None).ranks == 128


def test_spectra_of_different_length_leave_gaps():
    frame = pd.concat([frames.spectra(steps=(0,), size=2), frames.spectra(steps=(1,), size=4)])
    values = ratios(frame).values
    assert np.isnan(values[2:, 0]).all()
    assert np.isfinite(values[:, 1]).all()


def test_cells_have_exact_borders_on_unequal_steps():
    trace = cells(singular_map(frames.spectra()))
    assert list(trace.x) == [-0.5, 0.5, 1.5, 3, 502, 1498]
    assert list(trace.y) == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_hover_tells_the_true_step_on_both_axes():
    for scale in ("linear", "log"):
        trace = cells(singular_map(frames.spectra(), scale=scale))
        assert np.asarray(trace.customdata)[0, :, 0].tolist() == list(frames.STEPS)
        assert "step %{customdata[0]:,}" in trace.hovertemplate


def test_plasma_from_zero_to_one_with_rank_one_on_top():
    figure = singular_map(frames.spectra())
    assert cells(figure).colorscale[0][1] == "#0d0887"
    assert (cells(figure).zmin, cells(figure).zmax) == (0, 1)
    assert list(figure.layout.yaxis.range) == [4.5, 0.5]


def test_log_colour_keeps_the_ratio_in_the_hover():
    trace = cells(singular_map(frames.spectra(), colour="log"))
    assert np.asarray(trace.z)[1, 0] == pytest.approx(np.log10(0.75), abs=1e-6)
    assert np.asarray(trace.customdata)[1, 0].tolist() == pytest.approx([0, 2, 0.75])
    assert trace.zmin == pytest.approx(np.log10(1 / 20))


def test_centred_view_draws_the_centred_spectrum():
    assert np.asarray(cells(singular_map(frames.spectra(), centred=True)).z).tolist() == [[1.0] * 5] * 4


def test_a_large_map_is_thinned_to_what_a_screen_shows():
    trace = cells(singular_map(frames.spectra(size=2048), ranks=None))
    assert np.asarray(trace.z).shape == (MAP_ROWS, 5)
    assert (trace.y[0], trace.y[-1]) == (0.5, 2048.5)


def test_marks_show_where_checkpoints_are_and_which_are_doubtful():
    frame = frames.spectra()
    frame.loc[1, "doubtful"] = "same weights as step 0"
    marks = [trace for trace in singular_map(frame).data if trace.name == "checkpoints"]
    assert [list(trace.x) for trace in marks] == [[0, 2, 4, 1000], [1]]
    assert marks[1].text[0] == "step 1<br>doubtful: same weights as step 0"


def test_map_table_is_long_and_complete():
    table = map_table(frames.spectra())
    assert list(table.columns) == ["step", "rank", "ratio"]
    assert len(table) == 20
    assert table[(table["step"] == 2) & (table["rank"] == 3)]["ratio"].item() == pytest.approx(2 / 12)


def test_no_spectrum_gives_a_figure_that_says_so_and_an_empty_table():
    empty = frames.spectra().iloc[:0]
    for figure in (singular_map(empty), spectrum_film(empty)):
        assert "No spectrum" in figure.layout.annotations[0].text
    assert map_table(empty).empty


def test_film_has_a_frame_for_each_checkpoint_and_starts_at_the_cursor():
    figure = spectrum_film(frames.spectra(), cursor=3)
    assert [frame.name for frame in figure.frames] == ["0", "1", "2", "4", "1000"]
    assert figure.layout.sliders[0].active == 2
    assert figure.data[2].name.strip() == "step 2"
    assert {len(frame.data[0].name) for frame in figure.frames} == {len("step 1,000")}  # the legend has room for each
    assert list(figure.frames[1].data[0].y) == pytest.approx([1, 3 / 8, 2 / 8, 1 / 8])
    assert figure.frames[1].traces == (2,)


def test_film_plays_in_the_browser():
    figure = spectrum_film(frames.spectra())
    play, pause = figure.layout.updatemenus[0].buttons
    assert (play.method, play.args[0]) == ("animate", None)
    assert list(pause.args[0]) == [None]
    assert [step.args[0] for step in figure.layout.sliders[0].steps][-1] == ("1000",)


def test_a_long_film_is_thinned_but_keeps_both_ends():
    figure = spectrum_film(frames.spectra(steps=tuple(range(500)), size=1024))
    assert len(figure.frames) == FRAMES
    assert (figure.frames[0].name, figure.frames[-1].name) == ("0", "499")
    assert len(figure.data[0].x) <= FILM_POINTS


def test_film_on_log_axes():
    figure = spectrum_film(frames.spectra(), log_ranks=True, log_values=True)
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
    assert figure.layout.yaxis.range[0] < np.log10(1 / 20)
    assert list(figure.layout.xaxis.tickvals) == [1, 2]
    assert spectrum_film(frames.spectra(), log_values=True).layout.xaxis.type is None
    assert spectrum_film(frames.spectra(), log_ranks=True).layout.yaxis.type is None


def test_shares_of_the_sum_are_of_all_ranks_and_coloured_to_their_largest():
    found = ratios(frames.spectra(), ranks=2, divide="sum")
    assert found.values[:, 4].tolist() == pytest.approx([20 / 26, 3 / 26])  # 4 x 5 + 3 + 2 + 1
    figure = singular_map(frames.spectra(), divide="sum")
    trace = cells(figure)
    assert (trace.zmin, trace.zmax) == (0, pytest.approx(20 / 26))
    assert list(trace.colorbar.tickvals) == pytest.approx([0, 10 / 26, 20 / 26])
    assert trace.hovertemplate.startswith("σ/Σσ %{customdata[2]")
    assert np.asarray(trace.customdata)[3, 4].tolist() == pytest.approx([1000, 4, 1 / 26])
    assert "Σσ" in figure.layout.annotations[0].text
    table = map_table(frames.spectra(), divide="sum")
    assert list(table.columns) == ["step", "rank", "share"]
    assert table.groupby("step")["share"].sum().tolist() == pytest.approx([1] * 5)
    assert list(map_table(frames.spectra().iloc[:0], divide="sum").columns) == ["step", "rank", "share"]


def test_log_colours_of_shares_end_at_the_largest():
    trace = cells(singular_map(frames.spectra(), divide="sum", colour="log"))
    assert trace.zmax == pytest.approx(np.log10(20 / 26))
    assert trace.zmin == pytest.approx(np.log10(1 / 26))


def test_film_of_shares():
    figure = spectrum_film(frames.spectra(), cursor=0, divide="sum")
    assert list(figure.data[2].y) == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert figure.layout.yaxis.range[1] == pytest.approx(1.04 * 20 / 26)
    assert "Σσ" in figure.layout.yaxis.title.text


def test_log_ranks_keep_exact_borders_and_true_ranks():
    figure = singular_map(frames.spectra(size=6), ranks=None, log_ranks=True)
    trace = cells(figure)
    assert list(trace.y) == pytest.approx(np.log10([0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]))
    assert list(figure.layout.yaxis.range) == pytest.approx(np.log10([6.5, 0.5]))
    assert list(figure.layout.yaxis.tickvals) == pytest.approx(np.log10([1, 2, 5]))
    assert np.asarray(trace.customdata)[:, 0, 1].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_large_map_on_a_log_axis_shows_all_first_ranks():
    trace = cells(singular_map(frames.spectra(size=2048), ranks=None, log_ranks=True))
    ranks = np.asarray(trace.customdata)[:, 0, 1]
    assert ranks[:40].tolist() == list(range(1, 41))
    assert ranks[-1] == 2048
    assert len(ranks) <= MAP_ROWS
    assert np.asarray(trace.z)[9, 0] == pytest.approx((2048 - 9) / 2048)
    assert (trace.y[0], trace.y[-1]) == (pytest.approx(np.log10(0.5)), pytest.approx(np.log10(2048.5)))


def test_a_head_of_which_nothing_is_left_centred():
    frame = frames.spectra()
    frame["centred_singular_values"] = [np.zeros(4)] * 5
    for figure in (singular_map(frame, centred=True), spectrum_film(frame, centred=True)):
        assert "No spectrum" in figure.layout.annotations[0].text


def test_entropy_has_one_line_a_model_in_the_order_of_size():
    frame = pd.concat([frames.trajectory("big", 1e6), frames.trajectory("small", 1e3)])
    figure = entropy_curves(frame, cursor=2)
    assert [trace.name for trace in figure.data] == ["small · 1k", "big · 1M"]
    assert figure.layout.yaxis.type == "log"
    assert list(figure.data[0].y) == pytest.approx(np.geomspace(0.02, 2, 5))
    assert "nats" in figure.data[0].hovertemplate


def test_centred_entropy_is_the_other_column():
    figure = entropy_curves(frames.trajectory(), centred=True)
    assert list(figure.data[0].y) == [0.01] * 5


def test_entropy_that_is_not_measured():
    figure = entropy_curves(frames.trajectory(singular_entropy=[np.nan] * 5))
    assert "No singular entropy" in figure.layout.annotations[0].text


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_figures_carry_their_theme(theme):
    for figure in (
        singular_map(frames.spectra(), theme=theme),
        spectrum_film(frames.spectra(), theme=theme),
        entropy_curves(frames.trajectory(), theme=theme),
    ):
        assert figure.layout.template.layout.plot_bgcolor == theme.background
