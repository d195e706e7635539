"""What is stored of the bottleneck: heads of lower rank, n-gram matrices, the playground."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_rows import (
    START,
    TEXT,
    checkpoint,
    empty_store,
    loss,
    ngram_curve,
    playground_row,
    trained_head,
    truncated_heads,
)

from saturation.errors import NotFiniteError, PackError
from saturation.store import Store, packs, queries


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return empty_store(tmp_path / "store.duckdb")


class TestHeads:
    def test_a_row_for_each_rank_of_a_truncated_head(self, store: Store) -> None:
        later = checkpoint(step=7)
        store.add([truncated_heads(), truncated_heads(later, own=2.0), loss()])
        rows = queries.truncated_heads(store, "local")
        assert rows[["step", "rank"]].values.tolist() == [[1, 1], [1, 2], [7, 1], [7, 2]]
        assert rows["nats_per_token"].tolist() == [3.5, 3.0, 2.5, 2.0]
        assert rows["centred_nats_per_token"].tolist() == [3.25, 3.0, 2.25, 2.0]
        assert rows["w_error"].tolist() == [0.6, 0.0, 0.6, 0.0]
        assert rows["own_nats_per_token"].tolist() == [3.0, 3.0, 2.0, 2.0]
        assert queries.truncated_heads(store, "local", ["other"]).empty

    def test_a_shorter_list_of_ranks_hides_nothing(self, store: Store) -> None:
        store.add([truncated_heads(own=3.0)])
        few = truncated_heads(own=3.0, minute=5, inputs="rank 1", series={"ranks": [1.0], "nats_per_token": [3.4]})
        store.add([few, truncated_heads(own=9.0, tokens=4, minute=9)])  # the last one of fewer tokens
        rows = queries.truncated_heads(store, "local")
        assert rows[["rank", "nats_per_token"]].values.tolist() == [[1, 3.4], [2, 3.0]]

    def test_of_several_settings_the_one_trained_last_counts(self, store: Store) -> None:
        store.add(
            [
                trained_head(rank=1, rate=0.01),
                trained_head(rank=1, rate=0.01, minute=5, inputs="longer", scalars={"nats_per_token": 3.1}),
                trained_head(rank=1, rate=0.05),
                trained_head(rank=2, rate=0.01, scalars={"seed": 1}),
            ]
        )
        rows = queries.trained_heads(store, "local", ["run~1"])
        assert rows[["rank", "learning_rate", "seed"]].values.tolist() == [[1, 0.01, 0], [1, 0.05, 0], [2, 0.01, 1]]
        assert rows["nats_per_token"].tolist() == [3.1, 3.2, 3.2]
        assert np.isnan(rows["accuracy"]).all()

    def test_beside_a_trained_head_stands_what_was_cut_on_the_same_part_of_the_text(self, store: Store) -> None:
        store.add(
            [
                trained_head(rank=1, text=TEXT),
                trained_head(rank=2, text=TEXT),
                trained_head(rank=1, text=TEXT, tokens=8, rate=0.05),
                truncated_heads(own=3.0),
                truncated_heads(own=9.0, tokens=100),  # of another part
                truncated_heads(own=8.0, version=0, inputs="older"),
            ]
        )
        rows = queries.trained_heads(store, "local")
        assert rows[["rank", "tokens"]].values.tolist() == [[1, 9], [1, 8], [2, 9]]
        np.testing.assert_array_equal(rows["truncated_nats_per_token"], [3.5, np.nan, 3.0])
        np.testing.assert_array_equal(rows["own_nats_per_token"], [3.0, np.nan, 3.0])
        np.testing.assert_array_equal(rows["own_accuracy"], [0.4, np.nan, 0.4])

    def test_heads_do_not_change_what_is_drawn_along_training(self, store: Store) -> None:
        store.add([loss()])
        before = queries.trajectory(store, "local")
        store.add([trained_head(rank=rank) for rank in range(1, 9)] + [truncated_heads()])
        after = queries.trajectory(store, "local")
        assert after[before.columns].equals(before)
        assert after["text_name"].tolist() == [TEXT.name]


class TestNgrams:
    def test_there_and_back(self, store: Store) -> None:
        curve = ngram_curve()
        assert store.add_ngrams([curve]) == 1
        assert store.ngram(curve.curve_id) == curve
        assert store.ngram("none") is None
        row = queries.ngrams(store).iloc[0]
        assert row["ranks"].tolist() == [0, 1, 2, 3]
        assert row["w_error"].tolist() == [1.0, 0.7, 0.4, 0.0]

    def test_what_its_values_depend_on_makes_it_another(self, store: Store) -> None:
        curve = ngram_curve()
        others = [
            {"corpus_id": "x"},
            {"tokenizer_id": "x"},
            {"gram_order": 3},
            {"method": "stochastic"},
            {"version": 2},
        ]
        curves = [curve, *(replace(curve, **change) for change in others)]
        store.add_ngrams(curves)
        store.add_ngrams([replace(curve, corpus="renamed.txt", seconds=9.0)])
        held = queries.ngrams(store)
        assert len(held) == len(curves)
        assert held.set_index("curve_id").loc[curve.curve_id, "corpus"] == "renamed.txt"

    def test_no_number_is_refused(self) -> None:
        with pytest.raises(NotFiniteError, match=r"n-gram matrix of corpus\.txt gave no number"):
            ngram_curve(w_error_low=[1.0, float("nan"), 0.4, 0.0])


class TestPlayground:
    def test_there_and_back(self, store: Store) -> None:
        rows = [playground_row(width) for width in (1, 2, 4)]
        store.add_playground(rows)
        ids = [row.row_id for row in rows]
        assert store.playground([ids[0], ids[2], "none"]) == {ids[0]: rows[0], ids[2]: rows[2]}
        assert queries.playground(store)["gap"].tolist() == [0.5, 0.25, 0.125]

    def test_a_whole_number_and_its_float_are_one_setting(self) -> None:
        assert playground_row(zipf_exponent=1).row_id == playground_row(zipf_exponent=1.0).row_id
        assert playground_row(seed=1).row_id != playground_row(seed=2).row_id


class TestPacks:
    def test_what_has_no_model_goes_along_when_asked(self, store: Store, tmp_path: Path) -> None:
        store.add([truncated_heads()])
        store.add_ngrams([ngram_curve()])
        store.add_playground([playground_row()])
        other = empty_store(tmp_path / "other" / "store.duckdb")
        other.ensure()
        with store.read() as connection:
            rows = packs.save(connection, tmp_path / "a.pack.zip", ["local/run~1"], bottleneck=True)
            alone = packs.save(connection, tmp_path / "b.pack.zip", ["local/run~1"])
        assert (rows["ngrams"], rows["playground"], rows["measurements"]) == (1, 1, 1)
        assert (alone["ngrams"], alone["playground"], alone["measurements"]) == (0, 0, 1)
        with other.write() as connection:
            packs.load(connection, tmp_path / "a.pack.zip")
        assert other.ngram(ngram_curve().curve_id) == ngram_curve()
        assert queries.playground(other).equals(queries.playground(store))
        assert queries.truncated_heads(other, "local").equals(queries.truncated_heads(store, "local"))

    def test_nothing_to_take_along(self, store: Store, tmp_path: Path) -> None:
        store.ensure()
        with (
            store.read() as connection,
            pytest.raises(PackError, match="Nothing is stored of corpora or the playground"),
        ):
            packs.save(connection, tmp_path / "a.pack.zip", [], bottleneck=True)


def test_times_keep_their_zone(store: Store) -> None:
    store.add_playground([playground_row()])
    assert next(iter(store.playground([playground_row().row_id]).values())).measured_at == START
