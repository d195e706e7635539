"""Folders of a training run: which steps they hold, what they are called, and where their tokenizer lies."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from command_line import saturation

from saturation.checkpoints.layout import STEP_FOLDER, step_folders, weights_in
from saturation.checkpoints.local import checkpoints_at, run_name
from saturation.checkpoints.resolve import resolve, resolve_one
from saturation.checkpoints.tokens import tokenize
from saturation.errors import CheckpointError, InputError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Step folders with an empty weight file each: enough for everything that only looks at names."""
    for name in ("step10", "step2", "step1000", "step0"):
        (tmp_path / "run" / name).mkdir(parents=True)
        (tmp_path / "run" / name / "model.safetensors").touch()
    return tmp_path / "run"


class TestSteps:
    @pytest.mark.parametrize(
        ("name", "step"),
        [
            ("step0", 0),
            ("step143000", 143_000),
            ("step-24000", 24_000),
            ("step_5", 5),
            ("checkpoint-500", 500),
            ("checkpoint_7", 7),
            ("global_step250", 250),
            ("global_step_250", 250),
            ("iter_0000300", 300),
        ],
    )
    def test_names_that_tell_a_step(self, name: str, step: int) -> None:
        assert [int(match[1]) for match in STEP_FOLDER.finditer(name)] == [step]

    @pytest.mark.parametrize(
        "name", ["step", "step-", "step1a", "mystep1", "checkpoint-best", "step1.5", "1000", "step 3"]
    )
    def test_names_that_tell_none(self, name: str) -> None:
        assert STEP_FOLDER.match(name) is None

    def test_are_sorted_by_number(self, run: Path) -> None:
        assert list(step_folders(run)) == [0, 2, 10, 1000]
        assert [checkpoint.step for checkpoint in checkpoints_at(run)] == [0, 2, 10, 1000]
        assert resolve_one(str(run), run).step == 1000

    def test_folders_without_weights_are_left_out(self, run: Path) -> None:
        (run / "step5").mkdir()
        (run / "step6").touch()
        (run / "logs").mkdir()
        assert list(step_folders(run)) == [0, 2, 10, 1000]

    @pytest.mark.parametrize(
        "layout",
        ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"],
    )
    def test_every_layout_counts_as_weights(self, tmp_path: Path, layout: str) -> None:
        assert weights_in(tmp_path) is None
        (tmp_path / layout).touch()
        assert weights_in(tmp_path) == tmp_path / layout

    def test_safetensors_come_before_pickles(self, tmp_path: Path) -> None:
        for name in ("pytorch_model.bin", "model.safetensors"):
            (tmp_path / name).touch()
        assert weights_in(tmp_path) == tmp_path / "model.safetensors"

    def test_the_trainers_own_state_tells_the_step(self, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").touch()
        (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": 77}))
        assert checkpoints_at(tmp_path)[0].step == 77

    @pytest.mark.parametrize("content", ["{", "[]", "{}", '{"global_step": null}', '{"global_step": "many"}'])
    def test_a_damaged_state_tells_none(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "model.safetensors").touch()
        (tmp_path / "trainer_state.json").write_text(content)
        assert checkpoints_at(tmp_path)[0].step is None


class TestNames:
    def test_a_run_is_named_by_its_folder_and_place(self, run: Path, tmp_path: Path) -> None:
        twin = tmp_path / "elsewhere" / "run"
        shutil.copytree(run, twin)
        assert run_name(run).startswith("run~")
        assert run_name(run) != run_name(twin)
        assert {checkpoint.model for checkpoint in checkpoints_at(run)} == {run_name(run)}

    def test_odd_letters_are_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "my run (2)").mkdir()
        assert run_name(tmp_path / "my run (2)").startswith("my-run-2-~")

    def test_one_step_is_the_same_checkpoint_as_in_the_run(self, run: Path) -> None:
        by_step = {checkpoint.step: checkpoint for checkpoint in checkpoints_at(run)}
        for step in (0, 10):
            assert checkpoints_at(run / f"step{step}") == [by_step[step]]

    @pytest.mark.parametrize("spelling", ["run/", "./run", "run/.", "run/../run", "run//"])
    def test_spellings_of_one_path(self, run: Path, monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
        monkeypatch.chdir(run.parent)
        assert resolve(spelling, run) == checkpoints_at(run)

    @pytest.mark.parametrize(("spelling", "place"), [(".", "step10"), ("./", "step10"), ("../step10", "step2")])
    def test_a_step_from_inside(self, run: Path, monkeypatch: pytest.MonkeyPatch, spelling: str, place: str) -> None:
        monkeypatch.chdir(run / place)
        assert resolve(spelling, run) == checkpoints_at(run / "step10")

    def test_a_run_from_inside(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(run)
        assert resolve(".", run) == checkpoints_at(run)

    def test_home(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(run.parent))
        assert resolve("~/run", run) == checkpoints_at(run)

    def test_a_link_to_a_run_is_the_run(self, run: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(run)
        names = [(item.model, item.step, item.source) for item in checkpoints_at(tmp_path / "link")]
        assert names == [(item.model, item.step, item.source) for item in checkpoints_at(run)]

    def test_a_link_to_the_latest_step_is_that_step(self, run: Path) -> None:
        (run / "latest").symlink_to("step1000")
        found, step = checkpoints_at(run / "latest")[0], checkpoints_at(run / "step1000")[0]
        assert (found.model, found.step, found.source) == (step.model, step.step, step.source)

    def test_steps_that_are_links_to_a_download(self, tmp_path: Path, run: Path) -> None:
        (tmp_path / "blobs" / "c0ffee").mkdir(parents=True)
        (tmp_path / "blobs" / "c0ffee" / "model.safetensors").touch()
        (run / "step7").symlink_to(tmp_path / "blobs" / "c0ffee")
        alone = checkpoints_at(run / "step7")[0]
        assert (alone.step, alone.model) == (7, run_name(run))
        assert alone in checkpoints_at(run)

    def test_a_bare_file(self, run: Path) -> None:
        found = checkpoints_at(run / "step10" / "model.safetensors")[0]
        assert (found.step, found.model.split("~")[0]) == (None, "model.safetensors")


class TestNoCheckpoints:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"There is no file or folder .*nothing; check the path\."):
            checkpoints_at(tmp_path / "nothing")

    def test_a_broken_link(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "gone")
        with pytest.raises(InputError, match=r"There is no file or folder .*link; check the path\."):
            checkpoints_at(tmp_path / "link")

    def test_a_folder_of_other_things(self, tmp_path: Path) -> None:
        (tmp_path / "step1").mkdir()
        with pytest.raises(CheckpointError, match="holds no model and no checkpoints"):
            checkpoints_at(tmp_path)


@pytest.fixture
def real_run(tmp_path: Path, tiny_model: Callable[[str], Path]) -> Path:
    """Two steps of a real model; the tokenizer lies at the top of the run."""
    for step in (1, 2):
        shutil.copytree(tiny_model("opt"), tmp_path / "run" / f"checkpoint-{step}")
        for file in (tmp_path / "run" / f"checkpoint-{step}").glob("tokenizer*"):
            file.unlink()
    tiny.save_tokenizer(tmp_path / "run")
    (tmp_path / "text.txt").write_text(tiny.text(30), encoding="utf-8")
    return tmp_path / "run"


class TestTokenizer:
    def loss(self, *arguments: object) -> float:
        text = Path(str(arguments[0])).resolve().parent.parent / "text.txt"
        arguments = (*arguments, "--measures", "loss", "--json", "--force")
        return saturation("measure", *arguments, "--text", text).json["loss"]["nats_per_token"]

    def test_at_the_top_of_the_run(
        self, real_run: Path, cache: Path, tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beside = saturation(
            "measure", tiny_model("opt"), "--text", real_run.parent / "text.txt", "--measures", "loss", "--json"
        ).json["loss"]["nats_per_token"]
        assert self.loss(real_run / "checkpoint-2") == beside
        monkeypatch.chdir(real_run / "checkpoint-2")
        assert self.loss(os.path.relpath(real_run / "checkpoint-1")) == beside
        assert saturation("measure", ".", "--text", "../../text.txt", "--json").json["checkpoint"]["step"] == 2

    @pytest.mark.parametrize("given", ["", "tokenizer.json"])
    def test_given_by_hand(self, real_run: Path, cache: Path, tmp_path: Path, given: str) -> None:
        expected = self.loss(real_run / "checkpoint-2")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        for file in real_run.glob("tokenizer*"):
            shutil.move(file, elsewhere / file.name)
        assert saturation("measure", real_run / "checkpoint-2", "--text", real_run.parent / "text.txt").code == 1
        assert self.loss(real_run / "checkpoint-2", "--tokenizer", elsewhere / given) == expected

    def test_given_by_hand_without_a_tokenizer(self, real_run: Path, cache: Path, tmp_path: Path) -> None:
        sentence = saturation("measure", real_run / "checkpoint-2", "--tokenizer", tmp_path / "run" / "checkpoint-1")
        assert sentence.sentence.startswith(f"{tmp_path / 'run' / 'checkpoint-1'} holds no tokenizer; ")


class TestTokens:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        tiny.save_tokenizer(tmp_path)
        return tmp_path

    def test_without_special_tokens(self, folder: Path) -> None:
        found = tokenize(folder, "word1  word2\nwörd10\n")
        assert (found.ids.tolist(), found.end_of_text, found.text) == ([1, 2, 10], 0, "word1  word2\nwörd10\n")

    def test_a_tokenizer_that_would_add_a_beginning(self, folder: Path) -> None:
        """As Llama's and Gemma's do; the first input is ours to choose."""
        held = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        held["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<eot>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<eot>": {"id": "<eot>", "ids": [0], "tokens": ["<eot>"]}},
        }
        (folder / "tokenizer.json").write_text(json.dumps(held), encoding="utf-8")
        assert tokenize(folder, "word1 word2").ids.tolist() == [1, 2]

    @pytest.mark.parametrize(("most", "text"), [(1, "word1"), (2, "word1  wörd20"), (3, "word1  wörd20\nword3\n")])
    def test_the_text_is_cut_with_the_tokens(self, folder: Path, most: int, text: str) -> None:
        found = tokenize(folder, "word1  wörd20\nword3\n", most)
        assert (found.ids.tolist(), found.text) == ([1, 20, 3][:most], text)
