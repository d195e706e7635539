"""Lines of the benchmark table, and timing two ways of doing the same thing in turns on a machine that may be busy."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

HEADER = "| what | ours | beside | theirs | ratio | target | |\n| --- | --- | --- | --- | --- | --- | --- |"
Unit = Literal["s", "bytes"]


@dataclass(frozen=True)
class Line:
    """A line of the table.

    ours, plain: medians, in `unit`; plain is NaN where there is nothing to set beside. ratio: the median of ours by
    plain of each turn, with its lowest and highest. target: what it should reach, in words; met: whether it does, None
    where there is none. note: accuracy, counts and, where the target is missed, what the limit is.
    """

    name: str
    beside: str
    ours: float
    plain: float = float("nan")
    ratio: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    note: str = ""
    target: str = ""
    met: bool | None = None
    unit: Unit = "s"

    def aimed(self, target: str, met: bool | None, note: str = "") -> "Line":
        """The same line with its target, and more to say."""
        return replace(self, target=target, met=met, note=", ".join(part for part in (self.note, note) if part))

    def row(self) -> str:
        """The line as Markdown."""
        ratio = "" if self.ratio != self.ratio else f"{self.ratio:.3g} ({self.low:.3g} to {self.high:.3g})"
        reached = "" if self.met is None else f"{self.target}: {'met' if self.met else '**missed**'}"
        cells = (self.name, amount(self.ours, self.unit), self.beside, amount(self.plain, self.unit), ratio, reached)
        return f"| {' | '.join(cells)} | {self.note} |"


def amount(value: float, unit: Unit) -> str:
    """A number of seconds or bytes to read; "" for NaN."""
    if value != value:
        return ""
    if unit == "bytes":
        return f"{value / 1e6:,.2f} MB"
    return (
        f"{value:,.1f} s" if value >= 10 else f"{value * 1000:,.0f} ms" if value >= 0.02 else f"{value * 1000:.2f} ms"
    )


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
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
    warm: bool = True,
) -> Line:
    """Run both in turns, after a warm-up of each. scale: factor from the plain way's size to ours, if it is smaller."""
    if warm:
        ours()
        plain()
    return of_turns(name, beside, [(seconds_of(ours), seconds_of(plain) * scale) for _ in range(rounds)], note)


def of_turns(name: str, beside: str, turns: list[tuple[float, float]], note: str = "") -> Line:
    """A line from the seconds of both ways in each turn."""
    ratios = [own / other for own, other in turns]
    return Line(
        name,
        beside,
        statistics.median(own for own, _ in turns),
        statistics.median(other for _, other in turns),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        note,
    )
