"""How much of a curve along training is noise between checkpoints, and simulated noise like it."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIMULATIONS = 1999
# Of the simulated noise at neighbouring checkpoints: a run's noise drifts a little. Estimated from the run instead, it
# has a standard error of 0.25 even at 154 checkpoints, and a guess that low is a false alarm.
CORRELATION = 0.5
TINY = 1e-9
Values = NDArray[np.float64]


def isotonic(values: Values, increasing: bool = True) -> Values:
    """The rising (or falling) curve through (n,) values of least squared distance."""
    from scipy.optimize import isotonic_regression  # takes a second to import; most starts find their verdicts kept

    fitted: Values = isotonic_regression(values, increasing=increasing).x
    return fitted


def noise(values: Values) -> Values:
    """Standard deviation between neighbours along the last axis, in the later half.

    From the median of second differences: a slope leaves no trace in them, and a single bend none in their median.
    """
    return _bends(values[..., values.shape[-1] // 2 :])


def _bends(values: Values) -> Values:
    return 1.4826 * np.median(np.abs(np.diff(values, 2)), axis=-1) / np.sqrt(6)


def means(values: Values, width: int) -> Values:
    """Means of every `width` neighbours along the last axis."""
    sums = np.cumsum(values, axis=-1)
    sums[..., width:] = sums[..., width:] - sums[..., :-width]
    return sums[..., width - 1 :] / width


def valley(values: Values, width: int) -> Values:
    """The best curve through each row that falls to its lowest mean of `width` neighbours and rises from there.

    All rows in one isotonic regression: falling parts turned over, and each part lifted clear of those before it.
    """
    low = means(values, width).argmin(axis=-1) + width // 2
    falling = np.arange(values.shape[-1]) < low[..., None]
    lift = 2 * (np.abs(values).max() + 1)
    lifts = lift * (2 * np.arange(len(values))[:, None] + ~falling)
    fitted = isotonic((np.where(falling, -values, values) + lifts).ravel()).reshape(values.shape)
    return np.where(falling, lifts - fitted, fitted - lifts)


def residual(values: Values, width: int) -> Values:
    """Root mean square distance of each row from its valley, the early descent left out."""
    late = values.shape[-1] // 3
    return np.sqrt(((values - valley(values, width))[..., late:] ** 2).mean(axis=-1))


@lru_cache(maxsize=64)
def drift(checkpoints: int) -> Values:
    """AR(1) noise of standard deviation 1, one simulated run a row."""
    draws = np.random.default_rng(0).normal(size=(SIMULATIONS, checkpoints))
    draws[:, 1:] *= np.sqrt(1 - CORRELATION**2)
    drifting: Values = draws.copy()
    for place in range(1, drifting.shape[-1]):
        drifting[..., place] += CORRELATION * drifting[..., place - 1]
    drifting.setflags(write=False)
    return drifting


@lru_cache(maxsize=64)
def _absorbed(checkpoints: int, width: int) -> float:
    """The residual that noise of standard deviation 1 leaves: a valley takes up a part of it."""
    return float(np.median(residual(drift(checkpoints), width)))


def deviation(values: Values, width: int) -> Values:
    """Standard deviation of the noise of a curve of shape (n,) at each of its n checkpoints.

    At the end it is the larger of two estimates, from the distance to the best valley and from second differences
    (of AR(1) noise of variance 1 these have the variance 6 - 8 r + 2 r^2). In earlier parts of training it is more
    where more is seen. There too, two signs of noise, and the smaller counts: second differences see a steep descent
    as noise, and steps upwards, whose mean is 1 / sqrt(pi) of the deviation in white noise, see a rise as noise.
    """
    late = float(noise(values))
    seen = np.sqrt((6 - 8 * CORRELATION + 2 * CORRELATION**2) / 6)
    last = max(float(residual(values[None], width)[0]) / _absorbed(len(values), width), late / seen)
    parts = np.array_split(values, max(2, min(6, len(values) // 12)))
    signs = [min(float(_bends(part)), float(np.maximum(np.diff(part), 0).mean()) * np.sqrt(np.pi)) for part in parts]
    growth = np.maximum.accumulate([late, *reversed(signs)])[:0:-1] + TINY
    centres = np.cumsum([len(part) for part in parts]) - [(len(part) + 1) / 2 for part in parts]
    return last * np.exp(np.interp(np.arange(len(values)), centres, np.log(growth / (late + TINY))))
