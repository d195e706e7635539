"""What the leading directions of the output head point at: all tokens alike, or frequent tokens.

The left singular vectors u_i of the head W (vocab_size, hidden_size) say which tokens a direction of the hidden space
raises together. arXiv 2404.07647 asks whether those that dominate after the collapse are aligned with token frequency,
and leaves it untested; the two numbers that answer it here are ours:

ones_alignment: |u_i . 1| / sqrt(vocab_size), in [0, 1]. At 1 the direction adds the same to every logit, which softmax
ignores. Of the head with its row mean removed it is 0: every u_i is orthogonal to 1.
frequency_correlation: Pearson correlation of u_i's entries with log(count), over the tokens that a text holds.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit

from saturation.errors import InputError
from saturation.measures import spectrum
from saturation.measures.spectrum import ROWS_PER_CHUNK, Spectrum

Array = NDArray[np.float64]

LEADING = 8
EXTREMES = 10
CHANCE = 0.99
FEWEST = 3  # pairs that a correlation says anything about: two lie on a line
# Entries that differ by less, relative to the vector, are equal but for rounding: nothing correlates with them.
CONSTANT = 1e-10


class Leading(NamedTuple):
    """Largest singular values (k,), descending, and their left singular vectors as columns (vocab_size, k)."""

    values: Spectrum
    vectors: Array


@dataclass(frozen=True)
class Alignment:
    """Of each leading vector, in the order of the singular values; k is smaller for a head of lower rank.

    ones: (k,) in [0, 1]. frequency: (k,) in [0, 1], NaN where there is no correlation (see `align`).
    r_squared: share of the variance of log(count) that the k vectors explain together, with an intercept; NaN for
    fewer than k + 2 tokens. k / (tokens_seen - 1) is expected by chance.
    top, bottom: (k, places) token ids of the largest entries, and of the smallest (most negative first), of each
    vector, whose sign is chosen for a correlation of at least 0; top_entries, bottom_entries: those entries.
    """

    ones: Array
    frequency: Array
    r_squared: float
    top: NDArray[np.int64]
    top_entries: Array
    bottom: NDArray[np.int64]
    bottom_entries: Array


class HeadAlignment(NamedTuple):
    """The head as stored, and with its row mean removed: as the softmax sees it."""

    plain: Alignment
    centred: Alignment
    tokens_seen: int


def leading_vectors(weight: torch.Tensor | NDArray[np.floating], count: int = LEADING) -> tuple[Leading, Leading]:
    """The `count` largest singular values and left singular vectors of W, and of W with its row mean removed.

    weight: tensor of shape (vocab_size, hidden_size), any float dtype. Values of zero, but for rounding, have no left
    vector and are left out. Vectors of equal singular values are not unique: any basis of their span may come back.
    Two passes over the rows serve both: W^T W with the row mean, then u_i = W v_i / s_i; only where the Gram matrix's
    rounding would show is W factored by QR instead.
    Raises InputError for a wrong shape or a zero matrix, NotFiniteError for NaN or infinite values.
    """
    matrix = spectrum.as_matrix(weight)
    vocab_size, hidden_size = matrix.shape
    moments = spectrum.moments(matrix)
    mean, scale = moments.mean, moments.scale()
    kept = min(count, vocab_size, hidden_size)
    plain = spectrum.right_vectors(matrix, moments.products, scale, kept, None)
    centred = spectrum.right_vectors(matrix, moments.centred(vocab_size), scale, kept, mean)
    projected = _project(matrix, np.hstack([plain, centred]))
    floor = max(vocab_size, hidden_size) * np.finfo(np.float64).eps * np.sqrt(scale)
    split = plain.shape[1]
    return (
        _normalised(projected[:, :split], floor),
        _normalised(projected[:, split:] - mean @ centred, floor),
    )


def _project(matrix: torch.Tensor, directions: Array) -> Array:
    """W V for directions V (hidden_size, n): (vocab_size, n)."""
    starts = range(0, len(matrix), ROWS_PER_CHUNK)
    return np.vstack([spectrum.chunk(matrix, start, ROWS_PER_CHUNK) @ directions for start in starts])


def _normalised(columns: Array, floor: float) -> Leading:
    values = np.linalg.norm(columns, axis=0)
    kept = values > floor
    return Leading(values[kept], columns[:, kept] / values[kept])


def align(vectors: Array, counts: NDArray[np.int64], places: int = EXTREMES) -> Alignment:
    """Alignment of unit vectors, the columns of (vocab_size, k), with the all-ones vector and with log(counts).

    counts: how often a text holds each token, (vocab_size,). A correlation needs at least three tokens, counts that are
    not all the same and a vector that is not constant on them; elsewhere it is NaN, and the vector's sign is that for
    which its entries, or where they cancel its largest entry, are positive.
    """
    vocab_size, k = vectors.shape
    seen = np.flatnonzero(counts)
    log_counts = np.log(counts[seen])
    correlations = np.array([_correlation(vector, log_counts) for vector in vectors[seen].T])
    signs = np.array([_sign(v, r) for v, r in zip(vectors.T, correlations, strict=True)])
    oriented = vectors * signs
    order = np.argsort(oriented, axis=0, kind="stable").T
    bottom = order[:, :places]
    top = np.argsort(-oriented, axis=0, kind="stable").T[:, :places]
    rows = np.arange(k)[:, None]
    return Alignment(
        ones=np.minimum(np.abs(vectors.sum(axis=0)) / np.sqrt(vocab_size), 1.0),
        frequency=np.abs(correlations),
        r_squared=_r_squared(vectors[seen], log_counts),
        top=top,
        top_entries=oriented.T[rows, top],
        bottom=bottom,
        bottom_entries=oriented.T[rows, bottom],
    )


def head_alignment(
    weight: torch.Tensor | NDArray[np.floating], counts: NDArray[np.int64], count: int = LEADING
) -> HeadAlignment:
    """Alignment of the head's `count` leading left singular vectors, as stored and with the row mean removed.

    weight: (vocab_size, hidden_size); counts: (vocab_size,) tokens of a text by id.
    Raises InputError where the shapes differ or no token is counted, and as `leading_vectors` does.
    """
    counts = np.asarray(counts)
    plain, centred = leading_vectors(weight, count)
    vocab_size = len(plain.vectors)
    if counts.shape != (vocab_size,) or (counts < 0).any() or not counts.any():
        raise InputError(f"Token counts must be {vocab_size} numbers of which one is above zero, one for each token.")
    return HeadAlignment(align(plain.vectors, counts), align(centred.vectors, counts), int(np.count_nonzero(counts)))


def correlation_by_chance(pairs: int) -> float:
    """The |r| below which 99 % of correlations of so many independent pairs lie; NaN for fewer than three.

    r sqrt((n - 2) / (1 - r^2)) follows Student's t with n - 2 degrees of freedom where one side is normal, and closely
    for large n otherwise: about 2.58 / sqrt(n).
    """
    if pairs < FEWEST:
        return float("nan")
    bound = float(stdtrit(pairs - 2, (1 + CHANCE) / 2))
    return bound / float(np.sqrt(pairs - 2 + bound**2))


def _correlation(entries: Array, log_counts: Array) -> float:
    if len(entries) < FEWEST:
        return float("nan")
    x, y = entries - entries.mean(), log_counts - log_counts.mean()
    norms = np.linalg.norm(x), np.linalg.norm(y)
    if norms[0] <= CONSTANT * np.linalg.norm(entries) or norms[1] <= CONSTANT * np.linalg.norm(log_counts):
        return float("nan")
    return float(np.clip(x @ y / (norms[0] * norms[1]), -1, 1))


def _sign(vector: Array, correlation: float) -> float:
    if not np.isnan(correlation) and correlation != 0:
        return float(np.sign(correlation))
    total = vector.sum()
    if abs(total) > CONSTANT * np.abs(vector).sum():
        return float(np.sign(total))
    return float(np.sign(vector[np.argmax(np.abs(vector))]))


def _r_squared(entries: Array, log_counts: Array) -> float:
    seen, k = entries.shape
    deviations = log_counts - log_counts.mean()
    total = float(deviations @ deviations)
    if seen < k + 2 or total <= (CONSTANT * np.linalg.norm(log_counts)) ** 2:
        return float("nan")
    fitted = entries - entries.mean(axis=0)
    fitted[:, np.linalg.norm(fitted, axis=0) <= CONSTANT * np.linalg.norm(entries, axis=0)] = 0
    left = deviations - fitted @ np.linalg.lstsq(fitted, deviations)[0]
    return float(np.clip(1 - left @ left / total, 0, 1))
