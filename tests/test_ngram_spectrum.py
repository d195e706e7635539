"""W-error of n-gram matrices against a dense float64 SVD of P, limits known in closed form, and an honest band."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from saturation.errors import InputError
from saturation.measures.ngram import NgramMatrix, ngram_matrix
from saturation.measures.ngram_density import Effort, _with_zero
from saturation.measures.ngram_spectrum import (
    components,
    dense_bytes,
    ngram_spectrum,
    rank_at,
    rank_at_half,
    w_error_of,
)


def text(seed: int, tokens: int, vocab_size: int, exponent: float = 1.2) -> NDArray[np.int64]:
    """Tokens of a Zipf law in which each leans on the one before."""
    random = np.random.default_rng(seed)
    shares = 1 / np.arange(1, vocab_size + 1) ** exponent
    drawn = random.choice(vocab_size, size=tokens, p=shares / shares.sum())
    leaning = random.random(tokens) < 0.5
    drawn[1:] = np.where(leaning[1:], (drawn[:-1] * 7 + 3) % vocab_size, drawn[1:])
    return drawn


def by_svd(ids: NDArray[np.int64], order: int, vocab_size: int) -> NDArray[np.float64]:
    """W-error for d = 0 ... V from the singular values of a dense P made with dictionaries."""
    rows: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for place in range(len(ids) - order + 1):
        context = tuple(ids[place : place + order - 1].tolist())
        rows.setdefault(context, np.zeros(vocab_size))[ids[place + order - 1]] += 1
    dense = np.array([row / row.sum() for row in rows.values()])
    squares = np.square(np.linalg.svd(dense, compute_uv=False))
    padded = np.concatenate([squares, np.zeros(max(vocab_size - len(squares), 0))])[:vocab_size]
    tail = np.concatenate([np.cumsum(padded[::-1])[::-1], [0.0]])
    return np.sqrt(tail / tail[0])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_exact_agrees_with_a_dense_svd(order: int) -> None:
    ids = text(3, 1500, 80)
    found = ngram_spectrum(ngram_matrix([ids], order, 80), "exact")
    np.testing.assert_allclose(found.w_error, by_svd(ids, order, 80), atol=2e-7)
    assert found.method == "exact"
    np.testing.assert_array_equal(found.low, found.w_error)
    np.testing.assert_array_equal(found.high, found.w_error)


def test_numbering_of_tokens_and_order_of_documents_do_not_matter() -> None:
    ids, random = text(4, 900, 60), np.random.default_rng(0)
    renamed = random.permutation(60)[ids]
    one = ngram_spectrum(ngram_matrix([ids[:500], ids[500:]], 2, 60)).w_error
    other = ngram_spectrum(ngram_matrix([renamed[500:], renamed[:500]], 2, 60)).w_error
    np.testing.assert_allclose(one, other, atol=1e-7)


def test_a_cycle_is_the_identity() -> None:
    # Each of 8 tokens follows one context only, so all eight eigenvalues are 1.
    spectrum = ngram_spectrum(ngram_matrix([np.arange(17) % 8], 2, 10))
    np.testing.assert_allclose(spectrum.w_error[:9], np.sqrt(1 - np.arange(9) / 8), rtol=1e-15)
    assert spectrum.w_error[9:].tolist() == [0.0, 0.0]
    assert (spectrum.components, spectrum.largest) == (8, 1)
    assert rank_at(spectrum.w_error, 0.5) == 6  # sqrt(2 / 8) = 0.5


def test_one_context_has_rank_one() -> None:
    curve = ngram_spectrum(ngram_matrix([np.array([0, 1, 2, 2])], 1, 4)).w_error
    np.testing.assert_allclose(curve, [1, 0, 0, 0, 0], atol=1e-7)


def test_components_are_those_of_the_graph() -> None:
    # {0, 1} and {2, 3, 4} share contexts, 5 stands alone, 6 is never seen.
    rows = sparse.csr_matrix(
        np.array([[0.5, 0.5, 0, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0, 0], [0, 0, 0, 0.2, 0.8, 0, 0]])
    )
    matrix = NgramMatrix(10, np.array([0.0, 1, 2, 0, 0, 4, 0]), rows)
    alone, parts = components(matrix)
    assert alone.tolist() == [4.0]
    assert [part.tokens.tolist() for part in parts] == [[0, 1], [2, 3, 4]]
    np.testing.assert_allclose(parts[0].gram(), [[0.25, 0.25], [0.25, 1.25]])
    eigenvalues = np.linalg.eigvalsh(np.diag(matrix.diagonal) + (rows.T @ rows).toarray())
    np.testing.assert_allclose(ngram_spectrum(matrix).w_error, w_error_of(np.maximum(eigenvalues, 0), 7), atol=1e-7)


CASES = {
    "order 2": (2, 12_000, 600, 1.2),
    "order 3": (3, 8_000, 600, 1.0),
    "flat": (2, 3_000, 500, 0.0),
    "steep": (4, 20_000, 400, 1.6),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_band_of_an_estimate_holds_the_exact_curve(case: str, seed: int) -> None:
    order, tokens, vocab_size, exponent = CASES[case]
    matrix = ngram_matrix([text(seed, tokens, vocab_size, exponent)], order, vocab_size)
    exact = ngram_spectrum(matrix, "exact").w_error
    found = ngram_spectrum(matrix, "stochastic", dense_tokens=50, effort=Effort(leading=24, seed=seed))
    assert found.method == "stochastic"
    assert found.largest > 200  # so that there was something to estimate
    assert (found.low <= exact + 3e-7).all()
    assert (found.high >= exact - 3e-7).all()
    assert (found.low <= found.w_error).all()
    assert (found.w_error <= found.high).all()
    assert np.abs(found.w_error - exact).max() < 0.01
    assert (np.diff(found.w_error) <= 1e-12).all()
    np.testing.assert_allclose(found.w_error[:24], exact[:24], atol=1e-8)


def test_few_probes_and_steps_widen_the_band() -> None:
    matrix = ngram_matrix([text(0, 12_000, 600)], 2, 600)
    fine, coarse = (
        ngram_spectrum(matrix, "stochastic", dense_tokens=50, effort=effort)
        for effort in (Effort(), Effort(probes=4, steps=12, leading=8))
    )
    exact = ngram_spectrum(matrix, "exact").w_error
    assert (coarse.high - coarse.low).max() > 3 * (fine.high - fine.low).max()
    assert ((coarse.low <= exact + 3e-7) & (coarse.high >= exact - 3e-7)).all()


def test_a_seed_gives_one_estimate() -> None:
    matrix = ngram_matrix([text(0, 6_000, 400)], 2, 400)
    one, again, other = (
        ngram_spectrum(matrix, "stochastic", dense_tokens=50, effort=Effort(seed=seed)).w_error for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_equal_components_keep_their_copies() -> None:
    # The same text in two alphabets: every eigenvalue twice, which Lanczos from one vector could miss.
    ids = text(2, 6_000, 300)
    twice = ngram_matrix([ids, ids + 300], 2, 600)
    exact = ngram_spectrum(twice, "exact").w_error
    found = ngram_spectrum(twice, "stochastic", dense_tokens=50, effort=Effort(leading=33))
    np.testing.assert_allclose(exact[::2], ngram_spectrum(ngram_matrix([ids], 2, 300), "exact").w_error, atol=1e-7)
    assert ((found.low <= exact + 3e-7) & (found.high >= exact - 3e-7)).all()


def test_small_components_are_solved_in_the_stochastic_way_too() -> None:
    matrix = ngram_matrix([text(3, 900, 60)], 2, 60)
    found = ngram_spectrum(matrix, "stochastic")
    np.testing.assert_array_equal(found.w_error, ngram_spectrum(matrix, "exact").w_error)
    np.testing.assert_array_equal(found.low, found.high)


def test_the_exact_way_says_when_it_needs_too_much_memory() -> None:
    matrix = ngram_matrix([text(0, 6_000, 400)], 2, 400)
    largest = ngram_spectrum(matrix).largest
    with pytest.raises(InputError, match=rf"needs {dense_bytes(largest):,} bytes .* choose the stochastic way\."):
        ngram_spectrum(matrix, "exact", memory_bytes=1000)


def test_bad_input_is_refused() -> None:
    matrix = ngram_matrix([np.array([0, 1, 2])], 2, 4)
    with pytest.raises(InputError, match="no method 'fast'; choose one of auto, exact, stochastic"):
        ngram_spectrum(matrix, "fast")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no n-gram"):
        ngram_spectrum(ngram_matrix([np.array([0, 1, 2])], 5, 4))
    with pytest.raises(InputError, match=r"does not come down to a W-error of 0\.1; its last value is 0\.5"):
        rank_at(np.array([1.0, 0.5]), 0.1)
    assert rank_at(np.array([1.0, 0.5, 0.25, 0.0]), 0.5) == 1
    assert rank_at(np.array([1.0, 0.5, 0.25, 0.0]), 0.3) == 2
    assert rank_at_half(np.array([1.0, 0.51, 0.48, 0.0])) == 1
    assert rank_at_half(np.array([1.0, 0.75, 0.25, 0.0])) == 1


@pytest.mark.parametrize(("spoilt", "length"), [(-1e-11, 3), (-0.5, 2)])
def test_a_radau_node_where_rounding_left_negative_eigenvalues(spoilt: float, length: int) -> None:
    """A little below 0 the node goes below it too; far below, the step that spoilt it is left out."""
    alpha, beta = np.array([1.0, spoilt, 0.7]), np.array([0.0 if length == 3 else 0.2, 0.5])
    taken, entry = _with_zero(alpha, beta)
    assert taken == length
    diagonal = [*alpha[: taken - 1], entry]
    whole = np.diag(diagonal) + np.diag(beta[: taken - 1], 1) + np.diag(beta[: taken - 1], -1)
    assert np.abs(np.linalg.eigvalsh(whole)).min() < 1e-8
