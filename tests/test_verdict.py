"""The verdict on a run: three measures side by side, their order, and what is said of it."""

import json
from pathlib import Path

import figure_frames as frames
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from saturation.cli import cli
from saturation.errors import InputError
from saturation.jobs.metrics import MEASURED, Metric
from saturation.jobs.verdict import judge_run, order_in_words, sentences, verdict_table
from saturation.measures.verdict import Place, Thresholds, together

LOSS = MEASURED["nats_per_token"]
STEPS = tuple(range(1000, 41_000, 1000))


def falls_and_rises(turn: int, low: float = 3.0, top: float = 6.0, end: float = 4.0) -> list[float]:
    """A straight fall to `low` at step `turn`, then a straight rise to `end`."""
    return [float(np.interp(step, (STEPS[0], turn, STEPS[-1]), (top, low, end))) for step in STEPS]


def level(value: float) -> list[float]:
    return [value] * len(STEPS)


def run(
    loss: list[float], anisotropy: list[float], entropy: list[float], **columns
) -> tuple[pd.DataFrame, pd.DataFrame]:
    along = frames.trajectory(
        "m",
        steps=STEPS,
        nats_per_token=loss,
        anisotropy=anisotropy,
        singular_entropy=entropy,
        **{name: [0.0] * len(STEPS) for name in ("centred_anisotropy", "centred_singular_entropy", "effective_rank")},
        floor=[np.nan] * len(STEPS),
        **{"doubtful": [None] * len(STEPS)} | columns,
    )
    return along.assign(value=along["nats_per_token"]), along


ALL = run(falls_and_rises(30_000), falls_and_rises(25_000, 0.2, 0.5, 0.9), falls_and_rises(15_000, 0.3, 1.0, 3.0))


def test_all_three_in_their_order() -> None:
    found, doubtful = judge_run(*ALL, LOSS)
    assert doubtful == 0
    names = [place.name for place in found.order]
    assert names == ["singular_entropy", "anisotropy", "performance"]
    entropy, cosine, loss = (place.step for place in found.order)
    assert (entropy, cosine) == (pytest.approx(15_000, abs=1000), pytest.approx(25_000, abs=1000))  # a checkpoint apart
    assert loss == 30_000
    assert order_in_words(found) == "singular entropy → anisotropy → performance"
    assert sentences(found, ALL[1], "loss") == [
        f"The singular entropy turned first, at about step {entropy:,}. The anisotropy turned {cosine - entropy:,} "
        f"steps later ({(cosine - entropy) / 400:.0f} % of training), and the loss, from its best on, "
        f"{loss - cosine:,} steps later ({(loss - cosine) / 400:.0f} % of training)."
    ]


def test_the_loss_is_marked_since_when_it_is_saturated() -> None:
    found, _ = judge_run(*ALL, LOSS)
    places = {place.name: place.step for place in found.order}
    assert found.performance.onset_step > places["performance"] == found.performance.best_step
    assert found.marks() == places | {"performance": found.performance.onset_step}
    still, _ = judge_run(*run(falls_and_rises(40_000, end=3.0), level(0.1), level(0.3)), LOSS)
    assert still.marks() == {}
    only, _ = judge_run(*run(falls_and_rises(20_000), level(0.1), level(0.3)), LOSS)
    assert sentences(only, ALL[1], "loss")[0] == (
        "Of what is measured, only the loss turned, from its best at step 20,000 on."
    )


def test_what_did_not_turn_is_said() -> None:
    curve, along = run(falls_and_rises(40_000, end=3.0), level(0.1), falls_and_rises(15_000, 0.3, 1.0, 3.0))
    found, _ = judge_run(curve, along, LOSS)
    assert sentences(found, along, "loss") == [
        f"Of what is measured, only the singular entropy turned, at about step {found.order[0].step:,}.",
        "The loss did not turn with it, nor did the anisotropy.",
    ]
    curve, along = run(falls_and_rises(20_000), level(0.1), level(0.3))
    said = sentences(judge_run(curve, along, LOSS)[0], along, "loss")
    assert said[-1] == "The anisotropy and the singular entropy did not turn: the measures disagree in this run."
    curve, along = run(falls_and_rises(40_000, end=3.0), level(0.1), level(0.3))
    assert sentences(judge_run(curve, along, LOSS)[0], along, "loss") == [
        "Neither loss, anisotropy nor singular entropy shows a lasting late rise."
    ]


def test_turns_closer_than_the_checkpoints_are_at_the_same_time() -> None:
    assert together(Place("a", 1000, 500), Place("b", 1400, 100))
    assert not together(Place("a", 1000, 100), Place("b", 1400, 200))
    curve, along = run(
        falls_and_rises(40_000, end=3.0), falls_and_rises(20_000, 0.2, 0.5, 0.9), falls_and_rises(20_000, 0.3, 1.0, 3.0)
    )
    found, _ = judge_run(curve, along, LOSS)
    assert " = " in order_in_words(found)
    assert "at the same time, as far as the checkpoints can tell" in sentences(found, along, "loss")[0]


def test_thresholds_decide() -> None:
    curve, along = run(falls_and_rises(20_000, end=3.03), falls_and_rises(20_000, 0.2, 0.5, 0.3), level(0.3))
    assert [place.name for place in judge_run(curve, along, LOSS)[0].order] == ["anisotropy", "performance"]
    strict = Thresholds(least_rise=0.02, least_anisotropy=0.2)
    assert judge_run(curve, along, LOSS, strict)[0].order == ()


@pytest.mark.parametrize(
    "wrong",
    [{"least_rise": -1}, {"significance": 0}, {"significance": 2}, {"least_entropy": 0}, {"least_anisotropy": -1}],
)
def test_thresholds_that_mean_nothing_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        Thresholds(**wrong)


def test_doubtful_checkpoints_are_left_out_of_all_three_and_counted() -> None:
    doubtful = [None] * 30 + ["same weights as step 1000"] * 10
    curve, along = run(falls_and_rises(30_000), falls_and_rises(31_000, 0.2, 0.5, 0.9), level(0.3), doubtful=doubtful)
    found, left_out = judge_run(curve, along, LOSS)
    assert (found.order, left_out, found.performance.checkpoints) == ((), 10, 30)


def test_a_metric_of_unknown_direction_is_refused() -> None:
    with pytest.raises(InputError, match="is not stated, so nothing is judged"):
        judge_run(*ALL, Metric("odd/score", "odd score", "", None))


def test_the_table_has_a_row_a_model_the_worst_first() -> None:
    still = run(falls_and_rises(40_000, end=3.0), level(0.1), level(0.3))
    few = frames.curve("few", steps=(1, 2), values=(2.0, 1.0))
    curves = pd.concat([still[0].assign(model="still"), ALL[0].assign(model="turned"), few])
    table = verdict_table(curves, pd.concat([still[1].assign(model="still"), ALL[1].assign(model="turned")]), LOSS)
    assert table["model"].tolist() == ["turned", "still", "few"]
    first = table.iloc[0]
    assert (first["verdict"], first["best_step"]) == ("saturated", 30_000)
    assert abs(first["anisotropy_turn"] - 25_000) <= 1000
    assert abs(first["entropy_turn"] - 15_000) <= 1000
    assert (first["best_value"], first["final_value"], first["anisotropy_last"]) == pytest.approx((3.0, 4.0, 0.9))
    assert first["degradation"] == pytest.approx(1 / 3)
    assert table["verdict"].tolist()[1:] == ["not saturated", "needs at least 6 checkpoints"]


def test_words_never_claim_a_cause() -> None:
    said = " ".join(sentences(judge_run(*ALL, LOSS)[0], ALL[1], "loss")).lower()
    assert not any(word in said for word in ("because", "cause", "due to", "leads to", "therefore"))


def test_command_line_says_turns_order_and_thresholds(cache: Path) -> None:
    ask = ["onset", "lab/w8", "--json", "--least-entropy", "0.2"]
    found = json.loads(CliRunner().invoke(cli, ask, catch_exceptions=False).stdout)
    assert found["thresholds"]["least_entropy"] == 0.2
    assert found["turns"]["anisotropy"] is None
    assert found["order"][0]["name"] == "singular_entropy"
    assert found["turns"]["singular_entropy"]["step"] == found["order"][0]["step"]
    with pytest.raises(InputError, match="significance is 2"):
        CliRunner().invoke(cli, ["onset", "lab/w8", "--significance", "2"], catch_exceptions=False)
