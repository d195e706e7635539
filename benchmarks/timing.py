"""Timing of two ways of doing the same thing, in turns, so that a busy machine disturbs both alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A line of the table: seconds of ours and of the plain way, and ours / plain with its spread."""

    name: str
    beside: str
    ours: float
    plain: float
    ratio: float
    low: float
    high: float
    note: str = ""

    def row(self) -> str:
        return (
            f"| {self.name} | {self.ours * 1000:,.1f} ms | {self.beside} | {self.plain * 1000:,.1f} ms "
            f"| {self.ratio:.3g} ({self.low:.3g} to {self.high:.3g}) | {self.note} |"
        )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    name: str,
    ours: Callable[[], object],
    beside: str,
    plain: Callable[[], object],
    rounds: int = 5,
    scale: float = 1.0,
    note: str = "",
) -> Line:
    """Run both in turns after one warm-up each. scale: factor from the plain way's size to ours, when it is smaller."""
    ours()
    plain()
    pairs = [(_seconds(ours), _seconds(plain) * scale) for _ in range(rounds)]
    ratios = [own / other for own, other in pairs]
    return Line(
        name,
        beside,
        statistics.median(own for own, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        note,
    )
