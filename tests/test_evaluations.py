"""Bringing results of the LM Evaluation Harness in: files, folders, uploads, the command line, and their onset."""

import json
import os
from pathlib import Path

import pytest
import result_files
import store_rows
from command_line import saturation

from saturation.checkpoints.local import run_name
from saturation.errors import UnknownNameError
from saturation.jobs import imports
from saturation.jobs import result_files as reading
from saturation.jobs.evaluations import import_results, import_uploads
from saturation.jobs.metrics import curve, named
from saturation.jobs.onset import judge
from saturation.store import Store, queries

EVALUATIONS = Path(__file__).resolve().parents[2] / "shared" / "data" / "pythia-evals"
published = pytest.mark.skipif(
    not EVALUATIONS.is_dir(), reason="the published Pythia evaluations are not on this machine"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_rows.empty_store(tmp_path / "cache" / "measurements.duckdb")


class TestImport:
    def test_folders_files_and_what_is_neither(self, store: Store, tmp_path: Path) -> None:
        top = tmp_path / "results"
        result_files.write(top / "pythia-70m" / "70m_step3000.json", result_files.old())
        result_files.write(top / "EleutherAI__pythia-160m" / "results_2026.json", result_files.new())
        damaged = result_files.write(top / "damaged.json", '{"results": ')
        other = result_files.write(top / "config.json", {"hidden_size": 8})
        result_files.write(top / "notes.txt", "not read")
        empty = result_files.write(top / "empty.json", b"")
        binary = result_files.write(top / "binary.json", b"\xff\xfe\x00")
        deep = result_files.write(top / "deep.json", "[" * 100_000)
        report = import_results(store, [top, tmp_path / "nowhere"])
        assert (report.files, report.results, report.repeated) == (2, 8, 0)
        assert dict(report.not_understood) == {
            str(tmp_path / "nowhere"): "There is no such file or folder.",
            str(damaged): "It is no JSON, or is damaged.",
            str(empty): "It is no JSON, or is damaged.",
            str(binary): "It is no JSON, or is damaged.",
            str(deep): "It is no JSON, or is damaged.",
            str(other): "It is no result file of the LM Evaluation Harness: it has no `results`.",
        }
        held = queries.evaluations(store, "pythia")
        assert len(held) == 8
        row = held[(held["task"] == "lambada_openai") & (held["metric"] == "perplexity")].iloc[0]
        assert (row["model"], row["step"], row["value"], row["source"]) == ("70m", 3000, 142.5, "70m_step3000.json")

    def test_twice_leaves_one_row_and_the_newer_value(self, store: Store, tmp_path: Path) -> None:
        path = result_files.write(tmp_path / "step3000.json", result_files.old())
        import_results(store, [path, path, tmp_path / "." / "step3000.json"])
        changed = result_files.old()
        changed["results"]["lambada_openai"]["acc"] = 0.75
        result_files.write(path, changed)
        report = import_results(store, [path])
        held = queries.evaluations(store, "pythia", ["70m"], "lambada_openai", "acc")
        assert (report.results, list(held["value"])) == (4, [0.75])

    def test_two_files_with_the_same_result(self, store: Store, tmp_path: Path) -> None:
        result_files.write(tmp_path / "a" / "results_2025.json", result_files.old())
        later = result_files.old()
        later["results"]["lambada_openai"]["acc"] = 0.75
        result_files.write(tmp_path / "a" / "results_2026.json", later)
        report = import_results(store, [tmp_path / "a"])
        assert (report.files, report.results, report.repeated) == (2, 4, 4)
        assert queries.evaluations(store, "pythia", ["70m"], "lambada_openai", "acc")["value"].tolist() == [0.75]

    def test_loops_of_links_and_links_to_nowhere(self, store: Store, tmp_path: Path) -> None:
        top = tmp_path / "results"
        result_files.write(top / "step3000.json", result_files.old())
        (top / "again").symlink_to(top, target_is_directory=True)
        (top / "gone.json").symlink_to(tmp_path / "nowhere")
        (top / "self.json").symlink_to(top / "self.json")
        os.mkfifo(top / "pipe.json")
        report = import_results(store, [top])
        no_file = "It is no regular file, or a link to nowhere."
        assert (report.files, dict(report.not_understood)) == (
            1,
            {
                str(top / "again"): "The folder is linked into itself or twice below it; it was read once.",
                str(top / "gone.json"): no_file,
                str(top / "pipe.json"): no_file,
                str(top / "self.json"): no_file,
            },
        )

    def test_bounds(self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for step in (1, 2, 3):
            result_files.write(tmp_path / "r" / f"step{step}.json", result_files.old(revision=f"step{step}"))
        monkeypatch.setattr(reading, "MAX_FILES", 2)
        report = import_results(store, [tmp_path / "r"])
        assert (report.files, report.not_understood) == (
            2,
            [(str(tmp_path / "r"), "It holds more than 2 JSON files; import its folders one by one.")],
        )
        monkeypatch.setattr(reading, "MAX_BYTES", 10)
        report = import_results(store, [tmp_path / "r" / "step1.json"])
        assert (report.files, report.not_understood[0][1]) == (
            0,
            "It is larger than 64 MB, which no result file of the harness is.",
        )

    def test_a_local_run_has_the_name_it_is_measured_under(self, store: Store, tmp_path: Path) -> None:
        checkpoint = tmp_path / "run" / "checkpoint-40"
        checkpoint.mkdir(parents=True)
        state = result_files.write(tmp_path / "run" / "final" / "trainer_state.json", {"global_step": 50})
        for name, place in (("a.json", checkpoint), ("b.json", state.parent)):
            result_files.write(tmp_path / "results" / name, result_files.new(str(place), None))
        report = import_results(store, [tmp_path / "results"])
        assert {name: entry.steps for name, entry in report.models.items()} == {
            f"local/{run_name(tmp_path / 'run')}": {40},
            f"local/{run_name(state.parent)}": {50},
        }

    def test_uploads_are_not_looked_for_on_this_machine(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = result_files.write(tmp_path / "run" / "final" / "trainer_state.json", {"global_step": 50})
        monkeypatch.chdir(tmp_path)
        uploads = [
            ("a.json", json.dumps(result_files.new(str(state.parent), None)).encode()),
            ("b.json", json.dumps(result_files.new("run/final/", None)).encode()),
            ("folder/pythia-70m/step3000.json", json.dumps(result_files.old()).encode()),
        ]
        report = import_uploads(store, uploads)
        assert report.models[f"local/{run_name(state.parent)}"].steps == {0}
        assert [name for name, _ in report.not_understood] == ["b.json"]

    def test_a_repository_known_to_have_steps_needs_one(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = result_files.write(tmp_path / "results.json", result_files.new("me/run", None))
        assert import_results(store, [path]).models["hub/me--run"].steps == {0}
        listed = {None: None, 10: None, 20: None}
        monkeypatch.setattr("saturation.jobs.evaluations.library.checkpoints", lambda *arguments: listed)
        assert import_results(store, [path]).not_understood == [
            (
                str(path),
                "It names no step of me/run, which has 2 of them; give the model (--model family/model) and put the "
                "step into the file's name.",
            )
        ]

    def test_an_unknown_model_is_said_once(self, store: Store, tmp_path: Path) -> None:
        path = result_files.write(tmp_path / "step3000.json", result_files.old())
        with pytest.raises(UnknownNameError, match="There is no model '71m' in pythia"):
            import_results(store, [path], model="pythia/71m")

    def test_progress(self, store: Store, tmp_path: Path) -> None:
        for step in (1, 2):
            result_files.write(tmp_path / "r" / f"step{step}.json", result_files.old(revision=f"step{step}"))
        seen: list[tuple[int, int, str]] = []
        import_results(store, [tmp_path / "r"], progress=lambda *said: seen.append(said))
        assert seen == [(0, 2, "step1.json"), (1, 2, "step2.json")]


class TestCommandLine:
    def test_a_table_and_what_was_not_understood(self, cache: Path, tmp_path: Path) -> None:
        old = result_files.old()
        old["results"]["lambada_openai"]["acc"] = "N/A"
        result_files.write(tmp_path / "r" / "70m_step3000.json", old)
        result_files.write(tmp_path / "r" / "70m_step4000.json", result_files.old(revision="step4000"))
        wrong = result_files.write(tmp_path / "r" / "70m_step5000.json", result_files.old())
        found = saturation("import", tmp_path / "r")
        assert (found.code, found.stdout.splitlines()) == (
            0,
            [
                "7 results of 2 files:",
                "  pythia/70m  2 steps (3,000 to 4,000), 2 tasks, 7 values",
                "1 value skipped:",
                f"  {tmp_path}/r/70m_step3000.json: lambada_openai/acc is 'N/A', not a finite number.",
                "1 file not understood:",
                f"  {wrong}: Its name says step 5000, but its configuration says step 3000; rename it.",
            ],
        )

    def test_json(self, cache: Path, tmp_path: Path) -> None:
        path = result_files.write(tmp_path / "step3000.json", result_files.old())
        assert saturation("import", path, "--json").json == {
            "files": 1,
            "results": 4,
            "repeated": 0,
            "models": [
                {
                    "family": "pythia",
                    "model": "70m",
                    "steps": [3000],
                    "tasks": ["crows_pairs_english", "lambada_openai"],
                    "results": 4,
                }
            ],
            "packs": [],
            "not_understood": [],
            "skipped": [],
        }

    def test_a_stated_model(self, cache: Path, tmp_path: Path) -> None:
        path = result_files.write(tmp_path / "step3000.json", result_files.old())
        models = saturation("import", path, "--model", "pythia/160m", "--json").json["models"]
        assert [(entry["model"], entry["steps"]) for entry in models] == [("160m", [3000])]

    def test_nothing_imported_is_a_failure(self, cache: Path, tmp_path: Path) -> None:
        one = result_files.write(tmp_path / "r" / "a.json", {"results": {}, "config": {}})
        assert saturation("import", one).sentence == f"{one}: It holds no number: its `results` are empty."
        result_files.write(tmp_path / "r" / "b.json", "x")
        assert saturation("import", tmp_path / "r").sentence == (
            f"None of 2 files was understood; the first: {one}: It holds no number: its `results` are empty."
        )
        (tmp_path / "empty").mkdir()
        assert saturation("import", tmp_path / "empty").sentence == (
            "There is no JSON file to import; name result files of the LM Evaluation Harness, or their folder."
        )
        pack = result_files.write(tmp_path / "a.pack.zip", b"no zip")
        assert saturation("import", pack).sentence == (
            "a.pack.zip is no measurement pack or is damaged; export or download it again."
        )

    def test_evaluations_travel_in_packs_beside_files(self, cache: Path, tmp_path: Path) -> None:
        saturation("import", result_files.write(tmp_path / "step3000.json", result_files.old()))
        pack = tmp_path / "a.pack.zip"
        made = saturation("export", pack, "--models", "pythia/70m").stdout
        assert made == f"{pack}: 0 measurements of 0 checkpoints, 4 evaluations.\n"
        damaged = result_files.write(tmp_path / "b.pack.zip", b"no zip")
        newer = result_files.write(tmp_path / "step1000.json", result_files.new())
        arguments = ("--cache", tmp_path / "other", "import", pack, damaged, newer)
        assert saturation(*arguments).stdout.splitlines() == [
            "0 measurements and 4 evaluations added.",
            "4 results of 1 file:",
            "  pythia/160m  1 step (1,000), 3 tasks, 4 values",
            "1 file not understood:",
            "  b.pack.zip is no measurement pack or is damaged; export or download it again.",
        ]

    def test_a_long_list_of_problems_is_cut(self, cache: Path, tmp_path: Path) -> None:
        for number in range(22):
            result_files.write(tmp_path / "r" / f"{number:02}.json", "x")
        result_files.write(tmp_path / "r" / "step3000.json", result_files.old())
        lines = saturation("import", tmp_path / "r").stdout.splitlines()
        assert lines[2] == "22 files not understood:"
        assert (len(lines), lines[-1]) == (24, "  and 2 more (--json lists all)")


def test_uploaded_packs(tmp_path: Path, cache: Path) -> None:
    saturation("import", result_files.write(tmp_path / "step3000.json", result_files.old()))
    saturation("export", tmp_path / "a.pack.zip", "--models", "pythia/70m")
    uploads = [("../../<b>.zip", (tmp_path / "a.pack.zip").read_bytes()), ("bad.zip", b"x")]
    report = imports.bring_in_uploads(store_rows.empty_store(tmp_path / "other" / "measurements.duckdb"), uploads)
    assert report.packs == {"../../<b>.zip": (0, 4)}
    assert report.not_understood == [
        ("bad.zip", "bad.zip is no measurement pack or is damaged; export or download it again.")
    ]


class TestOnset:
    def rising(self, tmp_path: Path) -> Path:
        values = [8.0, 6.0, 5.0, 4.5, 4.2, 4.0, 4.0, 4.0, 4.2, 4.4, 4.6, 4.8]
        for step, value in zip(range(1000, 13_000, 1000), values, strict=True):
            loaded = result_files.old(revision=f"step{step}")
            loaded["results"] = {"lambada_openai": {"ppl": value, "score": value}}
            result_files.write(tmp_path / "r" / f"step{step}.json", loaded)
        return tmp_path / "r"

    def test_of_an_imported_metric_by_both_its_names(self, cache: Path, tmp_path: Path) -> None:
        saturation("import", self.rising(tmp_path))
        for name in ("lambada_openai/ppl", "lambada_openai/perplexity"):
            found = saturation("onset", "pythia/70m", "--metric", name, "--json").json
            assert (found["saturated"], found["best_step"], found["onset_step"]) == (True, 6000, 9000)
            assert (found["best_value"], found["final_value"], found["checkpoints"]) == (4.0, 4.8, 12)

    def test_sentences(self, cache: Path, tmp_path: Path) -> None:
        saturation("import", self.rising(tmp_path))
        say = {
            ("70m", "lambada_openai/score"): "Whether more or less of lambada_openai score is better is not stated, "
            "so nothing is judged.",
            ("70m", "lambada/ppl"): "There is no metric 'lambada/ppl' of pythia; did you mean "
            "lambada_openai/perplexity or lambada_openai/score?",
            ("160m", "lambada_openai/ppl"): "No lambada_openai/ppl of pythia/160m is measured; import its results "
            "first.",
        }
        for (model, metric), sentence in say.items():
            assert saturation("onset", f"pythia/{model}", "--metric", metric).sentence == sentence

    @published
    @pytest.mark.parametrize(
        ("model", "saturated", "best"), [("70m", True, 53000), ("160m", True, 63000), ("410m", False, 133000)]
    )
    def test_published_curves_as_they_are_imported(self, store: Store, model: str, saturated: bool, best: int) -> None:
        report = import_results(store, [EVALUATIONS / f"pythia-{model}"])
        entry = report.models[f"pythia/{model}"]
        # 65 tasks with acc, 62 of them with acc_norm; 22 of crows_pairs with two values; one with a perplexity.
        assert (report.files, report.results, report.not_understood, report.skipped) == (27, 27 * 172, [], [])
        assert (len(entry.steps), len(entry.tasks)) == (27, 87)
        judged = judge(store, "pythia", model, "lambada_openai/ppl")
        found = judged.performance
        assert (found.saturated, found.best_step, found.checkpoints, judged.doubtful) == (saturated, best, 27, 0)
        rows = curve(store, "pythia", [model], named(store, "pythia", "lambada_openai/acc"))
        own = json.loads((EVALUATIONS / f"pythia-{model}" / f"{model}_step143000.json").read_text())["results"]
        assert rows.iloc[-1]["value"] == own["lambada_openai"]["acc"]
        assert rows.iloc[-1]["stderr"] == own["lambada_openai"]["acc_stderr"]
