"""How often the saturation verdict is right on simulated curves: `python -m benchmarks.onset` prints the tables."""

from collections.abc import Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from saturation.measures.onset import onset

CHECKPOINTS = (12, 27, 154)
NOISE = (0.002, 0.01, 0.05)  # standard deviation relative to the value
CORRELATION = (0.0, 0.5, 0.8)  # of the noise at neighbouring checkpoints
RISES = (0.05, 0.1, 0.3, 0.5)  # of the last value over the best


def curve(shape: str, checkpoints: int, rise: float = 0.0) -> NDArray[np.float64]:
    """A run without noise: `improving` to the end, `level` in its later half, or `rising` from the middle on."""
    time = np.linspace(0.02, 1, checkpoints)
    values = 3 + 2 * np.exp(-8 * time)
    if shape == "improving":
        return values + 0.3 * (1 - time)
    low = values[np.argmin(np.abs(time - 0.5))]
    level = np.where(time <= 0.5, values, low)
    return level * (1 + rise * np.maximum(0, time - 0.5) / 0.5)


def noisy(values: NDArray[np.float64], size: float, correlation: float, seed: int) -> NDArray[np.float64]:
    """The values times exp of AR(1) noise of that standard deviation and correlation."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, size, len(values))
    drift = np.empty_like(steps)
    drift[0] = steps[0]
    for place in range(1, len(steps)):
        drift[place] = correlation * drift[place - 1] + np.sqrt(1 - correlation**2) * steps[place]
    return values * np.exp(drift)


def rate(shape: str, checkpoints: int, size: float, correlation: float, runs: int, rise: float = 0.0) -> float:
    """The share of simulated runs that are called saturated."""
    truth = curve(shape, checkpoints, rise)
    draws = (noisy(truth, size, correlation, seed) for seed in range(runs))
    return sum(onset(np.arange(checkpoints), values).saturated for values in draws) / runs


def _rows(title: str, of: Iterable[tuple[str, partial[float]]]) -> None:
    for name, call in of:
        cells = [f"{call(checkpoints=count, size=size):.1%}" for count in CHECKPOINTS for size in NOISE]
        print(f"| {title} | {name} | " + " | ".join(cells) + " |", flush=True)


def main(runs: int = 200) -> None:
    """Print false alarms and rises found, by checkpoints and size of the noise."""
    heads = [f"{count} at {100 * size:g} %" for count in CHECKPOINTS for size in NOISE]
    print("| called saturated | correlation, rise | " + " | ".join(heads) + " |")
    print("| --- " * (len(heads) + 2) + "|")
    for shape in ("improving", "level"):
        of = [(f"{r:g}", partial(rate, shape, correlation=r, runs=runs)) for r in CORRELATION]
        _rows(shape, of)
    for correlation in CORRELATION[:2]:
        of = [
            (
                f"{correlation:g}, {100 * rise:g} %",
                partial(rate, "rising", correlation=correlation, runs=runs // 2, rise=rise),
            )
            for rise in RISES
        ]
        _rows("rising", of)


if __name__ == "__main__":
    main()
