"""Table 1: tasks at the best and the last checkpoint, by hand and against the published evaluations of Pythia."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import store_rows as rows

from saturation.jobs.tables import best_and_final
from saturation.store import Evaluation, queries

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "data" / "pythia-evals"
HIGHER = {"acc": True, "acc_norm": True, "perplexity": False}


def evaluations(*given: tuple, **columns) -> pd.DataFrame:
    """Rows of (task, metric, step, value, stderr, higher_is_better)."""
    names = ["task", "metric", "step", "value", "stderr", "higher_is_better"]
    frame = pd.DataFrame(given, columns=names).assign(shots=0, doubtful=None)
    return frame.assign(**columns)


def test_change_is_relative_and_told_by_direction():
    table = best_and_final(
        evaluations(
            ("wikitext", "word_perplexity", 10, 30.0, 0.3, False),
            ("wikitext", "word_perplexity", 20, 33.0, 0.4, False),
            ("sciq", "acc", 10, 0.8, 0.03, True),
            ("sciq", "acc", 20, 0.74, 0.04, True),
            ("piqa", "acc", 10, 0.5, None, True),
            ("piqa", "acc", 20, 0.6, None, True),
            ("odd", "score", 10, 2.0, 0.1, None),
            ("odd", "score", 20, 2.0, 0.1, None),
        ),
        best_step=10,
    ).set_index("task")
    assert table["change"].to_dict() == pytest.approx({"wikitext": 0.1, "sciq": -0.075, "piqa": 0.2, "odd": 0.0})
    assert table["direction"].to_dict() == {"wikitext": "worse", "sciq": "worse", "piqa": "better", "odd": "same"}
    # 3 against 2 x 0.5; 0.06 against 2 x 0.05; no standard errors; no change
    assert [table.loc[name, "beyond_noise"] for name in ("wikitext", "sciq", "piqa", "odd")] == [
        True,
        False,
        None,
        False,
    ]


def test_values_are_of_the_nearest_evaluated_step_and_of_the_last():
    given = [("sciq", "acc", step, step / 100, 0.01, True) for step in (0, 30, 50, 90)]
    table = best_and_final(evaluations(*given), best_step=44)
    assert table[["best_step", "best", "final_step", "final"]].to_numpy().tolist() == [[50, 0.5, 90, 0.9]]
    assert best_and_final(evaluations(*given), best_step=40)["best_step"].tolist() == [30]  # the earlier of two


def test_doubtful_checkpoints_are_left_out():
    given = [("sciq", "acc", step, step / 100, 0.01, True) for step in (10, 50, 90)]
    table = best_and_final(evaluations(*given, doubtful=[None, "wrong shard", "wrong shard"]), best_step=50)
    assert table[["best_step", "final_step", "direction"]].to_numpy().tolist() == [[10, 10, "same"]]


def test_shots_are_tasks_of_their_own():
    table = best_and_final(
        pd.concat(
            [evaluations(("sciq", "acc", 1, shots / 10, 0.01, True), shots=shots) for shots in (5, 0)],
            ignore_index=True,
        ),
        best_step=1,
    )
    assert sorted(zip(table["shots"], table["best"], strict=True)) == [(0, 0.0), (5, 0.5)]


def test_the_papers_tasks_come_first_then_the_largest_loss_and_parts_last():
    changes = {
        ("hendrycksTest-anatomy", "acc"): 0.1,
        ("crows_pairs_english", "acc"): 0.9,
        ("piqa", "acc"): 0.9,
        ("logiqa", "acc"): 0.5,
        ("winogrande", "acc"): 1.2,
        ("arc_easy", "acc_norm"): 0.9,
        ("arc_easy", "acc"): 0.95,
        ("sciq", "acc"): 0.99,
        ("lambada_openai", "acc"): 0.99,
        ("lambada_openai", "perplexity"): 1.5,
    }
    given = [(task, metric, 1, 1.0, 0.1, HIGHER[metric]) for task, metric in changes]
    given += [(task, metric, 2, value, 0.1, HIGHER[metric]) for (task, metric), value in changes.items()]
    table = best_and_final(evaluations(*given), best_step=1)
    assert list(zip(table["task"], table["metric"], strict=True)) == [
        ("lambada_openai", "perplexity"),
        ("lambada_openai", "acc"),
        ("sciq", "acc"),
        ("arc_easy", "acc"),
        ("arc_easy", "acc_norm"),
        ("logiqa", "acc"),
        ("piqa", "acc"),
        ("winogrande", "acc"),
        ("crows_pairs_english", "acc"),
        ("hendrycksTest-anatomy", "acc"),
    ]
    assert table["group"].tolist() == [""] * 8 + ["crows_pairs", "hendrycksTest"]


def test_nothing_evaluated_is_an_empty_table():
    assert best_and_final(evaluations(), best_step=3).empty


def published(folder: Path) -> Iterator[Evaluation]:
    """The harness's own JSON, one file a checkpoint."""
    for path in sorted(folder.rglob("*.json")):
        model, step = re.fullmatch(r"(.+)_step(\d+)", path.stem).groups()
        for task, values in json.loads(path.read_text(encoding="utf-8"))["results"].items():
            for name, value in values.items():
                if name.endswith("_stderr") or math.isnan(value):
                    continue
                metric = {"ppl": "perplexity"}.get(name, name)
                yield rows.evaluation(
                    model,
                    int(step),
                    value,
                    family="pythia",
                    task=task,
                    metric=metric,
                    stderr=values.get(f"{name}_stderr"),
                    higher_is_better=HIGHER.get(metric),
                    source=path.name,
                )


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published evaluations of Pythia are not on this machine")
def test_published_evaluations_of_pythia_160m(tmp_path):
    """The paper's table has 24.6 / 32.9 for LAMBADA: of another set of checkpoints than these, published by 10,000."""
    store = rows.empty_store(tmp_path / "measurements.duckdb")
    store.add_evaluations(published(PUBLISHED / "pythia-160m"))
    frame = queries.evaluations(store, "pythia", ["160m"])
    lambada = frame[(frame["task"] == "lambada_openai") & (frame["metric"] == "perplexity")]
    best = int(lambada.loc[lambada["value"].idxmin(), "step"])
    table = best_and_final(frame, best)
    assert best == 63_000
    assert set(table["final_step"]) == {143_000}
    first = table.iloc[0]
    assert (first["task"], first["metric"], first["direction"]) == ("lambada_openai", "perplexity", "worse")
    assert (first["best"], first["final"], first["change"]) == pytest.approx((24.844, 38.065, 0.532), abs=0.001)
    shown = table.set_index(["task", "metric"])
    assert shown.loc[("lambada_openai", "acc"), ["best", "final"]].tolist() == pytest.approx([0.399, 0.328], abs=1e-3)
    assert shown.loc[("sciq", "acc"), ["best", "final"]].tolist() == pytest.approx([0.775, 0.741], abs=1e-3)
    assert shown.loc[("arc_easy", "acc"), ["best", "final"]].tolist() == pytest.approx([0.447, 0.435], abs=1e-3)
    assert shown.loc[("lambada_openai", "acc"), "beyond_noise"]
    assert not shown.loc[("arc_easy", "acc"), "beyond_noise"]
    assert (table["group"] == "").tolist() == [True] * 14 + [False] * 158
