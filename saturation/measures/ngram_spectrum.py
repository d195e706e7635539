"""W-error of an n-gram matrix P by rank, from the eigenvalues of G = P^T P (the squared singular values of P).

W-error(d) = sqrt(sum_{i>d} lambda_i / sum_i lambda_i), the least relative Frobenius error of a matrix of rank d
(Eckart-Young-Mirsky; arXiv 2404.07647, section 5). G falls apart into the connected components of the graph that joins
contexts to their next tokens, and so do its eigenvalues: exactly by component, or, where a component is large,
estimated by `ngram_density`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from saturation.errors import InputError
from saturation.measures.ngram import NgramMatrix
from saturation.measures.ngram_density import Effort, tails

Method = Literal["auto", "exact", "stochastic"]
METHODS: tuple[Method, ...] = ("auto", "exact", "stochastic")
Values = NDArray[np.float64]

# Up to this size `auto` is exact: on one core 3 to 6 s, where an estimate takes 1 to 3 s.
AUTO_TOKENS = 4000
# Components up to this size are solved densely beside an estimate of the larger ones: less than 1 s each.
DENSE_TOKENS = 1500
# Below this there is nothing to estimate.
LEAST_TOKENS = 32
# What an exact solution may take; 8 GB are a component of about 22,000 tokens.
MEMORY_BYTES = 8_000_000_000


@dataclass(frozen=True)
class NgramSpectrum:
    """W-error for d = 0 ... V, and the band that holds it: low = w_error = high where it is exact."""

    method: Literal["exact", "stochastic"]
    w_error: Values
    low: Values
    high: Values
    components: int
    largest: int


@dataclass(frozen=True)
class Component:
    """A part of G that nothing joins to the rest: the tokens, their own diagonal and the rows of P among them."""

    tokens: NDArray[np.int64]
    diagonal: Values
    rows: sparse.csr_matrix

    def gram(self) -> Values:
        """This part of G as a dense symmetric matrix in Fortran order."""
        dense = np.zeros((len(self.tokens), len(self.tokens)), order="F")
        product = sparse.coo_matrix(self.rows.T @ self.rows)
        dense[product.row, product.col] = product.data
        dense[np.diag_indices_from(dense)] += self.diagonal
        return dense


def ngram_spectrum(
    matrix: NgramMatrix,
    method: Method = "auto",
    *,
    memory_bytes: int = MEMORY_BYTES,
    dense_tokens: int = DENSE_TOKENS,
    effort: Effort | None = None,
) -> NgramSpectrum:
    """The W-error of an n-gram matrix for every rank from 0 to V.

    method: `exact` solves every component; `stochastic` those of more than dense_tokens tokens by an estimate with a
    band; `auto` is exact where no component has more than AUTO_TOKENS. memory_bytes: bound of an exact solution.
    Raises InputError for an empty matrix, an unknown method, or an exact solution beyond the bound.
    """
    if method not in METHODS:
        raise InputError(f"There is no method '{method}'; choose one of {', '.join(METHODS)}.")
    if matrix.contexts == 0:
        raise InputError("The corpus has no n-gram: every document is shorter than the order; give more text.")
    alone, parts = components(matrix)
    largest = max((len(part.tokens) for part in parts), default=1)
    chosen = method if method != "auto" else ("exact" if largest <= AUTO_TOKENS else "stochastic")
    limit = largest if chosen == "exact" else max(dense_tokens, LEAST_TOKENS)
    needed = dense_bytes(min(largest, limit))
    if needed > memory_bytes:
        raise InputError(
            f"The exact way needs {needed:,} bytes for a component of {largest:,} tokens and {memory_bytes:,} are "
            "allowed; choose the stochastic way."
        )
    small = [_eigenvalues(part.gram()) for part in parts if len(part.tokens) <= limit]
    large = [part for part in parts if len(part.tokens) > limit]
    known = np.concatenate([alone, *small])
    count = len(alone) + len(parts)
    if not large:
        curve = w_error_of(known, matrix.vocab_size)
        return NgramSpectrum(chosen, curve, curve, curve, count, largest)
    estimate = tails(union(large), known, effort or Effort())
    total = estimate.tail[0]
    low, middle, high = (
        _padded(np.sqrt(np.clip(values / total, 0.0, 1.0)), matrix.vocab_size)
        for values in (estimate.low, estimate.tail, estimate.high)
    )
    return NgramSpectrum("stochastic", middle, low, high, count, largest)


def dense_bytes(tokens: int) -> int:
    """Bytes that the exact solution of a component of so many tokens takes: its matrix in float64, twice."""
    return 16 * tokens * tokens


def components(matrix: NgramMatrix) -> tuple[Values, list[Component]]:
    """Eigenvalues of the tokens that no context joins to another, and the components of two and more tokens."""
    rows, vocab_size = matrix.rows.tocsr(), matrix.vocab_size
    blocks = [[None, rows], [rows.T, None]] if rows.shape[0] else [[sparse.csr_matrix((vocab_size, vocab_size))]]
    _, labels = connected_components(sparse.bmat(blocks, format="csr"), directed=False)
    of_row, of_token = labels[: rows.shape[0]], labels[rows.shape[0] :]
    seen = np.flatnonzero(matrix.gram_diagonal)
    sizes = np.bincount(of_token[seen], minlength=labels.max() + 1)
    alone = seen[sizes[of_token[seen]] == 1]
    found = []
    tokens_by = _grouped(of_token[seen], seen)
    rows_by = _grouped(of_row, np.arange(rows.shape[0]))
    for label in np.flatnonzero(sizes > 1):
        tokens = tokens_by[int(label)]
        inside = rows[rows_by[int(label)]]
        local = sparse.csr_matrix(
            (inside.data, np.searchsorted(tokens, inside.indices), inside.indptr), shape=(inside.shape[0], len(tokens))
        )
        found.append(Component(tokens, matrix.diagonal[tokens], local))
    return matrix.diagonal[alone], found


def _grouped(labels: NDArray[np.integer], members: NDArray[np.integer]) -> dict[int, NDArray[np.int64]]:
    """The members of each label, ascending."""
    by = np.argsort(labels, kind="stable")
    names, first = np.unique(labels[by], return_index=True)
    groups = np.split(members[by], first[1:])
    return {int(name): group.astype(np.int64) for name, group in zip(names, groups, strict=False)}


def union(parts: list[Component]) -> Component:
    """Several components as one block-diagonal part."""
    if len(parts) == 1:
        return parts[0]
    return Component(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.diagonal for part in parts]),
        sparse.block_diag([part.rows for part in parts], format="csr"),
    )


def _eigenvalues(gram: Values) -> Values:
    # torch brings a LAPACK of its own that is up to three times as fast as scipy's for thousands of tokens.
    return np.maximum(torch.linalg.eigvalsh(torch.from_numpy(gram)).numpy(), 0.0)


def w_error_of(eigenvalues: Values, vocab_size: int) -> Values:
    """W-error for d = 0 ... vocab_size from the eigenvalues of G; those not given are 0."""
    ascending = np.sort(eigenvalues)
    tail = np.concatenate([[0.0], np.cumsum(ascending)])[::-1]
    return _padded(np.sqrt(tail / tail[0]), vocab_size)


def _padded(curve: Values, vocab_size: int) -> Values:
    return np.concatenate([curve, np.zeros(vocab_size + 1 - len(curve))])


def rank_at(curve: Values, error: float) -> int:
    """The smallest rank whose W-error is at most `error`. curve: W-error by rank from 0 on. Raises InputError."""
    below = np.flatnonzero(np.asarray(curve) <= error)
    if len(below) == 0:
        raise InputError(f"The curve does not come down to a W-error of {error:g}; its last value is {curve[-1]:g}.")
    return int(below[0])


def rank_at_half(curve: Values) -> int:
    """The rank whose W-error is nearest to a half; the smaller of two. curve: W-error by rank from 0 on."""
    return int(np.argmin(np.abs(np.asarray(curve) - 0.5)))
