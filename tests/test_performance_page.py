"""The Performance page on known stores: the bundled lab, evaluations only, one model, a run of unknown batch."""

import re
from pathlib import Path

import pytest
import store_rows as rows
from streamlit.testing.v1 import AppTest

from saturation.families import registry
from saturation.jobs.request import VERSIONS
from saturation.measures.scaling import Law
from saturation.settings import ROOT
from saturation.store import CheckpointRow, Measurement, Store
from saturation.ui.words import sentence

STEPS = range(10_000, 90_000, 10_000)
BATCH = 2_097_152
PAPER = Law(a=119.09, alpha=0.246)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SATURATION_CACHE", str(tmp_path))
    monkeypatch.delenv("SATURATION_MODE", raising=False)
    return tmp_path


def opened(**address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in address.items():
        app.query_params[key] = value
    app = app.switch_page("pages/1_Performance.py").run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    """What is read; foreign words are written with escapes."""
    return re.sub(r"\\(\W)", r"\1", " ".join(element.value for element in (*app.markdown, *app.caption)))


def measured(family: str, model: str, step: int, nats: float, parameters: int) -> list[Measurement]:
    checkpoint = CheckpointRow(
        family, model, step, "somewhere", f"step{step}", f"{model}-{step}", 64, 2, 50_304, parameters
    )
    return [
        rows.loss(checkpoint, nats, version=VERSIONS["loss"]),
        rows.spectrum(checkpoint, version=VERSIONS["spectrum"]),
    ]


def fill_pythia(cache: Path, models: tuple[str, ...]) -> None:
    """Losses on the paper's law; those of models below 410M end 8 % above it, 4 % at step 50,000."""
    store = Store(cache / "measurements.duckdb")
    for model in models:
        size = registry.family("pythia").models[model].parameters
        for step in STEPS:
            excess = 0.0 if size > 4e8 else 0.04 if step == 50_000 else 0.08
            nats = float(PAPER.loss(size, step * BATCH)) * (1 + excess)
            store.add(measured("pythia", model, step, nats, size))


def test_the_papers_setting_gives_the_papers_numbers(cache):
    fill_pythia(cache, ("14m", "160m", "410m", "1b", "2.8b"))
    app = opened(family="pythia", model="160m")
    assert not app.error
    text = words(app)
    assert "**A = 119.09**" in text
    assert "**α = 0.2460**" in text
    assert "fitted to the final checkpoints of 3 models" in text
    assert "Models below 410M end 8.0 % above the law, 4.0 % at their best." in text
    assert len(app.get("plotly_chart")) == 3
    table = next(frame.value for frame in app.dataframe if "in the fit" in frame.value)
    assert table["in the fit"].tolist() == [False, False, True, True, True]
    assert table["final against the law"].tolist() == pytest.approx([8, 8, 0, 0, 0], abs=1e-6)


def test_a_smaller_size_in_the_fit_is_in_the_link(cache):
    fill_pythia(cache, ("14m", "160m", "410m", "1b"))
    app = opened(family="pythia", model="160m", fit_from="14067712", fitted="best")
    assert "fitted to the best checkpoints of 4 models" in words(app)
    app.selectbox("fit_from").set_value(410e6).run()
    assert "fitted to the best checkpoints of 2 models" in words(app)
    assert "Two models are met exactly" in words(app)
    assert "fit_from" not in app.query_params


def test_numbers_that_leave_nothing_to_fit_are_one_sentence(cache):
    fill_pythia(cache, ("14m", "410m", "1b", "2.8b"))
    app = opened(family="pythia", model="14m", law_e="5")
    said = "B/T^beta + E leaves nothing for the size of 410m, 1b, 2.8b, whose loss is not above it: lower B or E."
    assert [error.value for error in app.error] == [sentence(said)]
    assert len(app.get("plotly_chart")) == 3
    app.number_input("law_e").set_value(1.69).run()
    assert not app.error
    assert "**A = 119.09**" in words(app)


def test_the_bundled_lab_takes_the_exact_entropy_for_e(cache):
    app = opened(family="lab", group="Width")
    assert not app.error
    assert app.number_input("law_b").value == 0
    assert app.number_input("law_e").value == pytest.approx(4.116, abs=0.001)
    assert "fitted to the final checkpoints of 3 models" in words(app)
    assert "No evaluations of lab/w8 are imported" in words(app)
    verdicts = app.dataframe[0].value
    assert sorted(verdicts["model"]) == ["w16", "w32", "w64", "w8"]
    assert verdicts["degradation"].tolist() == sorted(verdicts["degradation"], reverse=True)


def test_one_model_has_no_law_and_a_sentence_on_what_to_do(cache):
    fill_pythia(cache, ("160m",))
    app = opened(family="pythia")
    assert not app.error
    assert "models of two sizes or more" in words(app)
    assert len(app.get("plotly_chart")) == 1


def test_a_run_of_unknown_batch_is_named(cache):
    store = Store(cache / "measurements.duckdb")
    for model, size in (("mine~1", 1_000_000), ("mine~2", 2_000_000)):
        for step in (100, 200):
            store.add(measured("local", model, step, 4.0 - step / 1000, size))
    app = opened(family="local")
    assert not app.error
    assert "Size or training tokens of mine~1, mine~2 are not known." in words(app)
    assert "needs at least 6 checkpoints" in app.dataframe[0].value["verdict"].iloc[0]


def test_evaluations_alone_fill_figures_and_table(cache):
    store = Store(cache / "measurements.duckdb")
    ppl = {0: 1000.0, 1000: 90.0, 2000: 60.0, 3000: 50.0, 4000: 40.0, 5000: 45.0, 6000: 50.0}
    common = {"family": "pythia", "shots": 0}
    for step, value in ppl.items():
        lambada = {"task": "lambada_openai", "metric": "perplexity", "stderr": 1.0, "higher_is_better": False}
        store.add_evaluations(
            [
                rows.evaluation("160m", step, value, **lambada, **common),
                rows.evaluation("160m", step, 0.5, **common),
                rows.evaluation("160m", step, 0.5, task="hendrycksTest-law", **common),
                rows.evaluation("160m", step, 3.0, task="bias", metric="distance", higher_is_better=None, **common),
            ]
        )
    app = opened(family="pythia", model="160m")
    assert not app.error
    assert "no loss of pythia is measured yet" in words(app)
    assert "pythia/160m at step 4,000" in words(app)
    table = next(frame.value for frame in app.dataframe if "beyond noise" in frame.value)
    assert table["task"].tolist() == ["lambada_openai", "sciq", "bias"]
    assert table.iloc[0][["best", "final", "direction", "beyond noise"]].tolist() == [
        "40.0 ± 1.0",
        "50.0 ± 1.0",
        "worse",
        "yes",
    ]
    assert table["change"].iloc[0] == pytest.approx(25.0)

    unknown = opened(family="pythia", model="160m", metric="bias/distance")
    assert "nothing is judged" in words(unknown)
    assert "nearest to its best lambada_openai perplexity (step 4,000)" in words(unknown)
