"""What a page's play bar needs: its data, figures with frames, cursors that it finds by their name."""

import json
import math

import dashboard_store
import figure_frames as frames
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from saturation.figures import LIGHT, depth_curves, film, layer_map, spectrum_film
from saturation.figures.singular import sketches
from saturation.settings import ROOT
from saturation.ui.pages import PAGES

CURSORS = {  # figures of a page that have a step cursor
    "app.py": 1,
    "pages/1_Performance.py": 2,
    "pages/2_Anisotropy.py": 3,
    "pages/3_Singular_values.py": 3,
    "pages/4_Bottleneck.py": 1,
}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SATURATION_CACHE", str(tmp_path))
    monkeypatch.delenv("SATURATION_MODE", raising=False)
    filled = dashboard_store.fill(tmp_path / "measurements.duckdb")
    dashboard_store.fill_bottleneck(filled)
    return filled


def opened(page: str, **address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in ({"family": "pythia", "model": "14m", "step": "4000"} | address).items():
        app.query_params[key] = value
    return app.switch_page(page).run() if page != "app.py" else app.run()


def bar(app: AppTest) -> dict:
    """What the page's one bar is given."""
    [found] = [part.proto for part in app.get("bidi_component") if part.proto.component_name == "saturation_film"]
    return json.loads(found.json)


def cursors(app: AppTest) -> list[list[float]]:
    """Where each figure with a cursor has it."""
    layouts = [json.loads(part.proto.spec)["layout"] for part in app.get("plotly_chart")]
    shapes = [[shape for shape in layout.get("shapes", []) if shape.get("name") == "cursor"] for layout in layouts]
    return [sorted({shape["x0"] for shape in found}) for found in shapes if found]


@pytest.mark.parametrize("page", CURSORS)
def test_each_page_with_a_cursor_has_one_bar_that_stands_at_it(store, page):
    app = opened(page, scale="log")
    shown = bar(app)
    scale = "linear" if "Bottleneck" in page else "log"
    place = 4000.0 if scale == "linear" else math.log10(4001)
    assert (shown["run"], shown["step"], shown["scale"]) == ("pythia/14m", 4000, scale)
    assert tuple(shown["steps"]) == dashboard_store.STEPS
    assert (shown["spectra"] is None) == (page != "app.py")
    assert cursors(app) == [pytest.approx([place])] * CURSORS[page]
    assert not app.select_slider


def test_only_pages_with_a_cursor_have_a_bar():
    assert {page.path for page in PAGES if "step" in page.controls} == set(CURSORS)


def test_where_the_bar_comes_to_rest_is_the_cursor_and_part_of_the_link(store):
    app = opened("pages/2_Anisotropy.py")
    app.session_state["step"] = 6000
    app.run()
    assert bar(app)["step"] == 6000
    assert cursors(app) == [[6000.0]] * 3
    assert app.query_params["step"] == "6000"


@pytest.mark.parametrize(
    ("draw", "colour"),
    [
        (lambda **rest: layer_map.plain(frames.layers(), cursor=2, **rest), LIGHT.anisotropy),
        (lambda **rest: spectrum_film.plain(frames.spectra(), cursor=2, **rest), LIGHT.spectrum),
    ],
    ids=["layer map", "spectrum"],
)
def test_a_figure_of_a_page_has_no_buttons_of_its_own_until_it_leaves_the_page(draw, colour):
    without, whole = draw(controls=False), draw().figure()
    bare = without.figure()
    assert not bare.layout.updatemenus
    assert not bare.layout.sliders
    assert bare.layout.height == whole.layout.height - film.ROOM
    assert all(trace.visible is False for trace in bare.data if trace.name == film.PLAYED)
    assert [frame.name for frame in bare.frames] == ["0", "1", "2", "4", "1000"]
    film.add_controls(without, 2, LIGHT, colour)
    assert without.figure().to_json() == whole.to_json()


def test_curves_by_depth_have_a_frame_for_each_step_played():
    two = pd.concat([frames.layers("small", 1e4), frames.layers("big", 1e6, steps=(0, 100), count=4)])
    figure = depth_curves(two, 4, played=frames.STEPS)
    assert [frame.name for frame in figure.frames] == ["0", "1", "2", "4", "1000"]
    small, big = figure.frames[4].data
    assert list(small.y) == pytest.approx([0.04, 0.14, 0.24])
    assert list(big.y) == pytest.approx([0.01, 0.11, 0.21, 0.31, 0.41])  # of step 100, its nearest to 1,000
    assert (small.name, big.name) == ("small · 10k", "big · 1M")
    assert figure.frames[4].traces == (0, 1)
    assert not depth_curves(two, 4).frames


def test_many_models_have_fewer_frames():
    many = pd.concat([frames.layers(f"m{index}", 1e4 * 2**index, steps=range(100)) for index in range(10)])
    names = [int(frame.name) for frame in depth_curves(many, 33, played=range(100)).frames]
    assert len(names) in (40, 41)
    assert {0, 33, 99} <= set(names)


def test_a_sketch_of_the_spectrum_is_there_at_each_step_that_has_one():
    assert sketches(frames.spectra(), (0, 1, 3)) == [[1.0, 0.75, 0.5, 0.25], [1.0, 0.375, 0.25, 0.125], []]
    assert len(sketches(frames.spectra(size=300), (0,))[0]) == 40
    assert sketches(frames.spectra().iloc[:0], (0,)) is None
