"""The axis of a metric along training: from its best to where the first descent is nearly done."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from saturation.figures.steps import StepScale


def value_range(
    values: ArrayLike, *, higher_is_better: bool = False, floor: float | None = None, scale: StepScale = "linear"
) -> list[float] | None:
    """Lower and upper end for values in the order of their steps; None without values.

    A loss that falls from 11 to 4.4 and rises by 0.2 would look flat on its full range; the early descent leaves the
    panel instead (seven eighths of it), and a double click shows all of it. A log step axis is there to look at the
    early descent, so it keeps the full range. `floor`: a value the axis must reach, such as the text's entropy.
    """
    seen = np.asarray(values, dtype=np.float64)
    seen = -seen[np.isfinite(seen)] if higher_is_better else seen[np.isfinite(seen)]
    if not seen.size:
        return None
    best = int(seen.argmin())
    bottom = seen[best] if floor is None or pd.isna(floor) else min(seen[best], -floor if higher_is_better else floor)
    first = seen.max() if scale == "log" else seen[best] + (seen[0] - seen[best]) / 8
    top = max(first, seen[best:].max())
    room = max(top - bottom, 1e-3 * max(abs(top), 1e-9)) * 0.08
    ends = [float(bottom - room), float(top + room)]
    return [-ends[1], -ends[0]] if higher_is_better else ends
