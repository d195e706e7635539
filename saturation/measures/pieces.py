"""Cutting a curve into straight pieces: the library `ruptures` with a cost of our own."""

import numpy as np
from numpy.typing import NDArray
from ruptures.base import BaseCost
from ruptures.detection import Pelt

Values = NDArray[np.float64]


class _Lines(BaseCost):
    """Squared error of the least-squares line through a piece, from cumulative sums: no piece is ever fitted twice."""

    model = ""
    min_size = 2

    def fit(self, signal: Values) -> "_Lines":
        place, value = signal[:, 0] - signal[:, 0].mean(), signal[:, 1] - signal[:, 1].mean()
        sums = np.stack([np.ones_like(place), place, value, place**2, place * value, value**2])
        self.sums = np.concatenate([np.zeros((6, 1)), sums.cumsum(axis=1)], axis=1).T.tolist()
        self.signal = signal
        return self

    def error(self, start: int, end: int) -> float:
        count, x, y, xx, xy, yy = (b - a for a, b in zip(self.sums[start], self.sums[end], strict=True))
        spread, shared, total = xx - x * x / count, xy - x * y / count, yy - y * y / count
        return max(total - (shared * shared / spread if spread > 0 else 0.0), 0.0)


def cut(places: Values, values: Values, penalty: float, shortest: int) -> list[int]:
    """Ends (exclusive) of the pieces that least-squares lines leave the least error in, plus `penalty` for each piece.

    places, values: (n,). PELT finds the exact minimum over all cuts into pieces of at least `shortest` points.
    """
    search = Pelt(custom_cost=_Lines(), min_size=shortest, jump=1)
    return [int(end) for end in search.fit(np.stack([places, values], axis=1)).predict(pen=penalty)]
