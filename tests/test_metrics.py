"""Metrics by one name: what a family has values of, and its curve with what the registry knows of each model."""

from pathlib import Path

import numpy as np
import pytest
from store_rows import checkpoint, empty_store, evaluation, loss

from saturation.errors import InputError, UnknownNameError
from saturation.jobs import metrics
from saturation.store import Store

BATCH = 2_097_152  # tokens a step of Pythia


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """pythia/70m measured at two steps and evaluated at three, pythia/410m evaluated only."""
    store = empty_store(tmp_path / "store.duckdb")
    shape = {"family": "pythia", "hidden_size": 512, "vocab_size": 50_304, "parameters": 70_426_624}
    store.add(loss(checkpoint("70m", step, **shape), nats=step / 1000) for step in (2000, 3000))
    ppl = {"task": "lambada_openai", "metric": "perplexity", "higher_is_better": False, "family": "pythia"}
    store.add_evaluations(
        [
            *(evaluation("70m", step, value=float(step), **ppl) for step in (1, 2, 3)),
            evaluation("410m", 143_000, value=10.8, **ppl),
            evaluation("410m", 143_000, value=0.8, family="pythia", shots=5),
            evaluation("410m", 143_000, value=0.7, family="pythia", shots=0),
            evaluation("410m", 143_000, value=0.1, family="pythia", task="odd", metric="score", higher_is_better=None),
        ]
    )
    return store


def test_measured_ones_come_first_then_what_the_paper_shows_then_the_fullest(store: Store) -> None:
    found = metrics.available(store, "pythia")
    names = ["loss", "perplexity", "lambada_openai/perplexity", "odd/score", "sciq/acc"]
    assert [metric.name for metric in found] == names
    assert [metric.higher_is_better for metric in found] == [False, False, False, None, True]
    assert metrics.available(store, "opt") == []


def test_titles_carry_the_unit() -> None:
    assert metrics.MEASURED["nats_per_token"].title == "loss (nats/token)"
    assert metrics.Metric("sciq/acc_norm", "sciq acc norm", "").title == "sciq acc norm"


def test_the_old_name_of_a_perplexity_finds_it(store: Store) -> None:
    assert metrics.named(store, "pythia", "lambada_openai/ppl").name == "lambada_openai/perplexity"


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("los", UnknownNameError, r"There is no metric 'los' of pythia; did you mean loss"),
        ("sciq/ac", UnknownNameError, r"did you mean sciq/acc"),
        ("accuracy", InputError, r"No accuracy of pythia is measured; run `python -m saturation sweep pythia/MODEL`"),
    ],
)
def test_a_metric_without_values_is_refused(store: Store, name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        metrics.named(store, "pythia", name)


def test_a_measured_curve(store: Store) -> None:
    rows = metrics.curve(store, "pythia", None, metrics.MEASURED["nats_per_token"])
    assert rows[["model", "step", "value"]].values.tolist() == [["70m", 2000, 2.0], ["70m", 3000, 3.0]]
    assert rows["trained_tokens"].tolist() == [2000 * BATCH, 3000 * BATCH]
    assert rows["vocab_per_width"].tolist() == [50_304 / 512] * 2
    assert rows["peak_learning_rate"].tolist() == [1e-3] * 2
    assert rows["stderr"].isna().all()


def test_an_evaluated_curve_takes_shapes_from_the_registry_and_the_fewest_shots(store: Store) -> None:
    rows = metrics.curve(store, "pythia", None, metrics.named(store, "pythia", "sciq/acc"))
    assert rows[["model", "value", "stderr", "parameters", "hidden_size"]].values.tolist() == [
        ["410m", 0.7, 0.01, 405_334_016, 1024]
    ]
    assert rows["trained_tokens"].tolist() == [143_000 * BATCH]
    rows = metrics.curve(store, "pythia", ["70m"], metrics.named(store, "pythia", "lambada_openai/perplexity"))
    assert rows[["step", "value"]].values.tolist() == [[1, 1.0], [2, 2.0], [3, 3.0]]


def test_tokens_come_from_the_revision_where_it_states_them_and_are_unknown_elsewhere(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "store.duckdb")
    store.add(
        [
            loss(checkpoint("1b", 1000, family="olmo", revision="step1000-tokens4B")),
            loss(checkpoint("run~1", 7)),
        ]
    )
    olmo = metrics.curve(store, "olmo", None, metrics.MEASURED["nats_per_token"])
    assert olmo["trained_tokens"].tolist() == [4e9]
    local = metrics.curve(store, "local", None, metrics.MEASURED["nats_per_token"])
    assert np.isnan(local["trained_tokens"]).tolist() == [True]


def test_doubt_and_the_floor_come_along(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "store.duckdb")
    store.add([loss(checkpoint("run~1", 7), scalars={"nats_per_token": 5.0, "accuracy": 0.2, "floor": 4.0})])
    store.mark("local", "run~1", {7: "same weights as step 6"})
    rows = metrics.curve(store, "local", None, metrics.MEASURED["nats_per_token"])
    assert rows[["value", "floor", "doubtful"]].values.tolist() == [[5.0, 4.0, "same weights as step 6"]]
    assert metrics.curve(store, "local", None, metrics.MEASURED["accuracy"])["floor"].isna().all()
