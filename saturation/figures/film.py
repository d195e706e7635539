"""Play button and slider of figures that move along training in the browser, with no round trip."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saturation.figures import labels
from saturation.figures.plain import Plain
from saturation.figures.steps import nearest
from saturation.figures.theme import Theme

FRAMES = 80  # more make a page heavier, not smoother
PLAYED = "played step"  # name of a trace that shows where a film is, where nothing else does
ROOM = 80  # pixels that buttons and slider take under a figure


def shown(count: int, active: int, most: int = FRAMES) -> NDArray[np.int64]:
    """Which of `count` checkpoints a film shows: at most `most`, evenly chosen, first, last and `active` included."""
    return np.unique([*np.round(np.linspace(0, count - 1, min(count, most))).astype(np.int64), active])


def add_controls(figure: Plain, cursor: int | None, theme: Theme, colour: str) -> None:
    """Give a figure with frames, whose names are steps, a play and a pause button and a slider under its panels.

    It starts at the frame nearest to the step `cursor`, the last where that is None; `colour` is of the slider's grip.
    A figure of a page needs them only where it leaves the page, whose own bar plays all figures at once.
    """
    steps = [int(frame["name"]) for frame in figure.frames]
    if not steps:
        return
    start = nearest(steps, steps[-1] if cursor is None else cursor)
    figure.data = [trace | ({"visible": True} if trace.get("name") == PLAYED else {}) for trace in figure.data]
    layout = figure.layout
    figure.update(
        height=layout["height"] + ROOM,
        margin={"b": layout["margin"]["b"] + ROOM},
        **_controls(steps, steps.index(start), theme, colour),
    )


def _controls(steps: Sequence[int], active: int, theme: Theme, colour: str, below: int = 50) -> dict[str, Any]:
    play = {"frame": {"duration": 90, "redraw": False}, "transition": {"duration": 0}, "fromcurrent": True}
    jump = {"frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}, "mode": "immediate"}
    look = {"bgcolor": theme.surface, "bordercolor": theme.muted, "font": {"color": theme.text, "size": 12}}
    return {
        "updatemenus": [
            {
                "type": "buttons",
                "direction": "right",
                "showactive": False,
                "x": 0,
                "xanchor": "left",
                "y": 0,
                "yanchor": "top",
                "pad": {"t": below + 16, "l": -6},
                "buttons": [
                    {"label": "▶", "method": "animate", "args": [None, play | {"mode": "immediate"}]},
                    {"label": "❚❚", "method": "animate", "args": [[None], jump]},
                ],
            }
            | look
        ],
        "sliders": [
            {
                "active": active,
                "x": 0.3,
                "len": 0.7,
                "y": 0,
                "yanchor": "top",
                "pad": {"t": below, "b": 0},
                "currentvalue": {"prefix": "step ", "xanchor": "right", "font": {"color": theme.text, "size": 13}},
                "font": {"color": theme.muted, "size": 10},
                "bgcolor": theme.grid,
                "bordercolor": theme.grid,
                "activebgcolor": colour,
                "tickcolor": theme.muted,
                "ticklen": 0,
                "minorticklen": 0,
                "steps": [
                    {"label": labels.step(step), "method": "animate", "args": [[str(step)], jump]} for step in steps
                ],
            }
        ],
    }
