"""The saturation verdict: published curves, hand-made ones, and error rates on simulated ones."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import store_rows
from click.testing import CliRunner

from saturation.cli import cli
from saturation.errors import InputError
from saturation.jobs.onset import judge
from saturation.measures.onset import noise, onset
from saturation.store import Store

EVALUATIONS = Path(__file__).resolve().parents[2] / "shared" / "data" / "pythia-evals"


def lambada(model: str) -> tuple[list[int], list[float]]:
    found = {}
    for path in (EVALUATIONS / f"pythia-{model}").glob("*.json"):
        step = int(re.search(r"step(\d+)", path.name)[1])
        found[step] = json.loads(path.read_text())["results"]["lambada_openai"]["ppl"]
    return sorted(found), [found[step] for step in sorted(found)]


@pytest.mark.skipif(not EVALUATIONS.is_dir(), reason="the published Pythia evaluations are not on this machine")
@pytest.mark.parametrize(
    ("model", "saturated", "best"), [("70m", True, 53000), ("160m", True, 63000), ("410m", False, 133000)]
)
def test_published_lambada_perplexities(model: str, saturated: bool, best: int) -> None:
    found = onset(*lambada(model))
    assert (found.saturated, found.best_step) == (saturated, best)
    if saturated:
        assert best < found.onset_step < 100000
    else:
        assert found.degradation < 0.03


def test_a_hand_made_rise() -> None:
    values = [8.0, 6.0, 5.0, 4.5, 4.2, 4.0, 4.0, 4.0, 4.2, 4.4, 4.6, 4.8]
    found = onset(range(0, 1200, 100), values)
    assert (found.saturated, found.best_step, found.onset_step) == (True, 500, 800)
    assert (found.best_value, found.final_value) == (4.0, 4.8)
    assert found.degradation == pytest.approx(0.2)
    assert found.rise == pytest.approx(np.sqrt(4.6 * 4.8) / 4.0 - 1)


def test_an_accuracy_that_falls_is_a_rise_of_its_loss() -> None:
    accuracy = [0.1, 0.2, 0.3, 0.35, 0.4, 0.4, 0.4, 0.36, 0.34, 0.32, 0.3]
    found = onset(range(11), accuracy, higher_is_better=True)
    assert (found.saturated, found.best_value, found.final_value) == (True, 0.4, 0.3)
    assert found.degradation == pytest.approx(0.4 / 0.3 - 1)


def test_scale_does_not_matter() -> None:
    values = np.r_[np.linspace(6, 3, 20), np.linspace(3, 3.5, 20)] + np.random.default_rng(0).normal(0, 0.01, 40)
    plain, scaled = onset(range(40), values), onset(range(40), 1000 * values)
    assert (plain.saturated, plain.onset_step) == (scaled.saturated, scaled.onset_step)
    assert plain.p_value == scaled.p_value


def test_a_peak_that_came_back_is_no_saturation() -> None:
    values = [8, 6, 5, 4, 3.5, 3.2, 3.0, 3.4, 3.8, 3.4, 3.0, 2.95, 2.9, 2.88]
    assert not onset(range(14), values).saturated


def test_a_rise_below_the_least_one_is_no_saturation() -> None:
    values = np.r_[np.linspace(6, 3, 20), np.linspace(3, 3.009, 20)]
    assert not onset(range(40), values).saturated
    assert onset(range(40), values, least_rise=0.001).saturated


def test_noise_ignores_a_slope() -> None:
    assert float(noise(np.linspace(5, 3, 20))) == pytest.approx(0, abs=1e-12)
    draws = np.random.default_rng(0).normal(0, 0.1, 8000)
    assert float(noise(np.linspace(5, 3, 8000) + draws)) == pytest.approx(0.1, rel=0.05)


def simulated(shape: str, checkpoints: int, spread: float, seed: int) -> bool:
    time = np.linspace(0.02, 1, checkpoints)
    curve = 3 + 2 * np.exp(-8 * time)
    if shape == "improving":
        curve += 0.3 * (1 - time)
    elif shape == "rising":
        curve += 0.6 * np.maximum(0, time - 0.5)
    values = curve * np.exp(np.random.default_rng(seed).normal(0, spread, checkpoints))
    return onset(np.arange(checkpoints), values).saturated


@pytest.mark.parametrize(
    ("checkpoints", "spread"), [*((count, size) for count in (12, 27) for size in (0.002, 0.01, 0.05)), (154, 0.01)]
)
@pytest.mark.parametrize("shape", ["improving", "level"])
def test_false_alarms_are_rare_whatever_the_noise(shape: str, checkpoints: int, spread: float) -> None:
    # At a level of 1 %, seven or more of 200 false alarms have a chance below 0.5 %.
    assert sum(simulated(shape, checkpoints, spread, seed) for seed in range(200)) < 7


@pytest.mark.parametrize(("checkpoints", "spread"), [(12, 0.002), (27, 0.01), (154, 0.01)])
def test_a_rise_of_a_tenth_is_found(checkpoints: int, spread: float) -> None:
    assert sum(simulated("rising", checkpoints, spread, seed) for seed in range(100)) >= 95


@pytest.mark.parametrize(
    ("values", "says"),
    [([1.0] * 5, "at least 6"), ([1.0] * 5 + [float("nan")], "finite"), ([1.0] * 5 + [0.0], "positive")],
)
def test_what_cannot_be_judged_is_said(values: list[float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        onset(range(len(values)), values)


def test_command_line_on_the_bundled_lab(cache: Path) -> None:
    result = CliRunner().invoke(cli, ["onset", "lab/w8", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert (found["saturated"], found["best_step"], found["onset_step"]) == (False, 28000, None)
    assert found["degradation"] == pytest.approx(found["final_value"] / found["best_value"] - 1)
    assert found["checkpoints"] == 41
    with pytest.raises(InputError, match=r"There is no metric 'los'; did you mean loss"):
        CliRunner().invoke(cli, ["onset", "lab/w8", "--metric", "los"], catch_exceptions=False)
    with pytest.raises(InputError, match="No loss of lab/w9 is measured"):
        CliRunner().invoke(cli, ["onset", "lab/w9"], catch_exceptions=False)


def test_doubtful_checkpoints_are_left_out_of_the_verdict(cache: Path) -> None:
    steps = [*range(0, 12_000, 1000), 143_000]
    values = dict(zip(steps, [9.0, 7.0, 6.0, 5.5, 5.2, 5.0, 4.9, 4.8, 4.7, 4.65, 4.6, 4.55, 4.5], strict=True))
    stale = {9000: 5.6, 10_000: 5.7, 11_000: 5.8, 143_000: 5.9}
    store = Store(cache / "measurements.duckdb")
    rows = [(store_rows.checkpoint("2.8b", step, family="pythia"), nats) for step, nats in (values | stale).items()]
    store.add(store_rows.loss(row, nats) for row, nats in rows)
    assert judge(store, "pythia", "2.8b").performance.saturated
    store.mark("pythia", "2.8b", dict.fromkeys(stale, "same weights as another step"))
    judged = judge(store, "pythia", "2.8b")
    found = judged.performance
    assert (found.saturated, found.best_step, found.checkpoints, judged.doubtful) == (False, 8000, 9, 4)
