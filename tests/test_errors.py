"""What goes wrong ends in one clear sentence, exit code 1, and a store without a trace of it."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from command_line import rows, saturation
from safetensors.torch import load_file, save_file

from saturation.errors import SaturationError
from saturation.settings import ROOT

Weights = dict[str, Any]
NOTHING = {"checkpoints": 0, "measurements": 0, "scalars": 0, "series": 0}
BLOCK = "gpt_neox.layers.1.attention.dense.weight"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(tiny.text(40), encoding="utf-8")
    return tmp_path / "text.txt"


@pytest.fixture
def model(tiny_model: Callable[[str], Path], tmp_path: Path) -> Path:
    """A GPT-NeoX model that may be damaged."""
    return Path(shutil.copytree(tiny_model("gpt_neox"), tmp_path / "model"))


def change(model: Path, edit: Callable[[Weights], object]) -> None:
    held = load_file(model / "model.safetensors")
    edit(held)
    save_file(held, model / "model.safetensors", metadata={"format": "pt"})


def configure(model: Path, **values: object) -> None:
    file = model / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def set_one(name: str, value: float) -> Callable[[Weights], object]:
    return lambda held: held[name].view(-1).__setitem__(5, value)


def shorten_the_vocabulary(held: Weights) -> None:
    for name in ("gpt_neox.embed_in.weight", "embed_out.weight"):
        held[name] = held[name][:40].clone()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no head": (
        lambda model: change(model, lambda held: held.pop("embed_out.weight")),
        r".*model holds no output head .*; give a causal language model, or name the head's tensor with --.*\.",
    ),
    "NaN in the head": (
        lambda model: change(model, set_one("embed_out.weight", math.nan)),
        r"The head holds NaN or infinite values; this checkpoint cannot be measured\.",
    ),
    "NaN in a block": (
        lambda model: change(model, set_one(BLOCK, math.nan)),
        rf"The tensor {re.escape(BLOCK)} of .*model holds NaN or infinite values; it cannot be measured\.",
    ),
    "infinity in a block": (
        lambda model: change(model, set_one(BLOCK, math.inf)),
        rf"The tensor {re.escape(BLOCK)} of .*model holds NaN or infinite values; it cannot be measured\.",
    ),
    "a tensor is missing": (
        lambda model: change(model, lambda held: held.pop(BLOCK)),
        rf"The weights in .*model lack 1 tensor\(s\), the first {re.escape(BLOCK)}; save the whole .*\.",
    ),
    "a configuration of another width": (
        lambda model: configure(model, hidden_size=24),
        r"The tensor gpt_neox\.embed_in\.weight in .*model has the shape \(67, 12\), but config\.json asks for "
        r"\(67, 24\); the weights and the configuration are of different models\.",
    ),
    "heads that do not divide the width": (
        lambda model: configure(model, num_attention_heads=5),
        r"The configuration in .*model cannot be used: .*The hidden size is not divisible by the number of .*",
    ),
    "a value of the wrong type": (
        lambda model: configure(model, hidden_size="twelve"),
        r"The configuration in .*model cannot be used: .*'hidden_size' expected int, got str \(value: 'twelve'\)\..*",
    ),
    "an architecture that does not exist": (
        lambda model: configure(model, model_type="gpt_nine"),
        r"The configuration in .*model cannot be used: .*`gpt_nine`.*code from a checkpoint is never run\.",
    ),
    "an architecture that brings its own code": (
        lambda model: configure(model, model_type="x", auto_map={"AutoConfig": "configuration.Own"}),
        r"The configuration in .*model cannot be used: .*code from a checkpoint is never run\.",
    ),
    "an architecture that is no language model": (
        lambda model: configure(model, model_type="vit"),
        r"The model in .*model cannot be loaded: Unrecognized configuration class .*\.",
    ),
    "an activation that does not exist": (
        lambda model: configure(model, hidden_act="foo"),
        r"The model in .*model cannot be loaded: it does not know 'foo'\.",
    ),
    "fewer layers in the configuration than in the weights": (
        lambda model: configure(model, num_hidden_layers=1),
        r"The weights in .*model hold 3 layers, but config\.json asks for 1; the weights and .* different models\.",
    ),
    "more layers in the configuration than in the weights": (
        lambda model: configure(model, num_hidden_layers=5),
        r"The weights in .*model lack \d+ tensor\(s\), the first .*layers\.3.*; save the whole causal language model\.",
    ),
    "no context length": (
        lambda model: configure(model, max_position_embeddings=0),
        r"The configuration of local/model~\w{4} names no context length; give one with --context-length\.",
    ),
    "no configuration": (
        lambda model: (model / "config.json").unlink(),
        r"The configuration in .*model cannot be used: .*",
    ),
    "a damaged configuration": (
        lambda model: (model / "config.json").write_text("{"),
        r"The configuration in .*model cannot be used: .*not a valid JSON file\..*",
    ),
    "weights cut off": (
        lambda model: os.truncate(model / "model.safetensors", 5000),
        r".*model\.safetensors is cut off: 5000 bytes of \d+; download or save the checkpoint again\.",
    ),
    "no weights": (
        lambda model: (model / "model.safetensors").unlink(),
        r".*model holds no model and no checkpoints \(folders step\*, .* with weights\)\.",
    ),
    "no tokenizer": (
        lambda model: [file.unlink() for file in model.glob("tokenizer*")],
        r".*model holds no tokenizer; save it beside the weights, or name .* with --tokenizer\.",
    ),
    "a damaged tokenizer": (
        lambda model: (model / "tokenizer.json").write_text("{"),
        r"The tokenizer in .*model cannot be loaded: .*\.",
    ),
    "a vocabulary smaller than the tokenizer's": (
        lambda model: (change(model, shorten_the_vocabulary), configure(model, vocab_size=40)),
        r"The tokenizer gives token 6\d, but the model's vocabulary ends at 39; use the tokenizer that the model .*\.",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model(damage: str, model: Path, text: Path, cache: Path) -> None:
    break_it, pattern = DAMAGES[damage]
    break_it(model)
    assert re.fullmatch(pattern, saturation("measure", model, "--text", text, "--json").sentence)
    assert rows(cache) == NOTHING


TEXTS = {
    "empty": (b"", r".*text\.txt is empty; give a text of at least two tokens\."),
    "blank": (b" \n\t ", r".*text\.txt is empty; give a text of at least two tokens\."),
    "one token": (b"word1\n", r"The text 'text\.txt' has 1 token\(s\) for this model; give one of at least two\."),
    "not UTF-8": (b"word1 \xff", r".*text\.txt is not UTF-8 text \(byte 6\); convert it to UTF-8\."),
    "unknown words": (b"hello world", r"The model's tokenizer cannot encode this text: .*\."),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_cannot_be_scored(kind: str, model: Path, text: Path, cache: Path) -> None:
    content, pattern = TEXTS[kind]
    text.write_bytes(content)
    assert re.fullmatch(pattern, saturation("measure", model, "--text", text).sentence)
    assert rows(cache) == NOTHING


@pytest.mark.parametrize("name", ["missing.txt", ".", "a" * 300])
def test_a_text_that_is_not_there(name: str, model: Path, tmp_path: Path, cache: Path) -> None:
    sentence = saturation("measure", model, "--text", tmp_path / name).sentence
    assert sentence.startswith(("There is no text file ", f"{tmp_path / name} cannot be read (File name too long)"))
    assert rows(cache) == NOTHING


ARGUMENTS = {
    "path": (["/nowhere/at/all"], r"There is no file or folder /nowhere/at/all; check the path\."),
    "relative path": (["./nowhere"], r"There is no file or folder .*nowhere; check the path\."),
    "long path": (["/" + "a" * 300], r"The path /a+ cannot be read \(File name too long\); check the path\."),
    "user": (["~nobody-here/run"], r"The path ~nobody-here/run cannot be read \(.*\); check the path\."),
    "one word": (["nothing"], r"'nothing' is neither family/model@step.* path; check the name\."),
    "long word": (["a" * 300], r"'a+' is neither family/model@step.* path; check the name\."),
    "family": (["pithia/70m"], r"There is no folder pithia/70m and no family 'pithia'; did you mean pythia.*\?"),
    "hub": (["nobody/nothing"], r"There is no folder nobody/nothing and no family 'nobody'.*"),
    "local": (["local/run~ab12@5"], r"'local/run~ab12@5' is no path; name a run on this machine by its folder\."),
    "model": (["lab/w9"], r"There is no model 'w9' in lab; did you mean w8.*\?"),
    "step": (["lab/w8@7"], r"lab/w8 has no checkpoint at step 7 on this machine; the nearest: [\d, ]+\."),
    "step in letters": (["lab/w8@last"], r"lab/w8 has no checkpoint at step last on this machine; the nearest: .*\."),
    "odd digits": (["lab/w8@²"], r"lab/w8 has no checkpoint at step ² on this machine; the nearest: .*\."),
    "measure": (["lab/w8", "--measures", "spectrun"], r"There is no measure 'spectrun'; did you mean spectrum\?"),
    "no measure": (
        ["lab/w8", "--measures", ","],
        r"No measure was named; choose among spectrum, anisotropy, loss, alignment\.",
    ),
    "device": (["lab/w8", "--device", "abacus"], r"The device 'abacus' cannot be used here; choose auto or cpu\."),
    "tokens": (["lab/w8", "--max-tokens", "1"], r"--max-tokens is 1; at least two tokens are needed\."),
    "window": (["lab/w8", "--context-length", "0"], r"--context-length is 0; it must be at least 1\."),
    "tensor": (["lab/w8", "--head-tensor", "head"], r".* holds no tensor 'head'; choose one of: embed_out\.weight, .*"),
    "vector": (
        ["lab/w8", "--head-tensor", "gpt_neox.final_layer_norm.weight"],
        r"The tensor gpt_neox\.final_layer_norm\.weight of .* is no matrix of floats; name another.*",
    ),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_an_argument_that_names_nothing(kind: str, cache: Path) -> None:
    arguments, pattern = ARGUMENTS[kind]
    assert re.fullmatch(pattern, saturation("measure", *arguments).sentence)
    assert rows(cache) == NOTHING


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ("some", "--steps is 'some'; write all, log, last, FIRST:LAST:APART or a list like 0,1000,2000."),
        ("0:10", "--steps is '0:10'; write all, log, last, FIRST:LAST:APART or a list like 0,1000,2000."),
        ("0:10:0", "--steps is '0:10:0'; write all, log, last, FIRST:LAST:APART or a list like 0,1000,2000."),
        ("0,", "--steps is '0,'; write all, log, last, FIRST:LAST:APART or a list like 0,1000,2000."),
        ("3", "There is no checkpoint at step 3; the last one is at 30000."),
        ("5:7:1", "There is no checkpoint in --steps 5:7:1; they reach from 0 to 30000."),
    ],
)
def test_steps_that_are_none(steps: str, sentence: str, cache: Path) -> None:
    assert saturation("sweep", "lab/w16", "--steps", steps).sentence == sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ["measure"],
        ["measure", "lab/w8", "--dtype", "float12"],
        ["measure", "lab/w8", "--max-tokens", "many"],
        ["measure", "lab/w8", "--tokenizer", "/nowhere"],
        ["measure", "lab/w8", "--no-such-option"],
        ["no-such-command"],
        ["import", "/nowhere.pack.zip"],
        ["export", "a.pack.zip"],
    ],
)
def test_wrong_arguments_exit_with_2(arguments: list[str], cache: Path) -> None:
    outcome = saturation(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in outcome.stderr


def test_a_bare_weight_file_has_a_spectrum_and_no_loss(model: Path, text: Path, cache: Path) -> None:
    file = model / "model.safetensors"
    assert re.fullmatch(
        r".*model\.safetensors is a bare weight file, .*; give a model folder, or measure its spectrum only .*\.",
        saturation("measure", file, "--text", text).sentence,
    )
    assert rows(cache) == NOTHING


def test_debug_shows_the_traceback(cache: Path) -> None:
    with pytest.raises(SaturationError, match="no file or folder /nowhere/at/all"):
        saturation("--debug", "measure", "/nowhere/at/all")


class TestAsProcesses:
    """What loggers and libraries write to the real stderr shows only here."""

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "saturation", *map(str, arguments)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=200,
        )

    def test_nan_weights(self, model: Path, text: Path, cache: Path) -> None:
        DAMAGES["NaN in a block"][0](model)
        found = self.run("measure", model, "--text", text, "--json")
        assert (found.returncode, found.stdout) == (1, "")
        assert re.fullmatch(f"Error: {DAMAGES['NaN in a block'][1]}\n", found.stderr)
        assert rows(cache) == NOTHING
