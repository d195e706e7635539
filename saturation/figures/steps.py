"""The step axis that all figures share.

Checkpoints lie at 0, 1, 2, 4 ... 512, 1000, 2000 ... N. `linear` is the paper's axis; `log` places a step at
log10(1 + step), so that step 0 has a place and the doubling steps are evenly spaced. Both are drawn on a
linear plotly axis with ticks of our own: cells of a heatmap then keep exact edges on either.
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saturation.figures import labels

StepScale = Literal["linear", "log"]


def positions(steps: ArrayLike, scale: StepScale = "linear") -> NDArray[np.float64]:
    """Where steps lie on the axis. Raises ValueError for a scale that is neither `linear` nor `log`."""
    values = np.asarray(steps, dtype=np.float64)
    if scale == "linear":
        return values
    if scale == "log":
        return np.log10(1.0 + values)
    raise ValueError(f"The step scale is '{scale}'; use 'linear' or 'log'.")


def edges(places: ArrayLike) -> NDArray[np.float64]:
    """Borders of heatmap cells centred between neighbours: n increasing places give n + 1 borders."""
    centres = np.asarray(places, dtype=np.float64)
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[:-1] + centres[1:]) / 2
    first = centres[0] - (middle[0] - centres[0])
    last = centres[-1] + (centres[-1] - middle[-1])
    return np.concatenate([[first], middle, [last]])


def ticks(last: int, scale: StepScale = "linear", most: int = 6) -> tuple[list[float], list[str]]:
    """Places and labels of the ticks for an axis that ends at step `last`."""
    if scale == "log":
        powers = [10**power for power in range(int(math.log10(max(last, 1))) + 1)]
        if len(powers) > most:
            powers = powers[:: math.ceil(len(powers) / most)]
        steps = [0, *powers]
    else:
        rough = max(last, 1) / most
        base = 10 ** math.floor(math.log10(rough))
        multiples = (1, 2, 2.5, 5, 10) if base >= 10 else (1, 2, 5, 10)
        width = max(next(m * base for m in multiples if m * base >= rough), 1)
        steps = [round(index * width) for index in range(int(last / width) + 1)]
    return [float(place) for place in positions(steps, scale)], [labels.short_step(value) for value in steps]


def axis(steps: ArrayLike, scale: StepScale = "linear", most: int = 6) -> dict[str, Any]:
    """Layout of a step axis that holds all of `steps`, cells of a heatmap included; with about `most` ticks."""
    ordered = np.unique(np.asarray(steps, dtype=np.int64))
    last = int(ordered[-1]) if ordered.size else 1
    values, text = ticks(last, scale, most)
    borders = edges(positions(ordered, scale)) if ordered.size else np.array([0.0, 1.0])
    width = float(borders[-1] - borders[0])
    return {
        "title": {"text": "training step" if scale == "linear" else "training step (log scale)"},
        "range": [float(borders[0]) - 0.006 * width, float(borders[-1]) + 0.006 * width],
        "tickmode": "array",
        "tickvals": values,
        "ticktext": text,
        "ticks": "outside",
        "showline": True,
    }


def nearest(steps: ArrayLike, wanted: int) -> int:
    """The measured step closest to `wanted`; the earlier of two at the same distance."""
    known = np.asarray(steps, dtype=np.int64)
    if known.size == 0:
        raise ValueError("There is no step to choose from.")
    away = np.abs(known - int(wanted))
    return int(known[away == away.min()].min())
