"""A language whose logits have a known rank, for a playground of the softmax bottleneck.

Logits L = C T^T of `contexts` rows and `vocab_size` columns, with factors C (contexts, rank) and T (vocab_size, rank)
of orthogonal columns. A head narrower than `rank` cannot give these probabilities, a head of `rank` can (Yang et al.
2018, arXiv 1711.03953). The contexts count equally and are whitened, C^T C = contexts * I, so that T is an ideal head
W* whose singular values theorem 5.3 of arXiv 2404.07647 speaks of. All in float64, nothing sampled; losses and
entropies in nats per token.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saturation.errors import InputError

Values = NDArray[np.float64]

CLOSED = 0.01  # nats: a gap below this counts as closed
RANKS = (2, 32)  # no language of rank 48 within the other bounds has a `narrow_gap` that is wide enough
SIZES = {"vocab_size": (64, 4096), "contexts": (64, 2048)}
LARGEST_TABLE = 2**21  # contexts * vocab_size: about a minute a width on one core
PER_RANK = 4  # tokens and contexts that each unit of rank asks for at least
LARGEST_ZIPF = 1.5
# Above 3 a context has so few likely tokens that narrow heads get by, and those of rank 2 are caught in local minima.
SCALES = (0.1, 3.0)
# Of 280 languages tried (rank 2 to 48, Zipf 0 to 1.5, scale 0.5 to 4), `narrow_gap` was above this in 129; in none of
# them did a head of width rank - 1 come within 0.016 nats of the entropy (in 101 of the others within 0.01).
LEAST_NARROW_GAP = 0.026


def log_softmax(logits: ArrayLike) -> Values:
    """Logarithms of the probabilities that logits give, row by row; both of shape (contexts, vocab_size)."""
    values = np.asarray(logits, dtype=np.float64)
    shifted = values - values.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def conditional_entropy(log_probabilities: Values) -> float:
    """Entropy of the next token given its context in nats, all contexts counting equally; the least possible loss."""
    return float(-(np.exp(log_probabilities) * log_probabilities).sum(axis=1).mean())


def loss_gap(log_probabilities: Values, logits: ArrayLike) -> float:
    """Expected cross-entropy of `logits` less the exact entropy, in nats per token: the mean KL(true || model) >= 0.

    Both of shape (contexts, vocab_size), computed in float64.
    """
    return max(0.0, float((np.exp(log_probabilities) * (log_probabilities - log_softmax(logits))).sum(axis=1).mean()))


@dataclass(frozen=True)
class RankedLanguage:
    """A language of exactly the rank asked for, also as the softmax sees it (the mean of each row of logits removed).

    One direction holds the logarithm of Zipf's law with `zipf_exponent`, the same in every context (with exponent 0
    there is none); the others are random, of equal strength, and their sum has a standard deviation of `logit_scale`.
    Raises InputError outside of the ranges above, and where the weakest direction carries so little that a head
    of width rank - 1 would come near the entropy too.
    """

    rank: int = 16
    vocab_size: int = 512
    contexts: int = 512
    zipf_exponent: float = 1.0
    logit_scale: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        _within("rank", self.rank, *RANKS)
        for name, (low, high) in SIZES.items():
            _within(name, getattr(self, name), max(low, PER_RANK * self.rank), high)
        if self.contexts * self.vocab_size > LARGEST_TABLE:
            raise InputError(
                f"{self.contexts:,} contexts by {self.vocab_size:,} tokens take too long to train; "
                f"together they may have {LARGEST_TABLE:,} probabilities: lower one of the two."
            )
        _within("zipf_exponent", self.zipf_exponent, 0.0, LARGEST_ZIPF)
        _within("logit_scale", self.logit_scale, *SCALES)
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, but it must be 0 or a positive whole number.")
        if self.narrow_gap < LEAST_NARROW_GAP:
            raise InputError(
                f"A head of width {self.rank - 1} would come too near the entropy of this language (an estimated "
                f"{self.narrow_gap:.3f} nats, at least {LEAST_NARROW_GAP} are needed) to tell its rank: {self._remedy}."
            )

    @property
    def random_directions(self) -> int:
        """How many directions are random: all but that of the frequency, where there is one."""
        return self.rank - (self.zipf_exponent > 0)

    @cached_property
    def context_factors(self) -> Values:
        """C of shape (contexts, rank) with C^T C = contexts * I; its first column is 1 where Zipf's law counts."""
        drawn = np.random.default_rng([self.seed, 1]).standard_normal((self.contexts, self.random_directions))
        ones = np.ones((self.contexts, self.rank - self.random_directions))
        factors = np.linalg.qr(np.hstack([ones, drawn]))[0] * math.sqrt(self.contexts)
        factors[:, : ones.shape[1]] = 1.0
        return factors

    @cached_property
    def token_factors(self) -> Values:
        """T of shape (vocab_size, rank), the ideal head: orthogonal columns, each of mean 0 over the vocabulary."""
        drawn = np.random.default_rng([self.seed, 2]).standard_normal((self.vocab_size, self.random_directions))
        zipf = -self.zipf_exponent * np.log(np.arange(1, self.vocab_size + 1))
        fixed = [np.ones(self.vocab_size), zipf] if self.zipf_exponent > 0 else [np.ones(self.vocab_size)]
        factors = np.linalg.qr(np.column_stack([*fixed, drawn]))[0][:, 1:]
        factors *= math.sqrt(self.vocab_size / self.random_directions) * self.logit_scale
        if self.zipf_exponent > 0:
            factors[:, 0] = zipf - zipf.mean()
        return factors

    @cached_property
    def logits(self) -> Values:
        """True logits of shape (contexts, vocab_size); each row has mean 0, which is how the softmax sees it."""
        return self.context_factors @ self.token_factors.T

    @cached_property
    def log_probabilities(self) -> Values:
        """Logarithms of the true probabilities, of shape (contexts, vocab_size)."""
        return log_softmax(self.logits)

    @cached_property
    def entropy(self) -> float:
        """The least loss that any model can have, in nats per token."""
        return conditional_entropy(self.log_probabilities)

    @cached_property
    def singular_values(self) -> Values:
        """Singular values of the ideal head T, (rank,), descending: those of `logits` divided by sqrt(contexts)."""
        return np.sort(np.linalg.norm(self.token_factors, axis=0))[::-1]

    def tail(self, width: int) -> float:
        """sqrt(sum_{i > width} sigma_i^2) of the ideal head: what no head of that width holds; 0 from the rank on."""
        return float(np.linalg.norm(self.singular_values[width:]))

    def w_error(self, width: int) -> float:
        """W-error of the ideal head at a width: `tail` relative to the Frobenius norm, from 1 (width 0) to 0 (rank)."""
        return self.tail(width) / self.tail(0)

    @cached_property
    def narrow_gap(self) -> float:
        """Roughly what a head of width rank - 1 lacks, in nats: a formula fitted to trained heads, a factor 1.6 off.

        Half the mean square of the weakest direction's logits, less what the other directions make up for: the more of
        them there are for each likely token of a context, and for each context in which a token is likely.
        """
        strength = float(self.singular_values[-1] ** 2) / (2 * self.vocab_size)
        likely = math.exp(self.entropy)
        crowd = 1 + self.rank / likely
        thinness = 1 + self.rank * self.vocab_size / (self.contexts * likely)
        return 0.82 * strength * crowd**-1.52 * thinness**-0.37 * (1 + strength * self.rank) ** -0.25

    @property
    def _remedy(self) -> str:
        zipf_is_weakest = self.zipf_exponent > 0 and np.argmin(np.linalg.norm(self.token_factors, axis=0)) == 0
        if zipf_is_weakest:
            return "raise zipf_exponent, or set it to 0"
        return "lower rank or zipf_exponent, bring logit_scale nearer to 2, or raise vocab_size and contexts"


@dataclass(frozen=True)
class Bound:
    """constant * tail(width) against the measured gaps: `holds` where none of the judged widths lies above it."""

    constant: float
    fitted_on: tuple[int, int]
    values: tuple[float, ...]
    above: tuple[int, ...]

    @property
    def holds(self) -> bool:
        return not self.above


def bound(widths: Sequence[int], tails: ArrayLike, gaps: ArrayLike, fitted_on: tuple[int, int] | None = None) -> Bound:
    """Theorem 5.3 of arXiv 2404.07647 (gap = O(tail)) with a constant fitted on two widths, judged at all others.

    widths, tails, gaps: (n,), one entry a head. The constant is the larger gap / tail of `fitted_on`, by default of the
    two smallest widths: a gap is nearly quadratic in a small tail, so gap / tail falls as widths grow, and a constant
    from wider heads is too small for narrower ones. `above`: the other widths whose gap exceeds constant * tail, and
    where the tail is 0 those whose gap is not closed (0.01 nats is left to training).
    Raises InputError for fewer than three widths, equal ones, and a constant asked of widths that are not among them or
    have no tail.
    """
    gap_of = dict(zip(widths, np.asarray(gaps, dtype=np.float64), strict=True))
    tail_of = dict(zip(widths, np.asarray(tails, dtype=np.float64), strict=True))
    if len(gap_of) < 3 or len(gap_of) < len(widths):
        raise InputError("A bound needs at least three different widths: two for its constant, and one to judge it by.")
    if not all(np.isfinite([*gap_of.values(), *tail_of.values()])):
        raise InputError("A bound needs finite gaps and tails.")
    first, second = fitted_on or sorted(gap_of)[:2]
    if first == second or not all(tail_of.get(width, 0.0) > 0 for width in (first, second)):
        raise InputError(
            f"The bound's constant cannot be fitted on the widths {first} and {second}: "
            "choose two that were trained and are smaller than the rank."
        )
    constant = float(max(gap_of[width] / tail_of[width] for width in (first, second)))
    values = {width: constant * float(tail) for width, tail in tail_of.items()}
    judged = (width for width in gap_of if width not in (first, second))
    above = [width for width in judged if gap_of[width] > (values[width] if tail_of[width] > 0 else CLOSED)]
    return Bound(constant, (first, second), tuple(values.values()), tuple(sorted(above)))


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} is {value}, but here it must lie between {low:g} and {high:g}.")
