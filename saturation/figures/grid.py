"""Where the panels of a grid lie, and the words above them."""

from typing import Any

from saturation.figures.theme import Theme

ROW = 250  # pixels of one row of panels


def domain(index: int, count: int, gap: float) -> list[float]:
    """The share of the width or height that the panel at `index` of `count` has, with `gap` between neighbours."""
    size = (1 - gap * (count - 1)) / count
    return [index * (size + gap), min(index * (size + gap) + size, 1.0)]  # rounding may pass the edge


def panel_note(text: str, x: float, y: float, shift: int, size: int, theme: Theme) -> dict[str, Any]:
    """Words above the left corner of a panel at (x, y) of the paper, `shift` pixels up."""
    return {
        "x": x,
        "xref": "paper",
        "xanchor": "left",
        "xshift": -4,
        "y": y,
        "yref": "paper",
        "yanchor": "bottom",
        "yshift": shift,
        "showarrow": False,
        "align": "left",
        "text": text,
        "font": {"size": size, "color": theme.text},
    }
