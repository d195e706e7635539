"""Sweeps: which steps, what is computed, what a failure leaves."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import tiny
from command_line import rows, saturation
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from saturation.errors import InputError
from saturation.jobs.sweep import pick_steps
from saturation.settings import BUNDLED

PYTHIA = [0, *(2**k for k in range(10)), *range(1000, 143_001, 1000)]


class TestPickSteps:
    @pytest.mark.parametrize(
        ("known", "steps", "picked"),
        [
            ([30, 0, 10, 20], "all", [0, 10, 20, 30]),
            ([0, 10, 20, 30, 40], "10:30:10", [10, 20, 30]),
            ([0, 10, 20, 30, 40], "10:35:20", [10, 30]),
            ([0, 10, 20, 30, 40], "0:40:15", [0, 20, 40]),
            ([0, 10, 20, 30, 40], "0:9:1", [0]),
            ([0, 10, 20, 30, 40], "40,0", [40, 0]),
            ([0, 10, 20, 30, 40], "20", [20]),
            ([0, 10, 20, 30, 40], " 20 , 30 ", [20, 30]),
            (PYTHIA, "log", [0, *(2**k for k in range(10)), *(1000 * k for k in (1, 2, 4, 8, 16, 33, 66, 131, 143))]),
            ([0, 3, 100], "log", [0, 3, 100]),
            ([7], "log", [7]),
            ([0], "log", [0]),
            ([], "all", []),
            ([], "log", []),
        ],
    )
    def test_by_hand(self, known: list[int], steps: str, picked: list[int]) -> None:
        assert pick_steps(known, steps) == picked

    @given(st.lists(st.integers(0, 10**6), min_size=1, unique=True), st.integers(1, 10**5))
    def test_a_range_keeps_its_distance(self, known: list[int], apart: int) -> None:
        picked = pick_steps(known, f"{min(known)}:{max(known)}:{apart}")
        assert set(picked) <= set(known)
        assert picked[0] == min(known)
        assert all(after - before >= apart for before, after in pairwise(picked))

    @pytest.mark.parametrize("steps", ["", "x", "1:2", "1:2:3:4", "1:2:0", "1:2:-5", "1.5", "1,,2", "log,5", "::"])
    def test_what_cannot_be_read(self, steps: str) -> None:
        with pytest.raises(InputError, match=rf"^--steps is '{steps}'; write all, log, last, FIRST:LAST:APART or"):
            pick_steps([1, 2], steps)

    @pytest.mark.parametrize("steps", ["3", "1,3", "-1"])
    def test_a_step_that_is_not_there(self, steps: str) -> None:
        with pytest.raises(InputError, match=r"^There is no checkpoint at step -?\d; the last one is at 2\.$"):
            pick_steps([1, 2], steps)

    def test_a_range_without_steps(self) -> None:
        with pytest.raises(InputError, match=r"^There is no checkpoint in --steps 5:9:1; they reach from 1 to 2\.$"):
            pick_steps([2, 1], "5:9:1")


@pytest.fixture
def run(tmp_path: Path, tiny_model: Callable[[str], Path]) -> Path:
    """Steps 2, 10 and 100 of a run, each with weights of its own, and a text beside it."""
    for step in (2, 10, 100):
        folder = shutil.copytree(tiny_model("opt"), tmp_path / "run" / f"step{step}")
        held = load_file(folder / "model.safetensors")
        held["model.decoder.embed_tokens.weight"][0, 0] += step
        save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "text.txt").write_text(tiny.text(30), encoding="utf-8")
    return tmp_path / "run"


def break_step(run: Path, step: int, tensor: str = "model.decoder.layers.0.fc1.bias") -> None:
    file = run / f"step{step}" / "model.safetensors"
    held = load_file(file)
    held[tensor][0] = float("nan")
    save_file(held, file, metadata={"format": "pt"})


def sweep(run: Path, *options: object) -> dict[str, object]:
    found = saturation("sweep", run, "--text", run.parent / "text.txt", "--json", *options).json
    return {name: found[name] for name in ("checkpoints", "computed", "stored", "failed")}


class TestSweep:
    def test_measures_every_step_and_resumes(self, run: Path, cache: Path) -> None:
        one = saturation("measure", run / "step10", "--text", run.parent / "text.txt", "--json").json
        assert one["computed"] == ["spectrum", "anisotropy", "loss", "alignment"]
        assert sweep(run) == {"checkpoints": 3, "computed": 2, "stored": 1, "failed": {}}
        before = rows(cache)
        assert (before["checkpoints"], before["measurements"]) == (3, 12)
        assert sweep(run) == {"checkpoints": 3, "computed": 0, "stored": 3, "failed": {}}
        assert rows(cache) == before

    def test_some_steps_and_measures(self, run: Path, cache: Path) -> None:
        options = ("--measures", "spectrum")
        assert sweep(run, *options, "--steps", "10:100:100")["computed"] == 1
        assert sweep(run, *options, "--steps", "2,10") == {"checkpoints": 2, "computed": 1, "stored": 1, "failed": {}}
        assert rows(cache)["measurements"] == 2
        assert sweep(run, "--steps", "2")["computed"] == 1  # what is missing of it

    def test_the_last_step_of_a_run_is_measured_by_default(self, run: Path, cache: Path) -> None:
        found = saturation("measure", run, "--measures", "spectrum", "--json").json
        assert found["checkpoint"]["step"] == 100

    def test_a_checkpoint_that_fails_does_not_stop_the_rest(self, run: Path, cache: Path) -> None:
        break_step(run, 10)
        outcome = saturation("sweep", run, "--text", run.parent / "text.txt", "--json")
        name = next(iter(line.split(": ")[0] for line in outcome.stderr.splitlines()))
        sentence = (
            f"The tensor model.decoder.layers.0.fc1.bias of {run / 'step10'} holds NaN or infinite values; "
            "it cannot be measured."
        )
        assert (outcome.code, outcome.stderr) == (1, f"{name}: {sentence}\n")
        assert name.endswith("@10")
        found = json.loads(outcome.stdout)
        assert (found["computed"], found["stored"], found["failed"]) == (2, 0, {name: sentence})
        assert rows(cache)["checkpoints"] == 2

    def test_one_that_was_mended_is_measured_then(self, run: Path, cache: Path) -> None:
        whole = (run / "step10" / "model.safetensors").read_bytes()
        break_step(run, 10)
        assert saturation("sweep", run, "--text", run.parent / "text.txt").code == 1
        (run / "step10" / "model.safetensors").write_bytes(whole)
        assert sweep(run) == {"checkpoints": 3, "computed": 1, "stored": 2, "failed": {}}

    @pytest.mark.parametrize("damage", ["weights", "configuration", "tokenizer"])
    def test_whatever_is_broken(self, run: Path, cache: Path, damage: str) -> None:
        files = {"weights": "model.safetensors", "configuration": "config.json", "tokenizer": "tokenizer.json"}
        (run / "step2" / files[damage]).write_text("{")
        outcome = saturation("sweep", run, "--text", run.parent / "text.txt")
        assert (outcome.code, len(outcome.stderr.splitlines())) == (1, 1)
        assert outcome.stdout.startswith("3 checkpoints: 2 measured, 0 were stored, 1 failed")

    def test_a_whole_family(self, cache: Path) -> None:
        options = ("--measures", "spectrum", "--json")
        first = saturation("sweep", "lab", *options).json
        here = len(list((BUNDLED / "checkpoints" / "lab").glob("*/step*")))
        assert (first["checkpoints"], first["computed"] + first["stored"], first["failed"]) == (here, here, {})
        again = saturation("sweep", "lab", *options).json
        assert (again["computed"], again["stored"]) == (0, here)
