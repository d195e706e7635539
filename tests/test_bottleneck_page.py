"""The Bottleneck page on a store with known numbers."""

import json
from pathlib import Path

import dashboard_store
import pytest
from streamlit.testing.v1 import AppTest

from saturation.jobs import board
from saturation.settings import ROOT
from saturation.store import Store

PAGE = "pages/4_Bottleneck.py"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("SATURATION_CACHE", str(tmp_path))
    monkeypatch.delenv("SATURATION_MODE", raising=False)
    store = dashboard_store.fill(tmp_path / "measurements.duckdb")
    dashboard_store.fill_bottleneck(store)
    return store


def opened(**address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in ({"family": "pythia", "model": "14m", "step": "10000"} | address).items():
        app.query_params[key] = value
    app.switch_page(PAGE).run()
    assert not app.exception
    assert not app.error
    return app


def unfolded(app: AppTest, key: str) -> AppTest:
    """The page once a fold of it was opened."""
    app.session_state[key] = True
    return app.run()


def figures(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def words(app: AppTest) -> str:
    return " ".join(element.value for element in app.markdown)


@pytest.mark.usefixtures("store")
class TestFigures:
    def test_all_of_them(self) -> None:
        titles = [heading.value for heading in opened().subheader]
        assert titles == [
            "Loss by the rank of the head",
            "Loss by W-error",
            "Learning rate by rank",
            "Truncated heads along training",
            "What rank a corpus asks for",
            "How wide must the next model be?",
            "A language of known rank",
        ]

    def test_loss_or_accuracy(self) -> None:
        loss, accuracy = (figures(opened(head_metric=metric))[0] for metric in ("loss", "accuracy"))
        assert loss["layout"]["yaxis"]["title"]["text"] == "loss (nats/token)"
        assert accuracy["layout"]["yaxis"]["title"]["text"] == "top-1 accuracy (%)"

    def test_where_nothing_is_trained_figure_9_says_so(self) -> None:
        app = opened(model="31m", models="31m")
        assert len(figures(app)) == 5
        assert any("needs trained heads" in caption.value for caption in app.caption)

    def test_at_a_step_without_trained_heads_its_own_cut_ones_are_shown(self) -> None:
        app = opened(step="5000")
        assert any("pythia/14m@5,000, pythia/31m@5,000 · truncated heads" in item.value for item in app.caption)
        assert any("Some are trained at step 10,000." in item.value for item in app.caption)
        assert "Of rank 32 at step 5,000: cut to it, its own head adds **1.000 nats** per token" in words(app)

    def test_the_language_of_the_link_is_the_one_shown(self) -> None:
        app = opened(toy_rank="8")
        assert any("No width is trained on this language yet" in caption.value for caption in app.caption)
        assert [button.label for button in app.button if button.key == "train-playground"] == ["Train its widths"]

    def test_a_language_that_cannot_be_is_one_sentence(self) -> None:
        app = opened(toy_rank="32", toy_vocab_size="64")
        assert any("is 64, but here it must lie between 128" in warning.value for warning in app.warning)


@pytest.mark.usefixtures("store")
class TestWidths:
    def test_the_width_for_half_and_for_an_error_of_the_link(self) -> None:
        text = words(opened())
        assert "a W-error of 0.50 needs a hidden size of **1,792**" in text
        assert "a W-error of 0.20 needs a hidden size of **4,096**" in words(opened(error="0.2"))

    def test_what_doubling_the_vocabulary_does(self) -> None:
        text = words(opened()).replace("\\", "")
        assert "a W-error of 0.50 needs a width of 784 at 4,096, 1,792 at 8,192 tokens of vocabulary" in text
        assert "each doubling multiplies it by 2.29" in text

    def test_what_half_the_rank_costs(self) -> None:
        text = words(opened())
        assert "14m is 128 wide. Of rank 32 at step 10,000: cut to it, its own head adds **1.000 nats**" in text
        assert "a head of that rank trained on its states adds **0.500 nats** per token to its 4.750" in text

    def test_the_playground_in_words(self) -> None:
        text = words(opened())
        assert "(under 0.01 nats) from a width of **16** on; the rank is 16" in text
        assert "A width of 8 still loses **0.800 nats** per token" in text


class TestModes:
    def test_a_demonstration_starts_nothing(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_MODE", "demo")
        app = unfolded(unfolded(opened(toy_rank="8"), "count-corpus"), "measure-heads")
        assert {button.label for button in app.button} <= {"Save"}
        assert len(app.text_input) == 0

    def test_a_hosted_one_takes_no_names_that_could_be_paths(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SATURATION_MODE", "public")
        app = unfolded(opened(), "count-corpus")
        assert len(app.get("file_uploader")) == 1
        assert len(app.text_input) == 0


def press(app: AppTest, label: str):
    return next(button for button in app.button if button.label == label)


class TestJobs:
    def test_what_is_closed_is_not_made(self, store: Store) -> None:
        app = opened()
        assert not any(button.label.startswith(("Train at", "Truncate at", "Count")) for button in app.button)
        assert len(unfolded(app, "count-corpus").text_input) == 2

    def test_without_the_weights_there_is_nothing_to_press(self, store: Store) -> None:
        app = unfolded(opened(), "measure-heads")
        assert press(app, "Train at step 10,000").disabled
        assert press(app, "Truncate at 0 other steps").disabled
        assert any("are not on this machine; choose another step" in caption.value for caption in app.caption)

    def test_what_is_started(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        started = []
        monkeypatch.setattr(board, "start", lambda settings, *job: started.append(job))
        app = unfolded(opened(family="lab", model="w8", step="30000", toy_rank="8"), "measure-heads")
        assert press(app, "Truncate at step 30,000").disabled is False
        press(app, "Train at step 30,000").click().run()
        press(app, "Train its widths").click().run()
        assert started[0] == ("heads", "lab/w8@30000", {"targets": ["lab/w8@30000"], "train": True})
        kind, title, options = started[1]
        assert (kind, title, options["rank"], options["vocab_size"]) == ("playground", "a language of rank 8", 8, 512)
