"""The bundled heads and corpora: real measurements that must agree with what is known of them."""

import numpy as np
import pandas as pd
import pytest

from saturation.jobs import head_tables, widths
from saturation.store import Store, queries

WIDTHS = ["w8", "w16", "w32", "w64"]  # the runs with trained heads
NOISE = 0.005  # nats: well over the standard error of a difference of two heads on 100,000 tokens


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("bundled") / "measurements.duckdb")
    store.ensure()
    return store


@pytest.fixture(scope="module")
def table(store: Store) -> pd.DataFrame:
    trained = head_tables.one_text(queries.trained_heads(store, "lab"))
    return head_tables.by_rank(trained, queries.truncated_heads(store, "lab", WIDTHS))


def losses(table: pd.DataFrame, kind: str) -> pd.Series:
    rows = table[table["kind"] == kind]
    return rows.set_index(["model", "rank"])["nats_per_token"]


def test_a_trained_head_is_never_worse_than_the_cut_one(table: pd.DataFrame) -> None:
    trained, truncated = losses(table, "trained"), losses(table, "truncated")
    assert len(trained) == 4 + 5 + 6 + 7
    assert (trained <= truncated + NOISE).all()


def test_a_trained_head_of_full_rank_comes_within_two_percent_of_the_models_own(table: pd.DataFrame) -> None:
    own = losses(table, "own")
    assert len(own) == 4
    assert (losses(table, "trained")[own.index] <= 1.02 * own).all()


def test_what_a_rank_reaches_does_not_depend_on_the_model(table: pd.DataFrame) -> None:
    spread = losses(table, "trained").groupby("rank").agg(["min", "max", "size"])
    shared = spread[spread["size"] > 1]
    assert shared.index.tolist() == [1, 2, 4, 8, 16, 32]
    assert (shared["max"] - shared["min"] < 0.04).all()


def test_truncated_losses_fall_with_the_rank_and_end_at_the_measured_loss(store: Store) -> None:
    rows = queries.truncated_heads(store, "lab")
    measured = queries.trajectory(store, "lab").set_index(["model", "step"])["nats_per_token"]
    counts = rows.groupby("model")["step"].nunique()
    assert counts[WIDTHS].tolist() == [41, 41, 41, 41]
    assert counts.drop(WIDTHS).to_dict() == {
        "w16-b4": 51,
        "w16-b4-ramp": 51,
        "w16-b4-ramp-fall": 51,
        "w16-b1-ramp": 41,
    }
    for (model, step), run in rows.groupby(["model", "step"]):
        whole = run.sort_values("rank").iloc[-1]
        assert whole["rank"] == whole["hidden_size"]
        assert whole["nats_per_token"] == pytest.approx(whole["own_nats_per_token"], abs=1e-5)
        assert whole["nats_per_token"] == pytest.approx(measured[model, step], abs=1e-5)
        if step >= 1000 and model in WIDTHS:  # before, a head has learnt little that a rank could lose
            assert (np.diff(run.sort_values("rank")["nats_per_token"]) < NOISE).all()


def test_wikitext_with_the_llama_tokenizer(store: Store) -> None:
    curves = widths.named(queries.ngrams(store))
    llama = curves[curves["tokenizer"] == "llama2.model"].iloc[0]
    assert (llama["method"], llama["tokens"], llama["contexts"], llama["tokens_seen"]) == (
        "exact",
        637434,
        442656,
        11575,
    )
    assert llama["rank_at_half"] == 882
    for rank, error in ((1000, 0.486), (2000, 0.394), (5000, 0.225), (10_000, 0.053)):
        assert widths.w_error_at(llama["ranks"], llama["w_error"], rank) == pytest.approx(error, abs=1e-3)


def test_the_playground_closes_at_its_rank(store: Store) -> None:
    rows = queries.playground(store)
    assert (rows.loc[rows["width"] >= rows["rank"], "gap"] < 0.01).all()
    assert (rows.loc[rows["width"] < rows["rank"], "gap"] > 0.01).all()
