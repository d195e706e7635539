"""The n-gram matrix against counts made by hand and by dictionaries; buckets and pieces change nothing."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from numpy.typing import NDArray

from saturation.errors import InputError
from saturation.measures import ngram
from saturation.measures.ngram import NgramMatrix, ngram_matrix


def gram_of(matrix: NgramMatrix) -> NDArray[np.float64]:
    """G = P^T P as a dense matrix."""
    return np.diag(matrix.diagonal) + (matrix.rows.T @ matrix.rows).toarray()


def gram_by_dictionary(documents: list[list[int]], order: int, vocab_size: int) -> tuple[int, NDArray[np.float64]]:
    """Contexts, and G, the plain way: one dense row for every context."""
    following: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for document in documents:
        for place in range(len(document) - order + 1):
            *context, after = document[place : place + order]
            following[tuple(context)][after] += 1
    rows = np.zeros((len(following), vocab_size))
    for row, counts in zip(rows, following.values(), strict=True):
        for token, times in counts.items():
            row[token] = times / sum(counts.values())
    return len(following), rows.T @ rows


def documents(seed: int, count: int = 6, vocab_size: int = 7) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [random.integers(0, vocab_size, random.integers(0, 60)).tolist() for _ in range(count)]


def test_bigrams_counted_by_hand() -> None:
    # 0 is followed by 1, 1, 2; 1 by 0, 0; 2 by nothing.
    matrix = ngram_matrix([np.array([0, 1, 0, 1, 0, 2])], order=2, vocab_size=4)
    assert matrix.contexts == 2
    assert matrix.diagonal.tolist() == [1.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(matrix.rows.toarray(), [[0, 2 / 3, 1 / 3, 0]], rtol=1e-15)
    assert matrix.tokens_seen == 3
    assert matrix.frobenius_norm == pytest.approx(np.sqrt(1 + 4 / 9 + 1 / 9), rel=1e-15)


def test_order_one_has_one_empty_context() -> None:
    matrix = ngram_matrix([np.array([3, 3, 1]), np.array([0])], order=1, vocab_size=4)
    assert (matrix.contexts, matrix.tokens_seen) == (1, 3)
    np.testing.assert_allclose(matrix.rows.toarray(), [[0.25, 0.25, 0, 0.5]])


def test_a_row_counts_once_however_often_its_context_was_seen() -> None:
    once = ngram_matrix([np.array([0, 1, 2, 0])], order=2, vocab_size=3)
    often = ngram_matrix([np.array([0, 1, 2, 0] + [1, 2, 0] * 9)], order=2, vocab_size=3)
    np.testing.assert_array_equal(gram_of(once), gram_of(often))
    assert once.contexts == often.contexts == 3


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_order_agrees_with_dictionaries(order: int, seed: int) -> None:
    texts = documents(seed)
    contexts, gram = gram_by_dictionary(texts, order, 7)
    matrix = ngram_matrix([np.array(text, dtype=np.int64) for text in texts], order, 7)
    assert matrix.contexts == contexts
    np.testing.assert_allclose(gram_of(matrix), gram, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(matrix.gram_diagonal, np.diag(gram), rtol=1e-13)
    assert matrix.frobenius_norm == pytest.approx(np.sqrt(np.trace(gram)), rel=1e-13)
    assert (np.diff(matrix.rows.indptr) > 1).all()


def test_no_ngram_crosses_a_document() -> None:
    apart = ngram_matrix([np.array([0, 1, 2]), np.array([3, 4, 5])], order=3, vocab_size=6)
    assert apart.contexts == 2
    assert np.flatnonzero(apart.diagonal).tolist() == [2, 5]
    assert ngram_matrix([np.array([0, 1, 2, 3, 4, 5])], order=3, vocab_size=6).contexts == 4
    assert ngram_matrix([np.array([0, 1]), np.array([2])], order=3, vocab_size=6).contexts == 0


@pytest.mark.parametrize("vocab_size", [2**16, 2**17, 2**31])
def test_ids_that_fill_several_words_are_told_apart(vocab_size: int) -> None:
    # These differ in one bit of one place only; anything that rounds or overflows would join them.
    top = vocab_size - 1
    grams = np.array([[top, 0, 0, 0, 1], [top, 0, 0, 1, 1], [top - 1, 0, 0, 0, 1], [top, 0, 0, 0, 1]], dtype=np.uint32)
    counts = ngram.count_grams(grams)
    assert counts.grams.tolist() == [[top - 1, 0, 0, 0, 1], [top, 0, 0, 0, 1], [top, 0, 0, 1, 1]]
    assert counts.times.tolist() == [1, 2, 1]


def test_counts_of_pieces_add_up() -> None:
    grams = np.random.default_rng(5).integers(0, 3, (500, 3))
    whole = ngram.count_grams(grams)
    pieces = [ngram.count_grams(grams[start : start + 100]) for start in range(0, 500, 100)]
    joined = ngram.count_grams(
        np.concatenate([piece.grams for piece in pieces]), np.concatenate([piece.times for piece in pieces])
    )
    np.testing.assert_array_equal(joined.grams, whole.grams)
    np.testing.assert_array_equal(joined.times, whole.times)
    assert whole.times.sum() == 500


@pytest.mark.parametrize("buckets", [1, 2, 37, 65536])
def test_a_context_lies_in_one_bucket(buckets: int) -> None:
    ids = np.random.default_rng(1).integers(0, 5, 2000).astype(np.uint16)
    starts = ngram.gram_starts(len(ids), 4, np.array([900, 2000]))
    chosen = ngram.context_buckets(ids, 4, starts, buckets)
    assert chosen.max() < buckets
    contexts = [tuple(row) for row in ngram.windows(ids, 3, starts).tolist()]
    assert len(set(zip(contexts, chosen.tolist(), strict=True))) == len(set(contexts))
    matrices = [
        ngram.matrix_of_counts(ngram.count_grams(ngram.windows(ids, 4, starts[chosen == bucket])), 5)
        for bucket in set(chosen.tolist())
    ]
    whole = ngram_matrix([ids[:900], ids[900:]], 4, 5)
    together = ngram.joined(matrices, 5)
    assert together.contexts == whole.contexts
    np.testing.assert_allclose(gram_of(together), gram_of(whole), rtol=1e-12)


def test_contexts_spread_evenly_over_buckets() -> None:
    ids = np.arange(64_000, dtype=np.uint16)
    sizes = np.bincount(ngram.context_buckets(ids, 2, np.arange(63_999), 16), minlength=16)
    # 4,000 each, give or take the square root of it times five
    assert np.abs(sizes - 4000).max() < 5 * np.sqrt(4000)


def test_places_are_found_piece_by_piece() -> None:
    ends = np.array([3, 3, 4, 9])
    whole = ngram.gram_starts(9, 2, ends)
    assert whole.tolist() == [0, 1, 4, 5, 6, 7]
    pieces = [ngram.gram_starts(3, 2, ends, first) for first in (0, 3, 6)]
    assert np.concatenate(pieces).tolist() == whole.tolist()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="order of the n-grams is 0"):
        ngram_matrix([np.array([1])], 0, 4)
    with pytest.raises(InputError, match="token id 9 is not below the vocabulary size 4"):
        ngram_matrix([np.array([1, 9])], 2, 4)
    with pytest.raises(InputError, match="integers of at least 0"):
        ngram_matrix([np.array([1, -2])], 2, 4)
    with pytest.raises(InputError, match="integers of at least 0"):
        ngram_matrix([np.array([1.0, 2.0])], 2, 4)
    with pytest.raises(InputError, match=r"got the shape \(3,\)"):
        ngram.count_grams(np.array([1, 2, 3]))
