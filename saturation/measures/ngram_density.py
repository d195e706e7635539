"""Sums of the smallest eigenvalues of a large sparse G = D + R^T R, estimated with a band: stochastic Lanczos
quadrature.

The sum of all but the d largest eigenvalues is T(d) = max over x of (tr min(G, x) - d x), for the maximum is reached
at any x between the d-th eigenvalue and the next. So T needs traces of functions only. Each is the sum over the
leading eigenvalues, which are solved and projected out, and an average over random sign vectors z of z^T min(G, x) z
by Gauss quadrature from Lanczos steps (Golub & Meurant 2010; Ubaru, Chen & Saad 2017). What the known count, trace and
Frobenius norm of G explain of min(., x) is taken from these (control variates), and only the rest from the probes. An
error of the traces moves T by no more than itself, which gives the band.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import LinAlgError, eigh_tridiagonal, pinv, solveh_banded
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.special import stdtrit
from threadpoolctl import threadpool_limits

Values = NDArray[np.float64]

GRID = 2000
BLOCK_COLUMNS = 512
BLOCK_RANKS = 512
# How far below 0 the fixed node of a Gauss-Radau rule lies, relative to the largest diagonal entry.
SHIFTS = (1e-12, 1e-10, 1e-8)
# Lanczos vectors held at once.
BASES_BYTES = 1_000_000_000


class Part(Protocol):
    """A part of G: its own diagonal D (n,) and rows R of P, so that it is D + R^T R."""

    @property
    def diagonal(self) -> Values: ...

    @property
    def rows(self) -> sparse.csr_matrix: ...


@dataclass(frozen=True)
class Effort:
    """What an estimate may take.

    probes: random vectors. steps: of Lanczos for each. leading: eigenpairs that are solved. confidence: of the band.
    """

    probes: int = 12
    steps: int = 128
    leading: int = 96
    confidence: float = 0.999
    seed: int = 0


class Tails(NamedTuple):
    """Sum of all but the d largest eigenvalues for d = 0 ... n, and the bounds that hold it."""

    low: Values
    tail: Values
    high: Values


class Quadrature(NamedTuple):
    """Nodes and weights (probes, steps): z^T f(G) z = sum over a row of weights * f(nodes)."""

    nodes: Values
    weights: Values


# Thousands of short products, bound by memory: more threads bring nothing, and on a busy machine wait for each other
# (2.7 s became 15 s for a component of 7,441 tokens).
@threadpool_limits.wrap(limits=1)
def tails(part: Part, known: Values, effort: Effort) -> Tails:
    """T(d) of the eigenvalues of a part together with known ones, for d = 0 ... n of them all.

    known: (m,) eigenvalues that are not of this part. Deterministic for a seed on one machine.
    """
    random = np.random.default_rng(effort.seed)
    operator = _Operator(part)
    leading, vectors = leading_pairs(operator, min(effort.leading, operator.size // 4), random)
    solved = np.concatenate([known, leading])
    probes = random.choice([-1.0, 1.0], size=(effort.probes, operator.size))
    probes -= (probes @ vectors) @ vectors.T
    at_once = max(1, BASES_BYTES // (8 * effort.steps * operator.size))
    runs = [
        lanczos(operator, probes[start : start + at_once], vectors, effort.steps)
        for start in range(0, len(probes), at_once)
    ]
    alphas, betas, lengths = (np.concatenate(parts) for parts in zip(*runs, strict=True))
    gauss = quadrature(alphas, betas, lengths)
    moments = np.array(
        [
            operator.size - len(leading),
            operator.trace - leading.sum(),
            operator.squared_norm - np.square(leading).sum(),
        ]
    )
    top = max(float(solved.max()), float(gauss.nodes.max()))
    grid = _grid(top, leading, gauss.nodes[0], known)
    traces, spread, apart = _both_rules(gauss, quadrature(alphas, betas, lengths, at_zero=True), moments, grid)
    half = max(alphas.shape[1] // 2, 1)
    fewer = (alphas[:, :half], betas[:, :half], np.minimum(lengths, half))
    before, _, _ = _both_rules(quadrature(*fewer), quadrature(*fewer, at_zero=True), moments, grid)
    resolution = _widest_near(np.maximum(apart, np.abs(traces - before)))
    error = stdtrit(effort.probes - 1, (1 + effort.confidence) / 2) * spread + resolution
    traces += capped_sums(solved, grid)
    count = len(known) + operator.size
    total = known.sum() + operator.trace
    low, tail, high = (highest(values, grid, count) for values in (traces - error, traces, traces + error))
    bounds = _bounds(part, operator.gram_diagonal, known)
    low, high = np.maximum(low, bounds.low), np.minimum(high, bounds.high)
    tail = np.clip(tail, low, high)
    # Down to the smallest of the leading eigenvalues all are known, and the sum of the others with them; but for a copy
    # of an eigenvalue that was missed, which the probes then meet.
    reach = max(float(leading.min()), (1 + 1e-9) * float(gauss.nodes.max()))
    above = np.sort(solved[solved >= reach])[::-1]
    exact = total - np.concatenate([[0.0], np.cumsum(above)])
    for values in (low, tail, high):
        values[: len(exact)] = exact
    return Tails(low, tail, high)


class _Operator:
    """Products with G, and what is known of it exactly."""

    def __init__(self, part: Part) -> None:
        self.rows, self.columns, self.diagonal = part.rows, part.rows.T.tocsr(), part.diagonal
        self.size = len(part.diagonal)
        self.gram_diagonal = part.diagonal + np.asarray(part.rows.multiply(part.rows).sum(axis=0)).ravel()
        self.trace = float(self.gram_diagonal.sum())
        self.squared_norm = self._squared_norm()

    def __call__(self, vectors: Values) -> Values:
        """G times one vector (n,) or several (n, k)."""
        scaled = self.diagonal * vectors if vectors.ndim == 1 else self.diagonal[:, None] * vectors
        return scaled + self.columns @ (self.rows @ vectors)

    def _squared_norm(self) -> float:
        """||G||_F^2, by blocks of columns so that G is never held."""
        total = float(np.square(self.gram_diagonal).sum())
        by_column = self.rows.tocsc()
        for start in range(0, self.size, BLOCK_COLUMNS):
            block = self.columns @ by_column[:, start : start + BLOCK_COLUMNS]
            own = self.gram_diagonal - self.diagonal
            total += float(np.square(block.data).sum())
            total -= float(np.square(own[start : start + BLOCK_COLUMNS]).sum())
        return total


def leading_pairs(operator: _Operator, count: int, random: np.random.Generator) -> tuple[Values, Values]:
    """The `count` largest eigenvalues, and their eigenvectors (n, count)."""
    linear = LinearOperator((operator.size, operator.size), matvec=operator, matmat=operator, dtype=np.float64)
    start = random.standard_normal(operator.size)
    return eigsh(linear, k=count, v0=start, ncv=min(operator.size, int(2.2 * count) + 20), tol=1e-10)


def lanczos(
    operator: _Operator, starts: Values, deflated: Values, steps: int
) -> tuple[Values, Values, NDArray[np.int64]]:
    """Lanczos from several start vectors (probes, n) at once, each reorthogonalised fully, also against `deflated` (n,
    k).

    Returns the diagonals (probes, steps), what lies below them (probes, steps; the first column holds the norms of the
    start vectors) and how many steps each took before its space was exhausted.
    """
    probes, size = starts.shape
    steps = min(steps, size - deflated.shape[1])
    alphas, betas = np.zeros((probes, steps)), np.zeros((probes, steps))
    lengths = np.full(probes, steps)
    bases = np.empty((probes, steps, size))
    vectors = starts.copy()
    for step in range(steps):
        norms = np.linalg.norm(vectors, axis=1)
        betas[:, step] = norms
        if step:
            lengths[(norms <= 1e-10 * alphas[:, 0]) & (lengths == steps)] = step
        bases[:, step] = vectors / np.maximum(norms, 1e-300)[:, None]
        products = operator(np.ascontiguousarray(bases[:, step].T)).T
        alphas[:, step] = np.einsum("ij,ij->i", products, bases[:, step])
        for probe in range(probes):
            basis, vector = bases[probe, : step + 1], products[probe]
            # Twice is enough (Parlett 1998), and once is not where the largest eigenvalues are far above the others.
            vector = vector - (basis @ vector) @ basis
            vectors[probe] = vector - (basis @ vector) @ basis
        vectors -= (vectors @ deflated) @ deflated.T
    return alphas, betas, lengths


def quadrature(alphas: Values, betas: Values, lengths: NDArray[np.int64], at_zero: bool = False) -> Quadrature:
    """Gauss quadrature from the steps of Lanczos; at_zero: Gauss-Radau, whose first node is 0.

    The nodes of the two lie between each other, and one overrates small eigenvalues where the other underrates them. A
    probe that ended early has nodes of weight 0.
    """
    nodes, weights = np.zeros_like(alphas), np.zeros_like(alphas)
    for probe, (alpha, beta, length) in enumerate(zip(alphas.copy(), betas, lengths, strict=True)):
        if at_zero and length > 1:
            length, entry = _with_zero(alpha[:length], beta[1:length])
            alpha[length - 1] = entry
        values, vectors = eigh_tridiagonal(alpha[:length], beta[1:length])
        nodes[probe, :length] = np.maximum(values, 0.0)
        weights[probe, :length] = np.square(beta[0] * vectors[0])
    return Quadrature(nodes, weights)


def _with_zero(alpha: Values, beta: Values) -> tuple[int, float]:
    """How many steps of Lanczos a Gauss-Radau rule takes, and the last diagonal entry that makes 0 a node (Golub 1973).

    alpha: (m,) the diagonal; beta: (m - 1,) beside it. The node is put just below 0, so that a zero eigenvalue of G
    that was found already does no harm, and as far below as rounding went. Where the last steps are nothing but
    rounding, which shows in eigenvalues well below 0, fewer are taken, but at least two.
    """
    scale, length = float(alpha.max()), len(alpha)
    while length > 2:
        last = np.zeros(length - 1)
        last[-1] = beta[length - 2] ** 2
        beside = np.append(0.0, beta[: length - 2])
        for zero in (-share * scale for share in SHIFTS):
            try:
                return length, zero + float(solveh_banded(np.stack([beside, alpha[: length - 1] - zero]), last)[-1])
            except LinAlgError:
                continue
        length = max(length * 3 // 4, 2)
    return 2, float(beta[0] ** 2 / max(alpha[0], np.finfo(np.float64).tiny))


def traced(rule: Quadrature, moments: Values, grid: Values) -> tuple[Values, Values]:
    """tr min(G, x) for the x of a grid, and its standard error over the probes.

    moments: count, sum and sum of squares of the eigenvalues, exact.
    """
    top = rule.nodes.max()
    nodes, weights = rule.nodes / top, rule.weights
    powers = np.stack([np.ones_like(nodes), nodes, np.square(nodes)])
    capped = np.minimum(rule.nodes[None], grid[:, None, None])
    flat = capped.reshape(len(grid), -1)
    weighted = powers.reshape(3, -1) * weights.ravel()
    explained = pinv(weighted @ powers.reshape(3, -1).T) @ (weighted @ flat.T)
    found = (capped.transpose(1, 0, 2) @ weights[:, :, None])[:, :, 0].T
    wrong = np.einsum("kps,ps->kp", powers, weights) - (moments / top ** np.arange(3))[:, None]
    corrected = found - explained.T @ wrong
    return corrected.mean(axis=1), corrected.std(axis=1, ddof=1) / np.sqrt(len(weights))


def _grid(top: float, *values: Values) -> Values:
    """Where the maximum over x is looked for: evenly in the logarithm, and at eigenvalues that many share."""
    exact = []
    for some in values:
        held, times = np.unique(some, return_counts=True)
        exact.append(held[np.argsort(-times, kind="stable")[:GRID]])
    grid = np.unique(np.concatenate([np.geomspace(top * 1e-9, top, GRID), *exact]))
    return grid[grid > 0]


def _both_rules(gauss: Quadrature, radau: Quadrature, moments: Values, grid: Values) -> tuple[Values, Values, Values]:
    """The mean of what two rules make of tr min(G, x), its standard error, and how far the two are apart."""
    (one, spread), (other, more) = traced(gauss, moments, grid), traced(radau, moments, grid)
    return (one + other) / 2, np.maximum(spread, more), np.abs(one - other)


def capped_sums(values: Values, grid: Values) -> Values:
    """sum_i min(value_i, x) for every x of a grid."""
    ascending = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(ascending)])
    below = np.searchsorted(ascending, grid)
    return sums[below] + grid * (len(values) - below)


def highest(traces: Values, grid: Values, count: int) -> Values:
    """max over x of (tr min(G, x) - d x), at least 0, for d = 0 ... count."""
    found = np.empty(count + 1)
    for start in range(0, count + 1, BLOCK_RANKS):
        ranks = np.arange(start, min(start + BLOCK_RANKS, count + 1))
        found[ranks] = (traces - ranks[:, None] * grid).max(axis=1)
    return np.maximum(found, 0.0)


def _bounds(part: Part, gram_diagonal: Values, known: Values) -> Tails:
    """What holds for certain: eigenvalues majorise the diagonal (Schur),
    and those of D + R^T R are at least D's (Weyl).
    """
    low, high = (
        np.concatenate([[0.0], np.cumsum(np.sort(np.concatenate([known, values])))])[::-1]
        for values in (part.diagonal, gram_diagonal)
    )
    return Tails(low, low, high)


def _widest_near(values: Values, reach: int = 40) -> Values:
    """The largest value among the neighbours on the grid: two rules agree by chance here and there."""
    padded = np.pad(values, reach, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
