"""The leading directions along training."""

import figure_frames as frames
import numpy as np
import pytest

from saturation.figures import DARK, LIGHT, alignment_curves, alignment_table


def lines(figure, yaxis):
    return [trace for trace in figure.data if trace.yaxis == yaxis and trace.mode != "markers"]


def test_three_vectors_in_two_panels():
    figure = alignment_curves(frames.alignment())
    above, below = lines(figure, "y"), lines(figure, "y2")
    assert [trace.name for trace in above] == [trace.name for trace in below] == ["first direction", "second", "third"]
    assert [trace.line.dash for trace in above] == ["solid", "dash", "dot"]
    assert list(above[1].y) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert list(below[2].y) == pytest.approx(0.8 / 3 - np.arange(5) / 100)
    assert list(above[0].x) == list(frames.STEPS)
    assert above[0].text[-1] == "step 1,000"
    assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]
    assert [trace.showlegend for trace in above + below] == [True] * 3 + [False] * 3


def test_the_centred_head_has_no_all_ones_panel():
    figure = alignment_curves(frames.alignment(), centred=True)
    assert list(lines(figure, "y")[0].y) == pytest.approx(0.4 - np.arange(5) / 200)
    assert lines(figure, "y2") == []
    assert not any("all-ones" in note.text for note in figure.layout.annotations)
    assert figure.layout.height < alignment_curves(frames.alignment()).layout.height


def test_chance_is_a_dashed_line_with_its_number():
    for centred, yaxis in ((False, "y2"), (True, "y")):
        figure = alignment_curves(frames.alignment(), centred=centred)
        shape = next(shape for shape in figure.layout.shapes if shape.name.startswith("by chance"))
        assert (shape.y0, shape.y1, shape.yref, shape.line.dash) == (0.086, 0.086, yaxis, "dash")
        assert (shape.name, shape.showlegend) == ("by chance below 0.086 (99 %)", True)


def test_no_chance_line_where_texts_differ_or_correlations_are_missing():
    for bounds in (np.linspace(0.1, 0.2, 20), np.nan):
        figure = alignment_curves(frames.alignment().assign(correlation_by_chance=bounds))
        assert not any(shape.showlegend for shape in figure.layout.shapes)


def test_a_missing_correlation_is_left_out_of_its_line_only():
    frame = frames.alignment()
    frame.loc[frame["step"] == 2, "frequency_correlation"] = np.nan
    figure = alignment_curves(frame)
    assert list(lines(figure, "y2")[0].x) == [0, 1, 4, 1000]
    assert list(lines(figure, "y")[0].x) == list(frames.STEPS)


def test_doubtful_checkpoints_are_hollow_and_off_the_lines():
    frame = frames.alignment()
    frame.loc[frame["step"] == 4, "doubtful"] = "same weights as step 2"
    figure = alignment_curves(frame)
    hollow = [trace for trace in figure.data if trace.mode == "markers"]
    assert [(list(trace.x), trace.marker.symbol, trace.showlegend) for trace in hollow] == [
        ([4], "circle-open", False)
    ] * 6
    assert hollow[0].text[0] == "step 4<br>doubtful: same weights as step 2"
    assert list(lines(figure, "y")[0].x) == [0, 1, 2, 1000]


def test_log_steps_and_the_cursor():
    figure = alignment_curves(frames.alignment(), scale="log", cursor=1000)
    assert list(lines(figure, "y")[0].x) == pytest.approx(np.log10(1 + np.array(frames.STEPS)))
    assert any(note.text == "step 1,000" for note in figure.layout.annotations)


def test_nothing_measured_says_so():
    figure = alignment_curves(frames.alignment().iloc[:0])
    assert "No alignment" in figure.layout.annotations[0].text
    assert alignment_table(frames.alignment().iloc[:0]).empty


def test_table_holds_every_vector():
    table = alignment_table(frames.alignment())
    assert len(table) == 20
    row = table[(table["step"] == 2) & (table["rank"] == 4)].iloc[0]
    assert row["ones_alignment"] == pytest.approx(0.05)
    assert row["centred_frequency_correlation"] == pytest.approx(0.09)
    assert row["correlation_by_chance"] == 0.086


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_figures_carry_their_theme(theme):
    figure = alignment_curves(frames.alignment(), theme=theme)
    assert figure.layout.template.layout.plot_bgcolor == theme.background
    assert lines(figure, "y")[0].line.color == theme.spectrum
