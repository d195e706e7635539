"""Figures as plain dicts of plotly's names, and the way from them to a plotly Figure.

plotly checks every property that a figure is given: of a page with ten models that took most of its time. A figure is
therefore put together from dicts, which a page hands on as they are; whoever calls a figure's function gets a plotly
Figure, checked once.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from functools import update_wrapper
from typing import Any, Generic, ParamSpec

import numpy as np
import pandas as pd
import plotly.graph_objects as go

P = ParamSpec("P")
Parts = dict[str, Any]
# The kinds of number that plotly.js reads from base 64; it has none of eight bytes but floats.
KINDS = {"i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"}


class Plain:
    """Traces, layout and frames of a figure, as dicts."""

    def __init__(self, data: Iterable[Parts] = (), layout: Mapping[str, Any] | None = None) -> None:
        self.data: list[Parts] = list(data)
        self.layout: Parts = dict(layout or {})
        self.frames: list[Parts] = []

    def add_traces(self, *traces: Parts) -> None:
        self.data += traces

    def add_shape(self, **shape: Any) -> None:
        self.layout["shapes"] = [*self.layout.get("shapes", ()), shape]

    def add_annotation(self, **note: Any) -> None:
        self.layout["annotations"] = [*self.layout.get("annotations", ()), note]

    def update(self, **layout: Any) -> None:
        """Merge into the layout, dicts within dicts too."""
        self.layout = _merged(self.layout, layout)

    def figure(self) -> go.Figure:
        """The same as a plotly Figure. Raises ValueError where plotly knows no such property or value."""
        return go.Figure(self.data, self.layout, self.frames)

    def as_dict(self) -> Parts:
        return {"data": self.data, "layout": self.layout} | ({"frames": self.frames} if self.frames else {})

    def sendable(self) -> "Plain":
        """As plotly.js reads it: arrays in base 64, no number that JSON lacks."""
        found = Plain(_sendable(self.data), _sendable(self.layout))
        found.frames = _sendable(self.frames)
        return found

    def copy(self) -> "Plain":
        """A figure of its own to add to; what it has is shared."""
        found = Plain(self.data, self.layout)
        found.frames = self.frames
        return found


class Drawing(Generic[P]):
    """A function that draws a plotly Figure; its `plain` draws the same unchecked, in a fraction of the time."""

    def __init__(self, plain: Callable[P, Plain]) -> None:
        self.plain = plain
        update_wrapper(self, plain)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> go.Figure:
        return self.plain(*args, **kwargs).figure()


def scatter(**trace: Any) -> Parts:
    """A scatter trace."""
    return {"type": "scatter", **trace}


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


def _sendable(value: Any) -> Any:
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Mapping):
        return {key: _sendable(each) for key, each in value.items() if each is not None}
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, pd.Series):
        return _array(value.to_numpy())
    if isinstance(value, list | tuple):
        return [_sendable(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _array(values: np.ndarray) -> Any:
    if values.dtype.kind in "iu" and values.size:  # plotly.js has no integers of eight bytes
        smallest = np.result_type(np.min_scalar_type(int(values.min())), np.min_scalar_type(int(values.max())))
        values = values.astype(smallest)
    name = f"{values.dtype.kind}{values.dtype.itemsize}"
    if name not in KINDS or values.size == 0:
        return _sendable(values.tolist())
    packed = base64.b64encode(np.ascontiguousarray(values).data).decode()
    shape = {"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else {}
    return {"dtype": name, "bdata": packed, **shape}
