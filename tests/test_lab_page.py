"""The Overview on the bundled lab: what it opens with, what it says, its tables and groups."""

import pytest
from streamlit.testing.v1 import AppTest

from saturation.families import registry
from saturation.jobs.lab_findings import Lab, findings
from saturation.settings import ROOT
from saturation.store import Store

GROUPS = registry.family("lab").groups


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SATURATION_CACHE", str(folder))
        patch.delenv("SATURATION_MODE", raising=False)
        yield folder


def opened(page: str = "app.py", **address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in address.items():
        app.query_params[key] = value
    app = app.switch_page(page).run() if page != "app.py" else app.run()
    assert not app.exception
    assert not app.error
    assert not app.warning
    return app


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.caption, *app.subheader])


def select(app: AppTest, label: str):
    return next(box for box in app.selectbox if box.label == label)


def test_it_opens_on_the_run_that_turns_and_says_what_all_show(cache):
    app = opened()
    assert select(app, "Group").value == "When it turns"
    assert select(app, "Model").value == "w16-b4-ramp"
    text = words(app)
    assert "Yes: the loss has turned and not come back." in text
    assert "climbing for 30,000 steps" in text
    for found in findings(Lab(Store(cache / "measurements.duckdb"))):
        assert f"**{found.title}.** {found.text}" in text


def test_all_runs_are_ranked_by_degradation(cache):
    ranked = next(frame.value for frame in opened().dataframe if "worse by" in frame.value)
    assert set(ranked["run"]) == set(registry.family("lab").models)
    assert ranked["worse by"].is_monotonic_decreasing
    assert ranked["run"].iloc[0] == "w16-b4-ramp"
    assert ranked["chance"].iloc[0] < 0.02 < ranked["chance"].iloc[1]  # why only the first is called saturated
    assert {"learning rate", "weight decay", "precision", "head", "trained on"} <= set(ranked.columns)
    assert ranked[["learning rate", "head"]].notna().all(axis=None)


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_lies_side_by_side(cache, group):
    app = opened(group=group, family="lab")
    table = next(frame.value for frame in app.dataframe if "nats_per_token" in frame.value)
    assert table["model"].tolist() == list(GROUPS[group])
    assert table[["nats_per_token", "anisotropy", "singular_entropy"]].notna().all(axis=None)
    assert f"{group}, side by side at step" in words(app)


def test_another_group_brings_its_first_run_and_its_comparison(cache):
    app = opened("pages/2_Anisotropy.py", family="lab")
    select(app, "Group").set_value("Width").run()
    assert not app.exception
    assert select(app, "Model").value == "w8"
    assert app.query_params["model"] == "w8"
    assert "lab: w8, w16, w32, w64 · 164 checkpoints" in words(app)
    assert "t16" not in words(app)


def test_the_same_text_is_not_asked_of_all(cache):
    """Runs on natural text keep their own losses beside those on the language."""
    app = opened("pages/1_Performance.py", family="lab", group="Batch and rare words", model="t16")
    verdicts = app.dataframe[0].value
    assert set(verdicts["model"]) == set(GROUPS["Batch and rare words"])
    assert verdicts["best_value"].notna().all()


def test_another_family_has_no_lab(cache):
    text = words(opened(family="pythia"))
    assert "What the lab found" not in text
