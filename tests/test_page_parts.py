"""What pages are made of: the house, the verdict, provenance, directions, coverage."""

import ast
import subprocess
import sys
from pathlib import Path

import figure_frames as frames
import numpy as np
import pandas as pd
import pytest

from saturation.figures import LIGHT
from saturation.figures.steps import nearest
from saturation.jobs import metrics
from saturation.jobs.verdict import judge_run
from saturation.settings import ROOT
from saturation.ui import coverage, directions, provenance
from saturation.ui.pages import PAGES
from saturation.ui.verdict import verdict

LOSS = metrics.MEASURED["nats_per_token"]


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
            "below 0.086). Centred, those of the first direction correlate **0.38**"
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
        assert (
            "its entries have no correlation with log token frequency: one of the two does not vary. Centred, nothing"
            in said
        )
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
            (["spectrum", "anisotropy"], "Last one", [], [3]),
            (["spectrum"], "Last one", [], []),
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
        waiting = pd.DataFrame([("lab/w8@1", "spectrum")], columns=["target", "measure"])
        known = coverage.with_queue(self.known, coverage.queued(waiting))
        assert coverage.states(known)["spectrum"].tolist()[1] == coverage.QUEUED
        assert coverage.to_measure(known, ["spectrum", "anisotropy"], "All missing", []) == [3]
        assert "A job is at it" in coverage.plan({"w8": known}, ["spectrum"], "All missing", [], {"w8": []})
        single = pd.DataFrame([("gpt2/xl", "loss")], columns=["target", "measure"])
        assert coverage.queued(single).to_dict("records") == [{"step": 0, "measure": "loss"}]

    @pytest.mark.parametrize(
        ("measures", "which", "picked", "said"),
        [
            ([], "All missing", [], "at least one measure"),
            (["loss"], "Picked rows", [], "Pick rows"),
            (["spectrum"], "All missing", [], "Step 1: spectrum"),
            (["loss"], "All missing", [], "1 checkpoint lacks these measures, but its weights are not"),
            (["loss"], "Picked rows", [0], "have these measures already"),
        ],
    )
    def test_the_plan_says_why_nothing_happens(self, measures, which, picked, said):
        steps = coverage.to_measure(self.known, measures, which, picked)
        assert said in coverage.plan({"w8": self.known}, measures, which, picked, {"w8": steps})
