"""Running an evaluation harness: what it is asked, what becomes of its results, and of its failures.

The harness itself is not needed: a stand-in named `lm_eval` takes its arguments and writes its file.
"""

import json
import sys
from pathlib import Path

import pytest
import store_rows
from command_line import saturation

from saturation.checkpoints.local import run_name
from saturation.errors import InputError, JobError
from saturation.families.model import Checkpoint
from saturation.jobs.evaluate import Evaluate, evaluate
from saturation.store import Store, queries

STANDIN = '''
"""A stand-in for the LM Evaluation Harness: writes what it was asked as the harness writes its results."""
import json, os, pathlib, sys

asked = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("a line on its way", file=sys.stderr)
task = asked["--tasks"].split(",")[0]
if task == "fails":
    sys.exit("ValueError: Tasks not found: fails.")
if task == "silent":
    os._exit(3)
args = dict(pair.split("=", 1) for pair in asked["--model_args"].split(","))
seen = {name: sorted(os.listdir(place)) for name, place in args.items() if place.startswith("/")}
pathlib.Path(os.environ["STANDIN_LOG"]).write_text(json.dumps({"asked": asked, "args": args, "seen": seen}))
folder = pathlib.Path(asked["--output_path"], "model__name")
folder.mkdir(parents=True)
values = {} if task == "empty" else {"alias": task, "acc,none": 0.5, "acc_stderr,none": 0.1}
result = {
    "results": {task: values},
    "configs": {},
    "n-shot": {task: int(asked.get("--num_fewshot", 0))},
    "n-samples": {task: {"original": 20, "effective": int(asked.get("--limit", 20))}},
    "config": {"model_args": args, "limit": float(asked["--limit"]) if "--limit" in asked else None},
    "lm_eval_version": "0.4.13",
}
if task != "none":
    (folder / "results_2026-01-01T10-00-00.000001.json").write_text(json.dumps(result))
'''


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in harness on the path; the file in which it says what it was asked."""
    package = tmp_path / "standin" / "lm_eval"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(STANDIN)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("STANDIN_LOG", str(tmp_path / "asked.json"))
    return tmp_path / "asked.json"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_rows.empty_store(tmp_path / "cache" / "measurements.duckdb")


def a_run(folder: Path, tokenizer: str = "checkpoint-40") -> Path:
    """A folder that looks like a checkpoint of a run, with a comma in its name."""
    model = folder / "my, run" / "checkpoint-40"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"")
    (folder / "my, run" / ("" if tokenizer == "run" else tokenizer) / "tokenizer.json").write_text("{}")
    return model


def test_a_checkpoint_of_the_hub(asked: Path, store: Store) -> None:
    checkpoint = Checkpoint("pythia", "70m", 3000, "EleutherAI/pythia-70m", "step3000", "c0ffee")
    lines: list[str] = []
    report = evaluate(store, checkpoint, Evaluate(("sciq", "piqa")), lines.append)
    said = json.loads(asked.read_text())
    assert said["args"] == {"pretrained": "EleutherAI/pythia-70m", "revision": "step3000"}
    assert set(said["asked"]) == {"--model", "--model_args", "--tasks", "--output_path"}
    assert (said["asked"]["--model"], said["asked"]["--tasks"]) == ("hf", "sciq,piqa")
    assert (report.files, report.results, lines) == (1, 1, ["a line on its way"])
    row = queries.evaluations(store, "pythia").iloc[0]
    assert (row["model"], row["step"], row["task"], row["metric"]) == ("70m", 3000, "sciq", "acc")
    assert (row["value"], row["stderr"], row["shots"], row["harness"]) == (0.5, 0.1, 0, "lm-eval 0.4.13")
    assert row["source"] == "results_2026-01-01T10-00-00.000001.json"


def test_the_command_and_its_options(asked: Path, cache: Path, tmp_path: Path) -> None:
    model = a_run(tmp_path)
    (tmp_path / "tasks").mkdir()
    options = ("--limit", 5, "--batch-size", "auto", "--num-fewshot", 2, "--device", "cpu")
    found = saturation(
        "evaluate", model, "--tasks", "mine", *options, "--include-path", tmp_path / "tasks", "--json"
    ).json
    name = run_name(model.parent)
    assert [(entry["model"], entry["steps"], entry["tasks"]) for entry in found["models"]] == [
        (name, [40], ["mine (limit 5)"])
    ]
    said = json.loads(asked.read_text())
    given = {key: said["asked"][key] for key in ("--limit", "--batch_size", "--num_fewshot", "--device")}
    assert given == {"--limit": "5", "--batch_size": "auto", "--num_fewshot": "2", "--device": "cpu"}
    assert said["asked"]["--include_path"] == str(tmp_path / "tasks")
    assert said["seen"] == {"pretrained": ["model.safetensors", "tokenizer.json"]}
    assert (
        saturation("evaluate", model.parent, "--tasks", "mine").stdout
        == f"1 result of 1 file:\n  local/{name}  1 step (40), 1 task, 1 value\n"
    )


def test_a_tokenizer_at_the_top_of_the_run(asked: Path, store: Store, tmp_path: Path) -> None:
    model = a_run(tmp_path, tokenizer="run")
    evaluate(store, Checkpoint("local", "r", 40, str(model), path=model), Evaluate(("mine",)))
    assert json.loads(asked.read_text())["seen"] == {
        "pretrained": ["model.safetensors"],
        "tokenizer": ["checkpoint-40", "tokenizer.json"],
    }


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("fails", "The LM Evaluation Harness failed; its last line: ValueError: Tasks not found: fails."),
        ("silent", "The LM Evaluation Harness failed; its last line: a line on its way."),
        ("none", "The LM Evaluation Harness ended without results for pythia/70m@3000: It wrote none."),
        (
            "empty",
            "The LM Evaluation Harness ended without results for pythia/70m@3000: It holds no number: its `results` "
            "are empty.",
        ),
    ],
)
def test_failures_of_the_harness(asked: Path, store: Store, task: str, sentence: str) -> None:
    checkpoint = Checkpoint("pythia", "70m", 3000, "EleutherAI/pythia-70m", "step3000", "c0ffee")
    with pytest.raises(JobError) as caught:
        evaluate(store, checkpoint, Evaluate((task,)))
    assert str(caught.value) == sentence
    assert not store.path.exists()


def test_without_a_harness(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not (Path(place) / "lm_eval").exists()])
    sentence = saturation("evaluate", a_run(tmp_path), "--tasks", "sciq").sentence
    assert sentence == (
        'The LM Evaluation Harness is not installed here; install it with `python -m pip install "lm-eval[hf]"`, or '
        "import result files that it wrote elsewhere."
    )


def test_checkpoints_that_the_harness_cannot_read(asked: Path, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(b"")
    with pytest.raises(
        InputError, match=r"^.*/head\.safetensors is a bare weight file; the harness needs a model folder\.$"
    ):
        evaluate(store, Checkpoint("local", "x", None, str(file), path=file), Evaluate(("sciq",)))
    model = a_run(tmp_path)
    (model / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"checkpoint-40 holds no tokenizer, nor does its run's folder"):
        evaluate(store, Checkpoint("local", "x", 40, str(model), path=model), Evaluate(("sciq",)))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--tasks", " , "), "No task was named; write --tasks lambada_openai,sciq."),
        (("--tasks", "a", "--limit", "0"), "--limit is 0; it must be positive."),
        (("--tasks", "a", "--num-fewshot", "-1"), "--num-fewshot is -1; it must be at least 0."),
    ],
)
def test_wrong_requests(arguments: tuple[str, ...], sentence: str, cache: Path) -> None:
    assert saturation("evaluate", "lab/w8", *arguments).sentence == sentence
