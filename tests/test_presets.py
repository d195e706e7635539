"""What figures need, against every family; the command line's way to ask; from finished work to its pages."""

import json
from pathlib import Path

import dashboard_store
import pandas as pd
import pytest
from command_line import saturation
from streamlit.testing.v1 import AppTest
from test_sweep import run

from saturation import settings
from saturation.families import registry
from saturation.jobs import asking, board, catalogue, plan, presets
from saturation.jobs.head_request import default_count
from saturation.jobs.leads import Lead, leads, of_jobs
from saturation.jobs.request import HEADS, MEASURES, Request
from saturation.measures.trained_heads import learning_rates
from saturation.measures.truncated_heads import default_ranks
from saturation.settings import ROOT, Settings
from saturation.store import Store, queue
from saturation.ui.pages import PAGES

__all__ = ["run"]  # a fixture of another file
KEYS = [*presets.presets()]
ONE_STEP = ("gpt2", "opt", "gemma", "llama")


@pytest.fixture
def here(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a store in which no worker is started."""
    monkeypatch.setattr(board, "ensure_worker", lambda settings: None)
    return settings.load(cache)


class TestData:
    def test_every_preset_is_of_known_measures_pages_and_models(self) -> None:
        pages = {page.name for page in PAGES}
        for item in presets.presets().values():
            assert set(item.asked) <= {*MEASURES, *HEADS}, item.key
            assert item.asked, item.key
            assert item.page in pages, item.key
            assert item.steps in ("all", "last"), item.key
            assert item.source.startswith(("arXiv 2404.07647", "beyond the paper")), item.key
            for family, models in item.models.items():
                assert set(models) <= set(registry.family(family).models), item.key
        assert {item.page for item in presets.elsewhere()} <= pages

    @pytest.mark.parametrize("name", [*registry.families()])
    def test_each_gives_models_of_a_family_or_a_reason(self, name: str) -> None:
        family = registry.family(name)
        models = [*family.models] or ["mine"]
        fitting, refused = presets.offered(family, models)
        titles = [item.title for item in fitting] + [title for others in refused.values() for title in others]
        assert sorted(titles) == sorted(item.title for item in presets.presets().values())
        for item in fitting:
            chosen = item.of_family(name, models)
            assert chosen, item.key
            assert set(chosen) <= set(models)
        assert all(reason and not reason.endswith(".") for reason in refused)

    @pytest.mark.parametrize("name", ONE_STEP)
    def test_families_of_one_step(self, name: str) -> None:
        fitting, _ = presets.offered(registry.family(name))
        assert [item.key for item in fitting] == ["figure-2", "figure-6", "truncated", "alignment"]

    def test_the_papers_models_where_it_drew_the_family(self) -> None:
        sizes = [*registry.family("pythia").models]
        assert presets.preset("figure-4").of_family("pythia", sizes) == ["14m", "31m", "70m", "160m", "410m"]
        assert presets.preset("figure-5").of_family("pythia", sizes) == sizes
        assert presets.preset("figure-8") is presets.preset("figure-6")
        assert presets.preset("figure-4").of_family("pythia", ["14m"]) == ["14m"]
        assert presets.preset("figure-4").of_family("olmo2", ["1b"]) == ["1b"]

    @pytest.mark.parametrize("width", [1, 8, 12, 512, 768])
    def test_how_many_heads_are_trained(self, width: int) -> None:
        assert default_count(width) == len(default_ranks(width)) * len(learning_rates()) * 2


class TestHeld:
    known = pd.DataFrame({"step": [0, 5, 9]} | {name: [True, True, False] for name in (*MEASURES, *HEADS)})

    def test_counts_all_steps_or_the_last(self) -> None:
        assert presets.held(presets.preset("figure-4"), {"a": self.known}) == presets.Held(2, 3)
        two = {"a": self.known, "b": self.known[:2], "c": self.known[:0]}
        assert presets.held(presets.preset("figure-2"), two) == presets.Held(1, 2, ("c",))


class TestCommandLine:
    def test_help_lists_them(self) -> None:
        shown = saturation("sweep", "--help").stdout
        assert all(f"\n  {key} " in shown for key in KEYS)

    def test_measures_what_a_figure_needs_and_then_nothing(self, cache: Path, run: Path) -> None:
        found = saturation("--cache", cache, "sweep", run, "--preset", "figure-5", "--json").json
        steps = found["checkpoints"]
        assert (steps, found["computed"]) == (found["computed"], 3)
        again = saturation("--cache", cache, "sweep", run, "--preset", "figure-4", "--json").json
        assert (again["computed"], again["stored"]) == (0, steps)
        last = saturation("--cache", cache, "sweep", run, "--preset", "figure-4", "--steps", "last", "--json").json
        assert last["checkpoints"] == 1
        assert [model["measured"] for model in _local_runs(settings.load(cache))] == [3]

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("gpt2", "--preset", "figure-4"), "Figure 4 cannot be had of gpt2: it follows training, and a model of"),
            (("lab", "--preset", "figure-44"), "There is no preset 'figure-44'; did you mean figure-4"),
            (("lab", "--preset", "figure-6", "--measures", "loss"), "--preset figure-6 trains or cuts heads one after"),
        ],
    )
    def test_what_cannot_be_had(self, cache: Path, arguments: tuple[str, ...], sentence: str) -> None:
        assert saturation("--cache", cache, "sweep", *arguments).sentence.startswith(sentence)


def _local_runs(here: Settings) -> list[dict]:
    listed = catalogue.families(here, _store(here.cache))
    return next(item["models"] for item in listed if item["name"] == "local")


def _store(cache: Path) -> Store:
    return Store(cache / "measurements.duckdb")


def places(here: Settings, name: str) -> set[str]:
    """Where the weights of a local run are, as the catalogue tells."""
    store = _store(here.cache)
    known = catalogue.weights(here, store, "local", name)
    return set(catalogue.table(store, "local", name, known)["place"])


class TestAsking:
    def test_only_what_is_missing_is_queued_heads_as_work_of_their_own(self, here: Settings) -> None:
        ids = asking.ask(here, {"lab/w8@0": ("loss", HEADS[0]), "lab/w16@0": ("spectrum",)})
        store = _store(here.cache)
        first = queue.jobs_of(store, ids[0])
        assert list(first["kind"])[-2:] == ["measure", "measure"]
        asked = set(zip(first["target"], first["measure"], strict=True))
        assert asked >= {("lab/w8@0", "loss"), ("lab/w16@0", "spectrum")}
        waiting = asking.of_model(asking.waiting(store, "lab"), "lab/w8")
        assert list(zip(waiting["target"], waiting["measure"], strict=True)) == [
            ("lab/w8@0", "loss"),
            ("lab/w8@0", HEADS[0]),
        ]
        assert board.find(here, ids[1]).kind == "heads"

    def test_a_local_run_that_moved_has_no_weights(self, here: Settings, run: Path) -> None:
        saturation("--cache", here.cache, "sweep", run, "--preset", "figure-5")
        name = _local_runs(here)[0]["name"]
        assert places(here, name) == {"here"}
        run.rename(run.with_name("elsewhere"))
        assert places(here, name) == {""}


class TestLeads:
    def test_of_each_kind(self, run: Path) -> None:
        def job(kind: str, target: str, measure: str | None = None, **options: object) -> dict:
            return {"kind": kind, "target": target, "measure": measure, "settings": json.dumps(options)}

        found = of_jobs(
            [
                job(plan.MEASURE, "lab/w8@0", "spectrum"),
                job(plan.MEASURE, "lab/w8@50", "spectrum"),
                job(plan.MEASURE, "lab/w16@900", "alignment"),
                job(plan.MEASURE, "gpt2/small", "loss"),
                job("heads", "x", targets=[str(run / "step10")], train=False),
            ]
        )
        assert found[:2] == (
            Lead("Performance", {"family": "gpt2", "model": "small", "step": "0"}),
            Lead("Singular values", {"family": "lab", "model": "w8", "step": "50"}),
        )
        assert found[2].page == "Bottleneck"
        assert found[2].address["family"] == "local"
        assert found[2].address["model"].startswith(f"{run.name}~")
        assert found[2].address["step"] == "10"
        toy = {"rank": 8, "vocab_size": 512, "contexts": 256, "zipf_exponent": 0.5, "logit_scale": 1.0, "seed": 0}
        (played,) = of_jobs([job("playground", "a language", **toy)])
        assert played.address["toy_zipf"] == "0.5"
        assert played.address["toy_vocab_size"] == "512"
        assert of_jobs([job("ngram", "a.txt")]) == (Lead("Bottleneck", {}),)

    def test_a_finished_job_leads_to_its_page(self, here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_CACHE", str(here.cache))
        store = dashboard_store.fill(here.store_path)
        job_id = board.submit(here, ["lab/w8@0"], Request(("anisotropy",)).measures)
        assert leads(store) == {}
        for given in queue.give(store, "worker", [plan.AUDIT, plan.MEASURE], most=5):
            queue.finish(store, "worker", [(given, queue.Outcome("done"))])
        wanted = {"family": "lab", "model": "w8", "step": "0"}
        assert leads(store) == {job_id: (Lead("Anisotropy", wanted),)}
        links = [item.proto for item in _page(family="lab", model="w16").main.get("page_link")]
        assert "family=lab&model=w8&step=0" in [link.query_string for link in links if link.label == "Anisotropy"]


def _page(**address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in address.items():
        app.query_params[key] = value
    app.switch_page("pages/7_Measure.py").run()
    assert not app.exception
    return app


class TestPage:
    @pytest.fixture(autouse=True)
    def _stored(self, here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_CACHE", str(here.cache))
        monkeypatch.delenv("SATURATION_MODE", raising=False)
        dashboard_store.fill(here.store_path)

    def test_a_figure_fills_the_controls_in(self) -> None:
        app = _page(family="pythia", model="14m")
        app.selectbox(key="measure-preset").select("figure-4").run()
        assert not app.exception
        assert app.session_state["measure-measures"] == ["spectrum"]
        assert app.session_state["measure-which"] == "All missing"
        assert app.multiselect(key="measure-models").value == ["14m", "31m", "70m", "160m", "410m"]
        said = " ".join(item.value for item in [*app.markdown, *app.caption])
        assert "**Figure 4** draws the map" in said
        assert "checkpoints measured" in said
        app.multiselect(key="measure-models").set_value(["14m"]).run()
        assert any("changed since" in caption.value for caption in app.caption)
        app.button(key="measure-again").click().run()
        assert len(app.multiselect(key="measure-models").value) == 5

    def test_what_a_family_cannot_have_says_why(self) -> None:
        app = _page(family="gpt2", model="small")
        assert len(app.selectbox(key="measure-preset").options) == 4
        said = [caption.value for caption in app.caption]
        assert any(text.startswith("Figure 1a, Figure 3, Figure 4, Figure 5: it follows training") for text in said)

    def test_a_folder_is_looked_at_before_it_is_measured(self, run: Path, here: Settings) -> None:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        app.session_state["folder-path"], app.session_state["folder-text"] = str(run), str(run / "none.txt")
        app.switch_page("pages/7_Measure.py").run()
        assert any("There is no text file" in error.value for error in app.error)
        app.text_input(key="folder-text").set_value("").run()
        app.selectbox(key="folder-preset").select("figure-5").run()
        assert not app.exception
        assert any("of computing" in caption.value for caption in app.caption)
        app.button(key="folder-start").click().run()
        assert not app.exception
        (job,) = board.jobs(here)
        assert (job.measures, job.total) == (("spectrum",), 3)
