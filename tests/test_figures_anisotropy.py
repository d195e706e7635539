"""Layer map, curves by depth, last layer along training, and the stand-alone page."""

import figure_frames as frames
import numpy as np
import pandas as pd
import pytest

from saturation.figures import DARK, LIGHT, depth_curves, depth_table, last_layer_curves, layer_map, page


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


def test_page_is_complete_offline_and_escapes_its_words():
    html = page(layer_map(frames.layers()), "Map <w8>", "Read & see", "lab/w8 · 5 checkpoints", DARK)
    assert "<h1>Map &lt;w8&gt;</h1>" in html
    assert "Read &amp; see" in html
    assert "lab/w8 · 5 checkpoints" in html
    assert "cdn.plot.ly" not in html.split("Plotly.newPlot")[-1]
    assert "plotly.js v" in html
    assert f"background: {DARK.background}" in html
    assert f"background: {LIGHT.background}" not in html
