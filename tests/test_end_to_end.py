"""The real command line on five architectures, against the independent float64 implementation in `reference`."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import tiny
from command_line import saturation

from saturation.settings import ROOT

TOKENS = 300
# Whitespace of several kinds, and at the end: the harness counts words by splitting on runs of it.
TEXT = tiny.text(TOKENS).replace(" ", "  ", 3).replace(" ", "\n\n", 2) + "\n"
CONTRACT = {
    "checkpoint": {
        "family",
        "model",
        "step",
        "source",
        "revision",
        "hidden_size",
        "layers",
        "vocab_size",
        "parameters",
    },
    "spectrum": {
        "singular_values",
        "centred_singular_values",
        "singular_entropy",
        "effective_rank",
        "stable_rank",
    },
    "anisotropy": {"layers", "centred_layers", "last_before_norm", "tokens"},
    "loss": {"nats_per_token", "perplexity", "word_perplexity", "bits_per_byte", "accuracy", "tokens"},
    "alignment": {
        "ones_alignment",
        "centred_ones_alignment",
        "frequency_correlation",
        "centred_frequency_correlation",
        "frequency_r_squared",
        "centred_frequency_r_squared",
        "top_tokens",
        "bottom_tokens",
        "centred_top_tokens",
        "centred_bottom_tokens",
        "tokens_seen",
        "correlation_by_chance",
        "tokens",
    },
}
SHAPES = list(tiny.CONFIGS)


@dataclasses.dataclass(frozen=True)
class Run:
    """One process: where its model lies, what it printed, and the numbers that it should have printed."""

    folder: Path
    process: subprocess.CompletedProcess[str]
    model: reference.Model
    expected: reference.Measured

    @property
    def printed(self) -> dict[str, Any]:
        return json.loads(self.process.stdout)


def measure(folder: Path, text: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "saturation", "measure", str(folder), "--text", str(text), "--json"],
        cwd=ROOT,
        env=os.environ | {"SATURATION_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=200,
    )


def measure_here(folder: Path, text: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    found = saturation("--cache", cache, "measure", folder, "--text", text, "--json")
    return subprocess.CompletedProcess([], found.code, found.stdout, found.stderr)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("end_to_end")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return folder / "text.txt", folder / "cache"


@pytest.fixture(scope="module")
def runs(place: tuple[Path, Path], tiny_model: Callable[[str], Path]) -> dict[str, Run]:
    """All shapes on one store: the first in a process of its own; the rest spares its seconds."""
    folders = {shape: tiny_model(shape) for shape in SHAPES}
    first, *others = folders.values()
    done = [measure(first, *place), *(measure_here(folder, *place) for folder in others)]
    found = {}
    for (shape, folder), process in zip(folders.items(), done, strict=True):
        model = reference.Model(folder)
        expected = reference.measure(model, tiny.ids(TEXT), 0, tiny.LENGTH, TEXT)
        found[shape] = Run(folder, process, model, expected)
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_prints_one_json_object_with_the_keys_of_the_contract(runs: dict[str, Run], shape: str) -> None:
    run = runs[shape]
    assert (run.process.returncode, run.process.stderr) == (0, "")
    assert len(run.process.stdout.splitlines()) == 1
    for section, keys in CONTRACT.items():
        assert keys <= set(run.printed[section]), section
    assert set(run.printed) == {*CONTRACT, "text", "bytes_read", "seconds", "computed"}
    assert run.printed["computed"] == ["spectrum", "anisotropy", "loss", "alignment"]


@pytest.mark.parametrize("shape", SHAPES)
def test_checkpoint(runs: dict[str, Run], shape: str) -> None:
    run = runs[shape]
    printed, weights = run.printed, run.folder / "model.safetensors"
    checkpoint = printed["checkpoint"]
    assert checkpoint["family"] == "local"
    assert checkpoint["model"].startswith(f"{shape}~")
    assert checkpoint["source"] == str(run.folder.resolve())
    assert (checkpoint["step"], checkpoint["revision"]) == (None, None)
    assert (checkpoint["hidden_size"], checkpoint["layers"], checkpoint["vocab_size"]) == (12, 3, 67)
    assert checkpoint["parameters"] == sum(tensor.size for tensor in run.model.w.values())
    # The head is read by itself, then all weights once for both measures of the text.
    assert printed["bytes_read"] == run.model.head.size * 4 + weights.stat().st_size
    assert 0 < printed["seconds"] < 200


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prefix", ["", "centred_"])
def test_spectrum(runs: dict[str, Run], shape: str, prefix: str) -> None:
    run = runs[shape]
    printed = run.printed["spectrum"]
    expected = reference.spectrum(run.model.head, centred=prefix == "centred_")
    np.testing.assert_allclose(
        printed[f"{prefix}singular_values"], expected, rtol=0, atol=1e-8 * expected[0], strict=True
    )
    entropy = reference.singular_entropy(expected)
    assert printed[f"{prefix}singular_entropy"] == pytest.approx(entropy, abs=1e-9)
    assert printed[f"{prefix}effective_rank"] == pytest.approx(12 * math.exp(-entropy), rel=1e-9)
    assert printed[f"{prefix}stable_rank"] == pytest.approx((expected**2).sum() / expected[0] ** 2, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_anisotropy(runs: dict[str, Run], shape: str) -> None:
    printed, expected = runs[shape].printed["anisotropy"], runs[shape].expected
    assert len(printed["layers"]) == len(printed["centred_layers"]) == 3 + 1
    for name in ("layers", "centred_layers", "last_before_norm", "centred_last_before_norm"):
        np.testing.assert_allclose(printed[name], getattr(expected, name), rtol=0, atol=1e-6, err_msg=name)
    assert printed["tokens"] == TOKENS


@pytest.mark.parametrize("shape", SHAPES)
def test_loss(runs: dict[str, Run], shape: str) -> None:
    printed, expected = runs[shape].printed["loss"], runs[shape].expected
    assert printed["nats_per_token"] == pytest.approx(expected.nats_per_token, abs=1e-5)
    assert printed["bits_per_byte"] == pytest.approx(expected.bits_per_byte, abs=1e-5)
    for name in ("perplexity", "word_perplexity"):
        assert printed[name] == pytest.approx(getattr(expected, name), rel=1e-5)
    assert printed["accuracy"] == expected.accuracy
    assert printed["tokens"] == TOKENS


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prefix", ["", "centred_"])
def test_alignment(runs: dict[str, Run], shape: str, prefix: str) -> None:
    run = runs[shape]
    printed, ids = run.printed["alignment"], tiny.ids(TEXT)
    expected = reference.alignment(run.model.head, ids, centred=prefix == "centred_")
    assert (printed["tokens"], printed["tokens_seen"]) == (TOKENS, len(set(ids)))
    np.testing.assert_allclose(printed[f"{prefix}ones_alignment"], expected.ones, rtol=0, atol=1e-9, strict=True)
    np.testing.assert_allclose(
        printed[f"{prefix}frequency_correlation"], expected.correlations, rtol=0, atol=1e-9, strict=True
    )
    assert printed[f"{prefix}frequency_r_squared"] == pytest.approx(expected.r_squared, abs=1e-9)
    # The tokenizer has no word for the head's last two rows.
    words = [*tiny.WORDS, *(f"<id {number}>" for number in range(len(tiny.WORDS), tiny.VOCAB))]
    for side, order in (("top", expected.order[:, ::-1][:, :10]), ("bottom", expected.order[:, :10])):
        assert printed[f"{prefix}{side}_ids"] == order.tolist()
        assert printed[f"{prefix}{side}_tokens"] == [[words[number] for number in row] for row in order]
        entries = np.take_along_axis(expected.vectors, order, axis=1)
        np.testing.assert_allclose(printed[f"{prefix}{side}_entries"], entries, rtol=0, atol=1e-9, strict=True)


def test_the_shapes_are_told_apart_by_their_numbers(runs: dict[str, Run]) -> None:
    losses = {round(run.printed["loss"]["nats_per_token"], 4) for run in runs.values()}
    guessed = sum(run.expected.accuracy for run in runs.values())
    assert len(losses) == len(SHAPES)
    assert guessed > 0  # an accuracy that is zero everywhere would not have been tested


def test_a_second_run_answers_from_the_store(runs: dict[str, Run], place: tuple[Path, Path]) -> None:
    """Of what another process wrote."""
    first = runs[SHAPES[0]].printed
    again = measure_here(runs[SHAPES[0]].folder, *place)
    assert again.returncode == 0
    assert json.loads(again.stdout) == first | {"computed": []}
