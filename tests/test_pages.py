"""The pages without a browser: selection, verdict, provenance, coverage, each page on a known store."""

import ast
import dataclasses
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dashboard_store
import figure_frames as frames
import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from saturation.figures import LIGHT
from saturation.figures.steps import nearest
from saturation.jobs import board, metrics
from saturation.jobs.verdict import judge_run
from saturation.settings import ROOT
from saturation.ui import coverage, directions, provenance
from saturation.ui.pages import PAGES
from saturation.ui.selection import Asked, Selection, decode, encode, resolve
from saturation.ui.verdict import verdict

LOSS = metrics.MEASURED["nats_per_token"]

MODELS = {"lab": ["w8", "w16", "w32"], "pythia": ["14m", "70m"], "gpt2": ["small"]}
MEASURED = {"lab": ["w8", "w16"], "pythia": ["70m"], "gpt2": []}
STEPS = {"lab/w8": [0, 1, 2, 500], "lab/w16": [0, 100], "pythia/70m": [0, 143_000]}
METRICS = {"lab": ["loss", "accuracy"], "pythia": ["sciq/acc"]}


def resolved(asked: Asked) -> tuple[Selection, list[str]]:
    return resolve(
        asked,
        MODELS,
        MEASURED.__getitem__,
        lambda family, model: STEPS.get(f"{family}/{model}", []),
        lambda family: METRICS.get(family, []),
    )


class TestHouse:
    def test_every_page_of_the_menu_exists_and_every_page_is_in_the_menu(self):
        listed = {page.path for page in PAGES}
        assert listed == {"app.py"} | {f"pages/{path.name}" for path in (ROOT / "pages").glob("*.py")}
        assert len({page.name for page in PAGES}) == len(PAGES)

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_pages_stay_thin(self, page):
        assert len((ROOT / page.path).read_text(encoding="utf-8").splitlines()) <= 120

    def test_the_dashboards_process_never_imports_torch(self):
        modules = [
            "saturation.figures",
            "saturation.store.queries",
            "saturation.jobs.board",
            "saturation.jobs.catalogue",
        ]
        modules += [f"saturation.ui.{path.stem}" for path in (ROOT / "saturation/ui").glob("[a-z]*.py")]
        check = (
            f"import sys, importlib; [importlib.import_module(name) for name in {modules}]; "
            "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
        )
        result = subprocess.run(
            [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
        )
        assert result.stdout.strip().splitlines()[-1] == "[]"

    def test_figures_need_neither_streamlit_nor_a_store(self):
        check = "import sys, saturation.figures; print(sorted({'streamlit', 'duckdb', 'torch'} & set(sys.modules)))"
        result = subprocess.run(
            [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
        )
        assert result.stdout.strip() == "[]"

    def test_only_the_ui_folder_imports_streamlit(self):
        importing = {
            path.relative_to(ROOT / "saturation").parts[0]
            for path in (ROOT / "saturation").rglob("*.py")
            if "streamlit" in _imports(path)
        }
        assert importing <= {"ui"}


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


class TestSelection:
    def test_nothing_asked_shows_the_last_step_of_the_first_measured_model(self):
        selection, notes = resolved(Asked())
        assert selection == Selection(family="lab", model="w8", models=("w8", "w16"), step=500)
        assert notes == []

    def test_a_family_opens_with_its_first_measured_model(self):
        assert resolved(Asked(family="pythia"))[0].model == "70m"

    @pytest.mark.parametrize(
        "selection",
        [
            Selection("lab", "w16", ("w8", "w16"), 100),
            Selection("lab", "w8", ("w16",), 2, view="centred", scale="log", ranks="all", colour="log"),
            Selection("gpt2", "small", (), None),
            Selection("lab", "w8", ("w8", "w16"), 0, norm="before", divide="sum", by="hidden_size", fitted="best"),
            Selection("lab", "w8", ("w8",), 0, metric="accuracy", numbers={"fit_from": 4.1e8, "law_e": 1.69}),
            Selection("pythia", "70m", ("70m",), 0, metric="sciq/acc"),
        ],
    )
    def test_an_address_brings_back_what_was_selected(self, selection):
        address = encode(selection, MEASURED[selection.family])
        assert resolved(decode(address)) == (selection, [])

    def test_defaults_of_the_view_are_left_out_of_the_address_but_never_the_step(self):
        selection = Selection("lab", "w8", ("w8", "w16"), 500)
        assert encode(selection, ["w8", "w16"]) == {"family": "lab", "model": "w8", "step": "500"}

    @pytest.mark.parametrize(
        ("asked", "shown", "said"),
        [
            (Asked(family="labs"), {"family": "lab"}, "no family “labs” here; showing lab"),
            (Asked(family="xyz"), {"family": "lab"}, "no family “xyz”"),
            (Asked(family="pythia", model="71m"), {"model": "70m"}, "no model of pythia “71m” here; showing 70m"),
            (Asked(models=("w16", "w99")), {"models": ("w16",)}, "“w99” to compare; showing w16"),
            (Asked(models=("w32",)), {"models": ("w8", "w16")}, "showing all of them"),
            (Asked(step="30"), {"step": 2}, "Step 30 of lab/w8 is not measured; showing the nearest, 2."),
            (Asked(step="-4"), {"step": 0}, "the nearest, 0"),
            (Asked(step="last"), {"step": 500}, "“last” is no training step"),
            (Asked(view="sideways"), {"view": "plain"}, "no view “sideways”"),
            (Asked(family="gpt2", step="3"), {"step": None}, "nothing is measured for gpt2/small"),
            (Asked(metric="accurcy"), {"metric": "accuracy"}, "no metric of lab “accurcy” here; showing accuracy"),
            (Asked(family="pythia", metric="loss"), {"metric": "sciq/acc"}, "no metric of pythia “loss”"),
            (Asked(numbers={"law_e": "high"}), {"numbers": {}}, "“high” is no law_e between 0 and 20"),
            (Asked(numbers={"level": "-1", "law_b": "5"}), {"numbers": {"law_b": 5.0}}, "“-1” is no level"),
        ],
    )
    def test_what_does_not_exist_is_said_and_the_nearest_is_shown(self, asked, shown, said):
        selection, notes = resolved(asked)
        assert {key: getattr(selection, key) for key in shown} == shown
        assert len(notes) == 1
        assert said in notes[0]

    def test_unknown_parameters_are_left_alone(self):
        assert decode({"utm": "x", "family": "lab", "models": "w8,,w16"}) == Asked(family="lab", models=("w8", "w16"))


class TestVerdict:
    steps = tuple(range(0, 2000, 100))

    def judged(self, losses, **columns):
        return self.of(frames.trajectory(steps=self.steps, nats_per_token=list(losses), **columns))

    def of(self, trajectory):
        curve = trajectory.assign(value=trajectory["nats_per_token"])
        run, doubtful = judge_run(curve, trajectory, LOSS)
        return verdict(run, doubtful, curve, trajectory, LOSS)

    def test_a_rise_that_stays_is_a_turn(self):
        found = self.judged(np.r_[np.linspace(6, 3, 10), np.linspace(3.02, 3.3, 10)])
        assert found.state == "turned"
        assert "Saturated **since step 1," in found.sentences[0]
        assert "**3.000 nats/token** at step 900" in found.sentences[1]
        assert "10.0 % worse" in found.sentences[1]

    def test_falling_to_the_end(self):
        found = self.judged(np.linspace(6, 3, 20))
        assert (found.state, found.headline) == ("falling", "Not so far: the loss is still improving.")
        assert "The last checkpoint, step 1,900, has the best loss" in found.sentences[0]

    def test_a_best_just_before_the_end(self):
        found = self.judged(np.r_[np.linspace(6, 3, 19), 3.001])
        assert (found.state, found.headline) == ("falling", "Not so far: the best loss is recent.")

    def test_noise_on_a_plateau_is_no_turn(self):
        wobble = 0.05 * np.where(np.arange(10) % 2, 1.0, -1.0)
        assert self.judged(np.r_[np.linspace(6, 3, 10), 3.0 + wobble]).state == "level"

    def test_a_rise_that_came_back_is_no_turn(self):
        assert self.judged(np.r_[np.linspace(6, 3, 10), np.linspace(3.3, 3.0005, 10)]).state != "turned"

    def test_too_few_checkpoints_give_no_verdict(self):
        assert self.of(frames.trajectory()).state == "unknown"

    def test_floor_is_stated_as_a_distance(self):
        found = self.judged(np.linspace(6, 3, 20), floor=[2.0] * 20)
        assert "exact entropy is 2.000: the best lies 50.0 % above it" in found.sentences[0]

    def test_doubtful_checkpoints_are_left_out_and_counted(self):
        losses = np.linspace(6, 3, 20)
        losses[4] = 0.1
        found = self.judged(losses, doubtful=[None] * 4 + ["wrong weights"] + [None] * 15)
        assert found.state == "falling"
        assert found.notes == ("1 doubtful checkpoint is left out.",)

    def test_first_steps_are_no_minimum(self):
        entropy = [0.001, *np.linspace(1.0, 0.4, 10), *np.linspace(0.5, 0.9, 9)]
        found = self.judged(np.linspace(6, 3, 20), singular_entropy=entropy)
        assert "**0.900 nats** now; its minimum after the first steps was 0.400, at step 1,000" in found.sentences[2]

    def test_words_never_claim_a_cause(self):
        found = self.judged(np.r_[np.linspace(6, 3, 10), np.linspace(3.02, 3.3, 10)])
        text = " ".join((found.headline, *found.sentences)).lower()
        assert not any(word in text for word in ("because", "cause", "due to", "leads to", "therefore"))


class TestProvenance:
    rows = pd.DataFrame(
        {
            "family": "lab",
            "model": ["w8", "w8", "w16"],
            "step": [0, 1000, 5],
            "measure": ["spectrum", "loss", "spectrum"],
            "version": [1, 2, 1],
            "text_name": [None, "lab-language", None],
            "tokens": [np.nan, 50_000, np.nan],
            "dtype": "float32",
            "measured_at": pd.to_datetime(["2026-01-01", "2026-01-03", "2026-01-02"], utc=True),
        }
    )

    def test_line_says_what_the_figure_was_drawn_from(self):
        assert provenance.line(self.rows, ("spectrum", "loss"), ("w8",)) == (
            "lab/w8 · 2 checkpoints, steps 0–1,000 · text lab-language, 50,000 tokens · float32 · "
            "spectrum v1, loss v2 · measured 2026-01-01 to 2026-01-03"
        )

    def test_a_measure_that_needs_no_text_names_none(self):
        line = provenance.line(self.rows, ("spectrum",), ("w16",))
        assert line == "lab/w16 · 1 checkpoint, step 5 · float32 · spectrum v1 · measured 2026-01-02"

    def test_nothing_measured(self):
        assert provenance.line(self.rows, ("anisotropy",), ("w8",)) == "Nothing measured yet."

    def test_a_metric_was_imported_or_measured(self):
        imported = pd.DataFrame(
            {
                "family": "pythia",
                "model": ["70m", "70m", "160m"],
                "step": [0, 1000, 1000],
                "task": "sciq",
                "metric": ["acc", "acc", "acc_norm"],
                "shots": 0,
                "harness": "lm-eval before 0.4",
                "imported_at": pd.Timestamp("2026-11-24", tz="UTC"),
            }
        )
        assert provenance.of_metric(self.rows, imported, "sciq/acc", ("70m", "160m")) == (
            "pythia: 70m · 2 imported results at 2 steps, 0–1,000 · sciq, 0 examples in the prompt"
            " · lm-eval before 0.4 · imported 2026-11-24"
        )
        assert provenance.of_metric(self.rows, imported, "sciq/acc", ("160m",)) == "Nothing imported yet."
        assert provenance.of_metric(self.rows, imported, "loss", ("w8",)) == provenance.line(
            self.rows, ("loss",), ("w8",)
        )


class TestDirections:
    def test_a_shift_that_softmax_ignores_is_said_to_be_one(self):
        said = directions.answer(frames.alignment().assign(ones_alignment=0.97), 1000, 1000)
        assert said.startswith(
            "At step 1,000 the first direction of the head is **0.97** aligned with all-ones – close to a shift of all "
            "logits, which softmax ignores – and its entries correlate **0.76** with log token frequency (chance: "
            "below 0.086). Without the row mean, those of the first direction correlate **0.38**"
        )
        assert "last checkpoint" not in said

    def test_the_last_sure_checkpoint_is_the_end(self):
        rows = frames.alignment()
        rows.loc[rows["step"] == 1000, "doubtful"] = "same weights as step 4"
        said = directions.answer(rows, 1, 7)
        assert said.startswith("At step 1, the nearest with this measure, the first direction")
        assert "At the last checkpoint, step 4: **0.30** along all-ones, correlation **0.77**" in said
        assert "At step 1,000 (a doubtful checkpoint) the" in directions.answer(rows, 1000, 1000)

    def test_what_has_no_correlation(self):
        rows = frames.alignment().assign(
            frequency_correlation=np.nan, centred_ones_alignment=np.nan, correlation_by_chance=np.nan
        )
        said = directions.answer(rows, 1000)
        assert "its entries have no correlation with log token frequency: one of the two does not vary. Nothing" in said
        assert "chance" not in said
        assert "nan" not in said

    def test_words_never_claim_a_cause(self):
        said = directions.answer(frames.alignment(), 2).lower()
        assert not any(word in said for word in ("because", "cause", "due to", "leads to", "therefore"))

    def test_tokens_are_escaped_and_cut(self):
        rows = [
            {"rank": 1, "side": side, "place": place, "token": token, "token_id": place, "entry": 0.25}
            for side in ("top", "bottom")
            for place, token in ((2, "x" * 40), (1, "<script>&\"'"))
        ]
        shown = directions.table(pd.DataFrame(rows), LIGHT)
        assert "<script>" not in shown
        first = '<code title="id 1, entry 0.2500">&lt;script&gt;&amp;&quot;&#x27;</code>'
        assert shown.count(f'{first} <code title="id 2, entry 0.2500">{"x" * 23}…</code>') == 2
        assert shown.count("<tr") == 2


class TestCoverage:
    known = pd.DataFrame(
        {
            "step": [0, 1, 2, 3],
            "available": [True, True, False, True],
            "place": ["here", "hub", "", "here"],
            "spectrum": [True, False, False, True],
            "anisotropy": [True, True, False, False],
            "loss": [True, True, False, True],
            "alignment": [False] * 4,
        }
        | {f"{measure}_queued": [False] * 4 for measure in coverage.MEASURES}
    )

    def test_states_in_words(self):
        table = coverage.states(self.known)
        assert table["spectrum"].tolist() == [coverage.DONE, coverage.READY, coverage.AWAY, coverage.DONE]
        assert table["weights"].tolist() == ["here", "hub", "not here", "here"]

    @pytest.mark.parametrize(
        ("measures", "which", "picked", "steps"),
        [
            (["spectrum", "anisotropy", "loss"], "All missing", [], [1, 3]),
            (["loss"], "All missing", [], []),
            (["spectrum", "anisotropy"], "Picked rows", [3, 2], [3]),
            ([], "All missing", [], []),
        ],
    )
    def test_what_a_job_would_measure(self, measures, which, picked, steps):
        assert coverage.to_measure(self.known, measures, which, picked) == steps

    def test_about_twenty_spread_over_the_orders_of_magnitude(self):
        steps = [0, *(2**power for power in range(10)), *range(1000, 144_000, 1000)]
        chosen = coverage.spread(steps)
        assert (chosen[0], chosen[-1]) == (0, 143_000)
        assert 12 <= len(chosen) <= 20
        assert all(nearest(chosen, step) in steps for step in steps)
        assert len([step for step in chosen if step < 1000]) >= 5

    def test_what_a_running_job_is_at_is_not_offered_again(self):
        job = board.Job(
            id="a",
            title="t",
            targets=("lab/w8@1", "lab/w16@3"),
            measures=("spectrum",),
            text=None,
            state="running",
            done=0,
            total=2,
            message="",
            error=None,
            started=datetime.now(UTC),
            finished=None,
            pid=None,
        )
        known = coverage.with_queue(self.known, coverage.queued([job], "lab/w8"))
        assert coverage.states(known)["spectrum"].tolist()[1] == coverage.QUEUED
        assert coverage.to_measure(known, ["spectrum", "anisotropy"], "All missing", []) == [3]
        assert "A job is at it" in coverage.plan(known, ["spectrum"], "All missing", [], [])
        ended = dataclasses.replace(job, state="done")
        assert coverage.queued([ended], "lab/w8").empty

    @pytest.mark.parametrize(
        ("measures", "which", "picked", "said"),
        [
            ([], "All missing", [], "at least one measure"),
            (["loss"], "Picked rows", [], "Pick rows"),
            (["spectrum"], "All missing", [], "Steps 1 to 1: spectrum"),
            (["loss"], "All missing", [], "1 checkpoints lack these measures, but their weights are not"),
            (["loss"], "Picked rows", [0], "have these measures already"),
        ],
    )
    def test_the_plan_says_why_nothing_happens(self, measures, which, picked, said):
        steps = coverage.to_measure(self.known, measures, which, picked)
        assert said in coverage.plan(self.known, measures, which, picked, steps)


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
    assert any("is not measured for pythia/31m yet" in element.value for element in app.markdown)


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
    assert app.metric[0].delta == "22.22 % above its best"


@pytest.mark.parametrize("page", [page.path for page in PAGES if page.controls])
def test_an_unmeasured_model_leads_to_measuring_it(cache, page):
    dashboard_store.fill(cache / "measurements.duckdb")
    app = opened(page, family="gpt2")
    assert not app.exception
    assert any("Nothing is measured for gpt2/small yet" in element.value for element in app.markdown)


@pytest.mark.parametrize("page", [page.path for page in PAGES])
def test_a_damaged_store_is_one_sentence_and_no_traceback(cache, page):
    (cache / "measurements.duckdb").write_bytes(b"not a database" * 100)
    app = opened(page)
    assert not app.exception
    assert len(app.error) == 1


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


def test_only_a_local_server_takes_folders(cache, monkeypatch):
    dashboard_store.fill(cache / "measurements.duckdb")
    assert [field.label for field in opened("pages/7_Measure.py").text_input] == ["Folder"]
    monkeypatch.setenv("SATURATION_MODE", "public")
    assert len(opened("pages/7_Measure.py").text_input) == 0
