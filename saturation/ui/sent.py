"""A finished figure in the form that `st.plotly_chart` takes without looking into it."""

from typing import Any

from plotly.basedatatypes import BaseFigure


class Sent(BaseFigure):
    """Plain dicts that pass for a plotly figure, since streamlit checks a dict property by property.

    streamlit asks a figure for `to_dict` and writes that as JSON; nothing else of a figure is there.
    """

    def __init__(self, figure: dict[str, Any]) -> None:
        object.__setattr__(self, "_sent", figure)

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = object.__getattribute__(self, "_sent")
        return found

    def __repr__(self) -> str:
        return "Sent()"
