"""The verdict on one run: does its performance turn, do its representations and its head, and in which order?

Performance is judged by the test of `measures.onset`; last-layer anisotropy and singular entropy by their turn
(`measures.changes`). The three are set side by side; none is said to bring about another.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from saturation.errors import InputError
from saturation.measures.changes import Changes, changes
from saturation.measures.onset import FEWEST, LEAST_RISE, SIGNIFICANCE, Onset, onset

PERFORMANCE, ANISOTROPY, ENTROPY = "performance", "anisotropy", "singular_entropy"


@dataclass(frozen=True)
class Thresholds:
    """What counts as a rise, all of them adjustable.

    least_rise: relative worsening of the metric (half a percent: what a reader would call worse at all).
    significance: chance of a false alarm that the test allows. least_anisotropy: of the mean cosine (0.05: the paper's
    collapses are rises of 0.3 and more, and between neighbouring texts it varies by less). least_entropy: relative
    rise of the singular entropy (a tenth: the paper's are tenfold).
    """

    least_rise: float = LEAST_RISE
    significance: float = SIGNIFICANCE
    least_anisotropy: float = 0.05
    least_entropy: float = 0.1

    def __post_init__(self) -> None:
        if not self.least_rise >= 0 or not self.least_anisotropy > 0 or not self.least_entropy > 0:
            raise InputError("A least rise must be above 0; give thresholds as shares, 0.005 for half a percent.")
        if not 0 < self.significance < 1:
            raise InputError(f"The significance is {self.significance}; it must lie between 0 and 1, such as 0.01.")


@dataclass(frozen=True)
class Series:
    """One measure along training: (n,) steps, ascending, and (n,) values."""

    steps: ArrayLike
    values: ArrayLike


@dataclass(frozen=True)
class Place:
    """Where one of the three turned (performance: its best checkpoint), and how far apart the checkpoints lie there."""

    name: str
    step: int
    spacing: int


@dataclass(frozen=True)
class RunVerdict:
    """What is seen in one run.

    performance: None with too few checkpoints. changes: straight pieces and turn of anisotropy (as it is) and of
    singular entropy (its natural logarithm). order: the turns from the first to the last.
    """

    performance: Onset | None
    changes: Mapping[str, Changes]
    order: tuple[Place, ...]

    def place(self, name: str) -> Place | None:
        """Where this one turned, None where it did not."""
        return next((place for place in self.order if place.name == name), None)

    def marks(self) -> dict[str, int]:
        """The step to mark in each one's chart: of the turn; of performance, the step since which it is saturated."""
        steps = {place.name: place.step for place in self.order}
        onset = self.performance.onset_step if self.performance else None
        return steps if onset is None else steps | {PERFORMANCE: onset}


def judge(
    performance: Series,
    anisotropy: Series,
    singular_entropy: Series,
    higher_is_better: bool = False,
    thresholds: Thresholds | None = None,
) -> RunVerdict:
    """Judge one run. Series without a doubtful checkpoint; a series may be empty.

    Raises InputError for values that cannot be judged (not finite; a metric that is not positive).
    """
    limits = thresholds or Thresholds()
    found = None
    if np.size(performance.steps) >= FEWEST:
        found = onset(performance.steps, performance.values, higher_is_better, limits.least_rise, limits.significance)
    entropy = np.asarray(singular_entropy.values, dtype=np.float64)
    positive = entropy > 0  # a head whose singular values are all equal has none to take the logarithm of
    seen = {
        ANISOTROPY: changes(anisotropy.steps, anisotropy.values, limits.least_anisotropy),
        ENTROPY: changes(
            np.asarray(singular_entropy.steps)[positive], np.log(entropy[positive]), np.log1p(limits.least_entropy)
        ),
    }
    places = [Place(name, of.turn.step, of.turn.spacing) for name, of in seen.items() if of.turn]
    if found and found.saturated:
        at = np.asarray(performance.steps)
        index = int(np.searchsorted(at, found.best_step))
        places.append(
            Place(PERFORMANCE, found.best_step, int(at[min(index + 1, at.size - 1)] - at[max(index - 1, 0)]) // 2)
        )
    return RunVerdict(found, seen, tuple(sorted(places, key=lambda place: place.step)))


def together(first: Place, second: Place) -> bool:
    """Whether two turns are closer than the checkpoints can tell apart."""
    return abs(first.step - second.step) <= max(first.spacing, second.spacing)
