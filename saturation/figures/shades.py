"""A line that is the more visible the nearer it is to a value: in a few shades of one colour."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from plotly.colors import unlabel_rgb

from saturation.figures.theme import Theme

SHADES = 6
FAINTEST = 0.36  # share of the colour that the far end of the line keeps
DEEPEST = 0.22  # share of the text's colour, the strongest on its background, that the near end takes
Values = NDArray[np.float64]


def mixed(colour: str, nearness: float, theme: Theme) -> str:
    """A shade of `colour`: at nearness 0 faint; at 1 darker, or brighter on a dark background."""
    own, paper, ink = (_rgb(name) for name in (colour, theme.background, theme.text))
    near = own + DEEPEST * (ink - own)
    far = paper + FAINTEST * (own - paper)
    red, green, blue = (round(value) for value in far + nearness * (near - far))
    return f"rgb({red},{green},{blue})"


def split(x: Values, y: Values, near: float, far: float) -> Iterator[tuple[float, tuple[Values, Values]]]:
    """Cut the line through (x, y) where it passes from shade to shade; yields nearness in [0, 1], and the line's parts.

    The parts of one shade are one pair of arrays with NaN between them. Neighbouring shades meet in the point, found
    by linear interpolation, where the line crosses their common border.
    """
    if len(x) < 2 or far == near:
        yield 1.0, (x, y)
        return
    away = np.clip((y - near) / (far - near), 0.0, 1.0) * SHADES
    index = np.arange(len(x), dtype=np.float64)
    cuts = [index]
    for border in range(1, SHADES):
        above = away > border
        places = np.flatnonzero(above[1:] != above[:-1])
        cuts.append(places + (border - away[places]) / (away[places + 1] - away[places]))
    at = np.unique(np.concatenate(cuts))
    fine_x, fine_y, fine = (np.interp(at, index, values) for values in (x, y, away))
    shade = np.minimum(((fine[1:] + fine[:-1]) / 2).astype(int), SHADES - 1)
    for number in range(SHADES - 1, -1, -1):  # the nearest is drawn last, over the others
        mine = np.flatnonzero(shade == number)
        if not mine.size:
            continue
        runs = np.split(mine, np.flatnonzero(np.diff(mine) > 1) + 1)
        pieces = [np.append(np.arange(run[0], run[-1] + 2), -1) for run in runs]
        order = np.concatenate(pieces)[:-1]
        gaps = order < 0
        yield (
            1.0 - number / (SHADES - 1),
            (np.where(gaps, np.nan, fine_x[order]), np.where(gaps, np.nan, fine_y[order])),
        )


def _rgb(colour: str) -> Values:
    if colour.startswith("#"):
        return np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)], dtype=np.float64)
    return np.array(unlabel_rgb(colour), dtype=np.float64)
