"""Performance saturation: does a metric get worse along training and not come back? (arXiv 2404.07647, section 3)

The question is put as a test. Null hypothesis: the run only improves, and what is seen on top is noise between
checkpoints that drifts. Statistic: by how much the mean of the last k values lies above the lowest mean of any k
neighbouring ones, in units of the distance of the values from the best curve that falls and then rises. A lowest mean
is always picked by luck too, so the statistic's distribution under the null is simulated: the best non-increasing
curve through the values (isotonic regression), level where it falls by less than the noise, plus AR(1) noise of the
size seen in each part of training (`measures.noise`). A run is saturated when the rise is unlikely under the null and
at least `least_rise` in size. `python -m benchmarks.onset` prints how often that is right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saturation.errors import InputError
from saturation.measures.noise import SIMULATIONS, TINY, Values, deviation, drift, isotonic, means, noise, residual

FEWEST = 6  # checkpoints below which no verdict is given
LEAST_RISE = 0.005
SIGNIFICANCE = 0.02


@dataclass(frozen=True)
class Onset:
    """Whether a run saturates, since when and by how much.

    degradation: last value against the best, relative, positive when worse. rise: the same for means of a few
    neighbouring checkpoints, on which the verdict rests. p_value: chance of such a rise in a run that only improves.
    onset_step: first step from which the values stay above the best by more than the noise; None if not saturated.
    """

    saturated: bool
    best_step: int
    onset_step: int | None
    best_value: float
    final_value: float
    degradation: float
    rise: float
    p_value: float
    noise: float
    checkpoints: int


def _rise(values: Values, width: int) -> Values:
    found = means(values, width)
    return found[..., -1] - found.min(axis=-1)


def _score(values: Values, width: int) -> Values:
    """The rise of each row in units of its own noise, so that a small sample's error in it counts on both sides."""
    return _rise(values, width) / (residual(values, width) + TINY)


def onset(
    steps: ArrayLike,
    values: ArrayLike,
    higher_is_better: bool = False,
    least_rise: float = LEAST_RISE,
    significance: float = SIGNIFICANCE,
) -> Onset:
    """Judge one metric along training.

    steps: (n,) training steps, ascending. values: (n,) positive values of a loss or perplexity (or, with
    higher_is_better, an accuracy). least_rise: relative worsening below which a run is not called saturated.
    Raises InputError below `FEWEST` checkpoints or for values that are not positive and finite.
    """
    at, raw = np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=np.float64)
    if at.shape != raw.shape or at.ndim != 1 or len(at) < FEWEST:
        raise InputError(f"A verdict needs at least {FEWEST} checkpoints; {at.size} are measured.")
    if not np.isfinite(raw).all() or (raw <= 0).any():
        raise InputError("A verdict needs positive, finite values at every checkpoint.")
    # On a log scale differences are relative, and an accuracy is a loss with its sign turned.
    logs = -np.log(raw) if higher_is_better else np.log(raw)
    width = max(2, min(15, len(logs) // 8))
    spread = deviation(logs, width)
    draws = _improving(logs, float(spread[-1])) + drift(len(logs)) * spread
    rise = float(_rise(logs, width))
    p_value = (1 + int((_score(draws, width) >= _score(logs[None], width)).sum())) / (SIMULATIONS + 1)
    saturated = p_value <= significance and rise >= np.log1p(least_rise)
    best = int(logs.argmin())
    worse = float(np.exp(logs[-1] - logs[best]) - 1)
    return Onset(
        saturated=bool(saturated),
        best_step=int(at[best]),
        onset_step=_onset_step(at, logs, least_rise, width) if saturated else None,
        best_value=float(raw[best]),
        final_value=float(raw[-1]),
        degradation=worse,
        rise=float(np.expm1(rise)),
        p_value=float(p_value),
        noise=float(noise(logs)),
        checkpoints=len(at),
    )


def _improving(logs: Values, spread: float) -> Values:
    """The best non-increasing curve; what it falls by less than the noise may be no fall at all."""
    falling = isotonic(logs, increasing=False)
    return np.where(falling - falling[-1] <= 2 * spread, falling[-1], falling)


def _onset_step(at: NDArray[np.int64], logs: Values, least_rise: float, width: int) -> int:
    """First step after the best stretch from which the best rising curve lies above it by more than the noise."""
    start = int(means(logs, width).argmin())
    rising = isotonic(logs[start:])
    of_means = float(residual(logs[None], width)[0] * means(drift(len(logs)), width).std())
    above = rising > rising[0] + max(2 * of_means, np.log1p(least_rise))
    return int(at[start + int(above.argmax())]) if above.any() else int(at[-1])
