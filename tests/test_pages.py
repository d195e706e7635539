"""Each page without a browser, on a store with known numbers."""

import json

import dashboard_store
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from saturation.settings import ROOT
from saturation.ui import coverage
from saturation.ui.pages import PAGES
from saturation.ui.words import plain


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SATURATION_CACHE", str(tmp_path))
    monkeypatch.delenv("SATURATION_MODE", raising=False)
    return tmp_path


def opened(page: str, **address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in address.items():
        app.query_params[key] = value
    return app.switch_page(page).run() if page != "app.py" else app.run()


@pytest.mark.parametrize(
    ("page", "figures"), [("app.py", 1), ("pages/2_Anisotropy.py", 5), ("pages/3_Singular_values.py", 4)]
)
def test_each_page_draws_its_figures(cache, page, figures):
    dashboard_store.fill(cache / "measurements.duckdb")
    app = opened(page, family="pythia", model="14m", step="4000")
    assert not app.exception
    assert not app.error
    assert len(app.get("plotly_chart")) == figures
    assert any("pythia/14m · 15 checkpoints" in caption.value for caption in app.caption)


def test_the_leading_directions_are_named_at_the_cursor_and_at_the_end(cache):
    dashboard_store.fill(cache / "measurements.duckdb")
    app = opened("pages/3_Singular_values.py", family="pythia", model="14m", step="4000")
    text = " ".join(element.value for element in app.markdown)
    assert (
        "At step 4,000 the first direction of the head is **0.25** aligned with all-ones and its entries correlate "
        "**0.50** with log token frequency (chance: below 0.082)." in text
    )
    assert "At the last checkpoint, step 10,000: **0.95** along all-ones" in text


def test_directions_that_are_not_measured_lead_to_measuring_them(cache):
    dashboard_store.fill(cache / "measurements.duckdb")
    app = opened("pages/3_Singular_values.py", family="pythia", model="31m")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 3
    assert any(r"is not measured for pythia\/31m yet" in element.value for element in app.markdown)


@pytest.mark.parametrize("choices", [{"divide": "sum"}, {"ranks": "log"}, {"ranks": "all", "divide": "sum"}])
def test_ways_to_look_at_singular_values(cache, choices):
    dashboard_store.fill(cache / "measurements.duckdb")
    app = opened("pages/3_Singular_values.py", family="pythia", model="14m", **choices)
    assert not app.exception
    layout = json.loads(app.get("plotly_chart")[0].proto.spec)["layout"]
    title = layout["annotations"][0]["text"]
    assert ("Σσ" in title) == (choices.get("divide") == "sum")
    assert ("log" in layout["yaxis"]["title"]["text"]) == (choices.get("ranks") == "log")
    bottom = {"log": np.log10(128.5), "all": 128.5}.get(choices.get("ranks"), 100.5)
    assert layout["yaxis"]["range"][0] == pytest.approx(bottom)


def test_overview_gives_the_verdict_and_the_numbers_at_the_cursor(cache):
    dashboard_store.fill(cache / "measurements.duckdb")
    app = opened("app.py", family="pythia", model="14m", step="4000")
    text = " ".join(element.value for element in app.markdown)
    assert "the loss has turned" in text
    assert "**4.500 nats/token** at step 5,000" in text
    assert app.metric[0].value == "5.500"
    assert app.metric[0].delta == "+22.2 % vs best"


@pytest.mark.parametrize("page", [page.path for page in PAGES if page.controls])
def test_an_unmeasured_model_leads_to_measuring_it(cache, page):
    dashboard_store.fill(cache / "measurements.duckdb")
    app = opened(page, family="gpt2")
    assert not app.exception
    assert any(r"Nothing is measured for gpt2\/small yet" in element.value for element in app.markdown)
    next(button for button in app.button if "which is measured" in button.label).click().run()
    assert not app.exception
    assert not any("Nothing is measured" in element.value for element in app.markdown)
    assert app.query_params["family"] != "gpt2"


def leads(app: AppTest, words: str) -> list:
    """The links of a page whose label has these words."""
    return [link for link in app.get("page_link") if words in link.proto.label]


def test_a_page_names_what_it_shows_and_asks_only_for_what_it_uses(cache):
    dashboard_store.fill(cache / "measurements.duckdb")
    app = opened("pages/5_Compare.py", family="pythia", model="14m", runs="lab/w8,pythia/31m")
    assert plain("lab/w8, pythia/31m") in app.caption[0].value
    assert not [box for box in app.selectbox if box.label in ("Family", "Model")]
    app = opened("pages/5_Compare.py", family="pythia", model="14m")
    assert [box.label for box in app.selectbox] == ["Family", "Model"]
    app = opened("pages/9_Method.py", family="pythia", model="14m")
    assert app.caption[0].value == "Method"
    assert not app.selectbox


def test_measure_page_lists_every_checkpoint_with_what_is_measured(cache):
    dashboard_store.fill(cache / "measurements.duckdb")
    app = opened("pages/7_Measure.py", family="pythia", model="14m")
    assert not app.exception
    table = app.dataframe[0].value
    assert table["step"].tolist() == list(dashboard_store.STEPS)
    assert set(table["loss"]) == {coverage.DONE}


def test_measure_page_is_read_only_in_a_demonstration(cache, monkeypatch):
    dashboard_store.fill(cache / "measurements.duckdb")
    monkeypatch.setenv("SATURATION_MODE", "demo")
    app = opened("pages/7_Measure.py")
    assert not app.exception
    assert any("read-only" in info.value for info in app.info)
    assert [button.label for button in app.button] == []
    assert leads(app, "which is measured")


def test_only_a_local_server_takes_folders(cache, monkeypatch):
    dashboard_store.fill(cache / "measurements.duckdb")
    assert [field.label for field in opened("pages/7_Measure.py").text_input] == ["Folder", "Text"]
    monkeypatch.setenv("SATURATION_MODE", "public")
    assert len(opened("pages/7_Measure.py").text_input) == 0
