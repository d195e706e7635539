"""Sweeps and audits of a published family against a stand-in hub, through the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from click.testing import CliRunner
from hub_checkpoints import serving
from safetensors.torch import load_file, save_file
from standin_hub import StandInHub
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from saturation.cli import cli
from saturation.errors import SaturationError
from saturation.jobs.metrics import MEASURED, curve
from saturation.jobs.verdict import judge_run
from saturation.store import Store, queries

STEPS = [0, *(2**k for k in range(10)), *range(1000, 144000, 1000)]
STALE = STEPS[30:116]  # 86 of 154 branches, as users report of pythia-2.8b
REPO = "EleutherAI/pythia-14m"
VOCAB, WIDTH = 1500, 24
HEAD_BYTES = VOCAB * WIDTH * 4


def save_step(folder: Path, seed: int) -> Path:
    """A GPT-NeoX checkpoint with a head of 144 kB and over a megabyte of other weights."""
    folder.mkdir(parents=True)
    config = GPTNeoXConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=6000,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=0,
    )
    config.architectures = ["GPTNeoXForCausalLM"]
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in GPTNeoXForCausalLM(config).state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    state = {
        name.replace("lm_head", "embed_out"): torch.randn(shape, generator=generator) * 0.05
        for name, shape in shapes.items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    tiny.save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """154 branches, 86 of which hold the final weights."""
    root = tmp_path_factory.mktemp("published")
    made = {step: save_step(root / f"step{step}", step) for step in STEPS if step not in STALE}
    return {f"step{step}": made[143000 if step in STALE else step] for step in STEPS}


@pytest.fixture
def hub(
    published: dict[str, Path], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StandInHub]:
    with serving(monkeypatch, tmp_path / "home") as server:
        server.add(REPO, published | {"main": published["step143000"]})
        yield server


def run(*arguments: str) -> dict:
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def store(cache: Path) -> Store:
    return Store(cache / "measurements.duckdb")


def test_a_sweep_reads_the_heads_and_little_more(hub: StandInHub, published: dict[str, Path], cache: Path) -> None:
    found = run("sweep", "pythia/14m", "--measures", "spectrum")
    assert (found["checkpoints"], found["computed"], found["failed"]) == (154, 154, {})
    assert found["bytes_read"] == hub.bytes_sent() - hub.bytes_sent("*/refs")
    distinct = len(STEPS) - len(STALE)
    # Equal branches are read once, so the bound of a head and 200 kB for each is met with much to spare.
    assert distinct * HEAD_BYTES < found["bytes_read"] < distinct * HEAD_BYTES + 154 * 200_000
    size = (published["step0"] / "model.safetensors").stat().st_size
    assert found["weight_bytes"] == 154 * size
    assert found["bytes_read"] < found["weight_bytes"] / 4

    stored = queries.spectra(store(cache), "pythia", "14m").set_index("step")["singular_values"]
    for step in (0, 512, 143000):
        head = load_file(published[f"step{step}"] / "model.safetensors")["embed_out.weight"].double().numpy()
        exact = np.linalg.svd(head, compute_uv=False)
        assert np.abs(stored[step] - exact).max() < 1e-12 * exact[0]

    loss = MEASURED["nats_per_token"]
    _, doubtful = judge_run(curve(store(cache), "pythia", None, loss), queries.trajectory(store(cache), "pythia"), loss)
    assert doubtful == 86

    hub.forget()
    again = run("sweep", "pythia/14m", "--measures", "spectrum")
    assert (again["computed"], again["stored"]) == (0, 154)
    assert hub.bytes_sent() == 0


def test_an_audit_finds_exactly_the_stale_branches_before_anything_is_downloaded(hub: StandInHub, cache: Path) -> None:
    found = run("audit", "pythia/14m")
    assert found["duplicates"] == [[*STALE, 143000]]
    assert found["missing"] == []
    assert [int(step) for step in found["doubtful"]] == STALE
    assert not hub.received("*safetensors*")


def test_a_sweep_of_some_steps_marks_what_repeats_any_other(hub: StandInHub, cache: Path) -> None:
    run("sweep", "pythia/14m", "--measures", "spectrum", "--steps", f"0,{STALE[0]},143000")
    marked = queries.trajectory(store(cache), "pythia").set_index("step")["doubtful"]
    assert marked[STALE[0]].startswith("same weights as step")
    assert marked[[0, 143000]].isna().all()


def test_measures_of_a_text_use_the_pinned_commit_and_leave_nothing_behind(
    hub: StandInHub, published: dict[str, Path], cache: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(tiny.text(60))
    remote = run("measure", "pythia/14m@512", "--text", str(text))
    local = run("measure", str(published["step512"]), "--text", str(text))
    for section in ("spectrum", "anisotropy", "loss", "alignment"):
        assert remote[section] == local[section]
    assert remote["checkpoint"]["revision"] == "step512"
    assert remote["checkpoint"]["content_id"] == local["checkpoint"]["content_id"]
    assert not list((tmp_path / "home").rglob("model.safetensors"))


def test_alignment_reads_head_and_tokenizer_and_runs_no_model(
    hub: StandInHub, published: dict[str, Path], cache: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(tiny.text(60))
    options = ("--measures", "spectrum,alignment", "--text", str(text))
    found = run("sweep", "pythia/14m", "--steps", "0,512", *options)
    assert (found["computed"], found["failed"]) == (2, {})
    assert found["bytes_read"] == hub.bytes_sent() - hub.bytes_sent("*/refs")
    assert 2 * HEAD_BYTES < found["bytes_read"] < 2 * HEAD_BYTES + 400_000
    assert found["bytes_read"] < found["weight_bytes"] / 4
    remote = run("measure", "pythia/14m@512", *options)
    local = run("measure", str(published["step512"]), *options)
    assert remote["alignment"] == local["alignment"]
    assert local["bytes_read"] == HEAD_BYTES


def test_a_repository_that_no_family_names_is_measured_by_its_name(hub: StandInHub, published: dict[str, Path]) -> None:
    hub.add("someone/else", {"main": published["step1"], "checkpoint-10": published["step2"]})
    found = run("measure", "someone/else@checkpoint-10", "--measures", "spectrum")
    assert (found["checkpoint"]["family"], found["checkpoint"]["model"]) == ("hub", "someone--else")
    assert (found["checkpoint"]["step"], found["checkpoint"]["source"]) == (10, "someone/else")
    branch = run("measure", "hub:someone/else@main", "--measures", "spectrum")
    assert branch["checkpoint"]["step"] is None
    assert branch["spectrum"] != found["spectrum"]


@pytest.mark.parametrize(
    ("path", "fault", "says"),
    [
        ("*/refs", "gated", "log in"),
        ("*/refs", "not_found", "check the name"),
        ("*model.safetensors*", "error", "try again later"),
    ],
)
def test_a_failing_hub_ends_in_one_sentence_and_the_next_run_goes_on(
    hub: StandInHub, cache: Path, path: str, fault: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATURATION_HUB_SECONDS", "1")
    hub.misbehave(fault, path, times=None)
    target = ("measure", "pythia/14m@8", "--measures", "spectrum")
    with pytest.raises(SaturationError, match=says) as problem:
        run(*target)
    assert REPO in str(problem.value)
    assert "\n" not in str(problem.value)
    assert queries.models(store(cache)).query("family == 'pythia'").empty
    hub.behave()
    assert run(*target)["checkpoint"]["step"] == 8


def test_one_failing_revision_does_not_stop_a_sweep(hub: StandInHub, published: dict[str, Path], cache: Path) -> None:
    broken = save_step(cache / "broken", 7)
    (broken / "model.safetensors").write_bytes(b"\xff" * 64)
    hub.add(REPO, published | {"step4": broken})
    result = CliRunner().invoke(cli, ["sweep", "pythia/14m", "--measures", "spectrum", "--steps", "2,4,8", "--json"])
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert (summary["computed"], list(summary["failed"])) == (2, ["pythia/14m@4"])
    assert "EleutherAI/pythia-14m@step4" in summary["failed"]["pythia/14m@4"]


def test_offline_the_last_listing_and_what_was_read_are_used(
    hub: StandInHub, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    first = run("measure", "pythia/14m@16", "--measures", "spectrum")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.forget()
    again = run("measure", "pythia/14m@16", "--measures", "spectrum", "--force")
    assert again["spectrum"] == first["spectrum"]
    assert not hub.received()
    with pytest.raises(SaturationError, match=r"HF_HUB_OFFLINE"):
        run("measure", "pythia/14m@32", "--measures", "spectrum")
