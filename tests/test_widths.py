"""The width calculator and the tables of heads, on rows small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest
from store_rows import ngram_curve

from saturation.jobs import head_tables, widths

RANKS = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
ERRORS = np.array([1.0, 0.8, 0.6, 0.2, 0.0])


def curves(*changes: dict) -> pd.DataFrame:
    rows = []
    for change in changes:
        curve = ngram_curve(
            **({"ranks": RANKS, "w_error": ERRORS, "w_error_low": ERRORS, "w_error_high": ERRORS} | change)
        )
        rows.append({name: getattr(curve, name) for name in curve.__dataclass_fields__})
    return pd.DataFrame(rows)


class TestWidths:
    @pytest.mark.parametrize(("width", "error"), [(0, 1.0), (1, 0.8), (3, 0.4), (6, 0.1), (8, 0.0), (9, 0.0)])
    def test_the_error_at_a_width_is_linear_between_ranks(self, width: int, error: float) -> None:
        assert widths.w_error_at(RANKS, ERRORS, width) == pytest.approx(error)

    @pytest.mark.parametrize(
        ("error", "width"), [(1.0, 0), (0.8, 1), (0.5, 3), (0.4, 3), (0.2, 4), (0.19, 5), (0.0, 8)]
    )
    def test_the_least_width_for_an_error(self, error: float, width: int) -> None:
        assert widths.width_for(RANKS, ERRORS, error) == width

    def test_a_row_a_curve(self) -> None:
        table = widths.calculator(widths.named(curves({})), 0.3)
        assert table["label"].tolist() == ["corpus · tokenizer.json (5)"]
        assert table["width"].tolist() == [4]
        assert table["64"].tolist() == [0.0]

    def test_of_one_matrix_the_exact_curve_of_the_newest_version_stays(self) -> None:
        found = widths.named(
            curves({"method": "stochastic"}, {"method": "exact"}, {"method": "stochastic", "gram_order": 3})
        )
        assert list(zip(found["gram_order"], found["method"], strict=True)) == [(3, "stochastic"), (5, "exact")]
        assert found["label"].str.endswith("-grams").all()
        newer = widths.named(curves({"method": "exact"}, {"method": "stochastic", "version": 2}))
        assert newer["method"].tolist() == ["stochastic"]

    def test_what_doubling_the_vocabulary_does(self) -> None:
        known = curves(
            {"tokenizer": "bpe:1000 of corpus.txt", "tokenizer_id": "a", "vocabulary": 1000},
            {"tokenizer": "bpe:4000 of corpus.txt", "tokenizer_id": "b", "vocabulary": 4000, "ranks": 4 * RANKS},
            {"tokenizer": "llama2.model", "tokenizer_id": "c", "vocabulary": 32_000},
        )
        told = widths.growth(widths.named(known), 0.2)
        assert told == [
            "corpus, 5-grams: a W-error of 0.20 needs a width of 4 at 1,000, 16 at 4,000 tokens of vocabulary; each "
            "doubling multiplies it by 2.00."  # four times the vocabulary, four times the width
        ]
        for error in (0.2, 0.5):  # table and sentence speak of the same widths
            wide = widths.calculator(widths.named(known), error)["width"].tolist()
            said = widths.growth(widths.named(known), error)[0]
            assert f"needs a width of {wide[0]:,} at 1,000, {wide[1]:,} at 4,000" in said
        assert widths.growth(widths.named(known.iloc[1:])) == []

    def test_two_corpora_of_one_name_have_labels_of_their_own(self) -> None:
        found = widths.named(
            curves({}, {"corpus_id": "sha256:abcdefgh"}, {"corpus_id": "sha256:other", "tokens": 7}, {"gram_order": 3})
        )
        assert found["label"].is_unique
        assert found["label"].str.endswith("· 7 tokens").sum() == 1
        assert found["label"].str.endswith("· 100 tokens · abcdef").sum() == 1
        assert widths.points(found).groupby("label").size().tolist() == [len(RANKS)] * 4

    def test_labels(self) -> None:
        found = widths.named(
            curves(
                {"tokenizer": "bpe:8192 of corpus.txt", "vocabulary": 8192}, {"tokenizer_id": "x", "vocabulary": 9000}
            )
        )
        assert found["label"].tolist() == ["corpus · BPE 8,192", "corpus · tokenizer.json (9,000)"]
        assert widths.tokenizer({"tokenizer": "pythia.json", "vocabulary": 50_277}) == "pythia (50,277)"

    def test_known_models(self) -> None:
        known = widths.known_models()
        assert known["hidden_size"].is_monotonic_increasing
        assert ("pythia/410m", "pythia", 1024) in set(known.itertuples(index=False, name=None))
        assert widths.examples(1000).endswith("(1,024 wide)")
        assert "pythia/410m" in widths.examples(1000, 99)
        assert widths.examples(1000, 99).count("pythia/") == 1
        assert widths.examples(10**6) == "no known model is that wide"

    def test_nothing_counted_yet(self) -> None:
        none = widths.named(curves({}).iloc[:0])
        assert widths.calculator(none, 0.5).empty
        assert widths.points(none).empty
        assert widths.growth(none) == []

    def test_points_for_the_figure(self) -> None:
        rows = widths.points(widths.named(curves({})))
        assert rows["rank"].tolist() == RANKS.tolist()
        assert rows["low"].tolist() == ERRORS.tolist()


def trained(**changes: object) -> dict:
    row = {
        "family": "lab",
        "model": "w2",
        "step": 10,
        "parameters": 90,
        "hidden_size": 2,
        "text_name": "t",
        "tokens": 9,
        "rank": 1,
        "init": "normal",
        "learning_rate": 0.01,
        "seed": 0,
        "w_error": 0.6,
        "nats_per_token": 3.2,
        "accuracy": 0.3,
        "validation_nats_per_token": 3.1,
        "truncated_nats_per_token": 3.5,
        "truncated_accuracy": 0.2,
        "own_nats_per_token": 3.0,
        "own_accuracy": 0.4,
    }
    return row | changes


TRUNCATED = pd.DataFrame(
    [
        {"family": "lab", "model": model, "step": step, "rank": rank, "nats_per_token": 4.0 - rank / 2, "w_error": 0.5}
        | {"accuracy": 0.1, "parameters": 90, "hidden_size": 2, "own_nats_per_token": 3.0, "own_accuracy": 0.4}
        for model in ("w2", "other")
        for step in (5, 10)
        for rank in (1, 2)
    ]
)


class TestHeads:
    def test_the_rate_with_the_lowest_mean_validation_loss_is_chosen(self) -> None:
        rows = [
            trained(learning_rate=0.01, seed=0, validation_nats_per_token=3.1, nats_per_token=3.2),
            trained(learning_rate=0.01, seed=1, validation_nats_per_token=3.3, nats_per_token=3.4),
            trained(learning_rate=0.05, seed=0, validation_nats_per_token=3.0, nats_per_token=9.0),
            trained(learning_rate=0.05, seed=1, validation_nats_per_token=3.5, nats_per_token=9.0),
        ]
        table = head_tables.by_rank(pd.DataFrame(rows), TRUNCATED.iloc[:0])
        row = table[table["kind"] == "trained"].iloc[0]
        assert row["learning_rate"] == 0.01
        assert row["nats_per_token"] == pytest.approx(3.3)
        assert row["spread"] == pytest.approx(np.std([3.2, 3.4], ddof=1))

    def test_the_start_with_the_lowest_validation_loss_is_chosen(self) -> None:
        rows = [trained(), trained(init="truncated", validation_nats_per_token=3.0, nats_per_token=3.1)]
        row = head_tables.by_rank(pd.DataFrame(rows), TRUNCATED.iloc[:0]).iloc[0]
        assert (row["kind"], row["init"], row["nats_per_token"]) == ("trained", "truncated", 3.1)

    def test_trained_truncated_and_own_side_by_side(self) -> None:
        rows = pd.DataFrame([trained(rank=1), trained(rank=2, nats_per_token=3.0, w_error=0.0)])
        table = head_tables.by_rank(rows, head_tables.at_step(TRUNCATED, 10))
        own = table[table["model"] == "w2"]
        assert own["kind"].tolist() == ["trained", "trained", "truncated", "truncated", "own"]
        assert own["rank"].tolist() == [1, 2, 1, 2, 2]
        assert own["nats_per_token"].tolist() == [3.2, 3.0, 3.5, 3.5, 3.0]  # truncated: of the same part of the text
        other = table[table["model"] == "other"]
        assert other["kind"].tolist() == ["truncated", "truncated", "own"]
        assert other["nats_per_token"].tolist() == [3.5, 3.0, 3.0]

    def test_of_two_texts_the_one_trained_on_last_counts(self) -> None:
        early, late = pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2026-01-02", tz="UTC")
        rows = pd.DataFrame(
            [
                trained(text_name="first", measured_at=early),
                trained(text_name="second", measured_at=early, rank=2),
                trained(text_name="second", measured_at=late),
                trained(step=20, text_name="first", measured_at=early),
            ]
        )
        kept = head_tables.one_text(rows)
        assert kept[["step", "text_name", "rank"]].values.tolist() == [
            [10, "second", 2],
            [10, "second", 1],
            [20, "first", 1],
        ]
        assert head_tables.one_text(rows.iloc[:0]).empty

    def test_nothing_measured(self) -> None:
        table = head_tables.by_rank(pd.DataFrame([trained()]).iloc[:0], TRUNCATED.iloc[:0])
        assert len(table) == 0
        assert list(table.columns) == head_tables.COLUMNS

    @pytest.mark.parametrize(("step", "shown"), [(0, 5), (6, 5), (7, 5), (8, 10), (99, 10)])
    def test_each_model_at_its_nearest_step(self, step: int, shown: int) -> None:
        assert set(head_tables.at_step(TRUNCATED, step)["step"]) == {shown}
