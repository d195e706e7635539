"""Change points of a curve along training, and its turn: where a lasting late rise begins.

The curve is cut into straight pieces by PELT (Killick et al. 2012; the library `ruptures`, Truong et al. 2020): least
squares lines over the training step, and a penalty for each further piece.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saturation.errors import InputError

EARLY = 0.02  # share of training that is left out: a random head has the flattest spectrum of all
SHORTEST = 3  # checkpoints of a piece: two points lie on any line
PENALTY = 14.0  # of a piece, in variances of the noise times log n: noise that drifts is hardly ever cut up
SURE = 3.0  # standard errors by which a rise must pass the least one
DRIFT = 3.0  # variance of the mean of AR(1) noise of correlation 0.5, in that of white noise
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Turn:
    """The start of a lasting late rise: `step`, known to within the `spacing` of the checkpoints around it.

    low: the lowest value, measured at `low_step`, at or before `step`; last: the value at the end. In the units of the
    values.
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
    first 2 % of training are left out. The fit is at its low where it lies above its lowest value by no more than
    `least_change` and `SURE` standard errors; the piece that leaves the low for good is the one that holds the
    checkpoint after the last one at the low. The turn is where this piece begins, but never before the lowest measured
    value: where the noise grows on the way, one line may run through fall, floor and rise. There is none where the
    fit ends at its low, or fewer than `SHORTEST` checkpoints are left from the turn on.
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
    places = (at - at[0]) / max(int(at[-1] - at[0]), 1)
    spread = _noise(places, seen)
    # Never on less than the change that counts: a smooth curve without noise would fall into dozens of pieces.
    penalty = PENALTY * spread**2 * np.log(at.size) + max(4.0, at.size / 16) * (least_change / 2) ** 2
    from saturation.measures.pieces import cut  # ruptures takes a while to import, and few need it

    ends = cut(places, seen, penalty, SHORTEST)
    starts = [0, *ends[:-1]]
    pieces = [np.polyval(np.polyfit(places[a:b], seen[a:b], 1), places[a:b]) for a, b in zip(starts, ends, strict=True)]
    fitted = np.concatenate(pieces)
    turn = _turn(at, seen, fitted, starts, least_change, spread)
    return Changes(at, fitted, tuple(int(at[start]) for start in starts[1:]), turn)


def _noise(places: Values, values: Values) -> float:
    """Standard deviation between neighbours: median distance of a value from the line through those beside it."""
    before, after = places[1:-1] - places[:-2], places[2:] - places[1:-1]
    share = after / (before + after)
    away = values[1:-1] - share * values[:-2] - (1 - share) * values[2:]
    return float(1.4826 * np.median(np.abs(away) / np.sqrt(1 + share**2 + (1 - share) ** 2)))


def _turn(
    at: NDArray[np.int64], seen: Values, fitted: Values, starts: list[int], least: float, spread: float
) -> Turn | None:
    if seen[-1] - seen.min() <= least:  # a line through a step rises by more than the step does
        return None
    minimum = int(np.flatnonzero(seen == seen.min())[-1])
    low = int(fitted.argmin())
    ends = [*starts[1:], at.size]
    of_low = next(end - start for start, end in zip(starts, ends, strict=True) if low < end)
    # The end of a line through m points has a variance of about 4 / m of theirs.
    error = spread * np.sqrt(DRIFT * (4 / (ends[-1] - starts[-1]) + 4 / of_low))
    near = np.flatnonzero(fitted <= fitted[low] + least + SURE * error)
    left = int(near[-1]) + 1
    if left >= at.size:
        return None
    begin = max(minimum, low, max(start for start in starts if start <= left))
    if at.size - begin < SHORTEST:
        return None
    spacing = int(np.diff(at[max(begin - 1, 0) : begin + 2]).max())
    return Turn(int(at[begin]), spacing, int(at[minimum]), float(seen[minimum]), float(seen[-1]))
