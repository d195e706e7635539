"""Change points of a curve along training, and its turn: where a lasting late rise begins.

The curve is cut into straight pieces by PELT (Killick et al. 2012; the library `ruptures`, Truong et al. 2020): least
squares lines over the training step, and a penalty for each further piece.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saturation.errors import InputError
from saturation.measures.noise import noise

EARLY = 0.02  # share of training that is left out: a random head has the flattest spectrum of all
SHORTEST = 3  # checkpoints of a piece: two points lie on any line
# A change has to lower the squared error by this many variances times log(n); a line, and its place, are three
# numbers, and noise that drifts needs more than the one of BIC for each.
PENALTY = 6.0
# What a piece may miss by rounding off a bend, as a share of the least change that counts.
RESOLUTION = 0.2
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Turn:
    """The start of a lasting late rise: `step`, known to within the `spacing` of the checkpoints around it.

    low: the lowest fitted value, at low_step; last: the fitted value at the end. Both in the units of the values.
    """

    step: int
    spacing: int
    low_step: int
    low: float
    last: float


@dataclass(frozen=True)
class Changes:
    """The curve in straight pieces: the steps at which a new piece begins, the fitted value at each of `steps`.

    turn: None where the curve does not rise, or came back.
    """

    steps: NDArray[np.int64]
    fitted: Values
    change_points: tuple[int, ...]
    turn: Turn | None


def changes(steps: ArrayLike, values: ArrayLike, least_change: float) -> Changes:
    """Straight pieces and the turn of a curve.

    steps: (n,) training steps, ascending; values: (n,) on a scale on which equal differences count alike (a cosine as
    it is, the logarithm of an entropy or a loss). least_change: the smallest rise that counts, in those units. The
    first 2 % of training are left out. The turn is the start of the piece in which the fit last leaves its lowest value
    by more than `least_change`, if it ends above that and beyond three times the noise.
    Raises InputError for values that are not finite.
    """
    at, seen = np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=np.float64)
    if at.shape != seen.shape or at.ndim != 1 or not np.isfinite(seen).all():
        raise InputError("Change points need one finite value for every step.")
    if at.size:
        late = at >= EARLY * at[-1]
        at, seen = at[late], seen[late]
    if at.size < 2 * SHORTEST:
        return Changes(at, seen.copy(), (), None)
    spread = float(noise(seen))
    places = (at - at[0]) / max(int(at[-1] - at[0]), 1)
    penalty = PENALTY * max(spread, RESOLUTION * least_change) ** 2 * np.log(at.size)
    from saturation.measures.pieces import cut  # ruptures takes a while to import, and few need it

    ends = cut(places, seen, penalty, SHORTEST)
    starts = [0, *ends[:-1]]
    pieces = [np.polyval(np.polyfit(places[a:b], seen[a:b], 1), places[a:b]) for a, b in zip(starts, ends, strict=True)]
    fitted = np.concatenate(pieces)
    turn = _turn(at, fitted, starts, max(least_change, 3 * spread))
    return Changes(at, fitted, tuple(int(at[start]) for start in starts[1:]), turn)


def _turn(at: NDArray[np.int64], fitted: Values, starts: list[int], least: float) -> Turn | None:
    low = int(fitted.argmin())
    near = np.flatnonzero(fitted <= fitted[low] + least)
    left = int(near[-1]) + 1
    if left >= at.size:
        return None
    begin = max(start for start in starts if start <= left)
    begin = max(begin, low)
    spacing = int(at[begin] - at[begin - 1]) if begin else int(at[1] - at[0])
    return Turn(int(at[begin]), spacing, int(at[low]), float(fitted[low]), float(fitted[-1]))
