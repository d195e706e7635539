"""One way to show a figure: title, guide, the figure, what it was drawn from, and its data to take away."""

import re
from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from saturation.figures import standalone
from saturation.method import entry
from saturation.ui import look
from saturation.ui.pages import METHOD


def chart(
    figure: go.Figure,
    data: Callable[[], pd.DataFrame],
    name: str,
    guide: str,
    provenance: str,
    *,
    title: str,
    method: str,
    on_select: Callable[[], None] | None = None,
) -> None:
    """Draw a figure with everything around it.

    `data`: makes the table of the figure, called when the CSV is asked for. `name`: the selection in words; with the
    title it names the saved files. `guide`: one line on how to read it. `provenance`: one line on what it was drawn
    from. `method`: the entry of the Method page that defines what is drawn. `on_select`: called when a point is
    clicked; its event is in the session state under `slug(title)`.
    """
    key = slug(title)
    file = slug(f"{title} {name}")
    st.subheader(title, anchor=False)
    st.caption(guide)
    st.plotly_chart(
        figure,
        theme=None,
        key=key,
        alt=f"{title} of {name}. {guide}",
        config=config(file),
        on_select=on_select or "ignore",
        selection_mode="points",
    )
    with st.container(key=f"under-{key}", horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(provenance, width="stretch")
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
            st.page_link(
                METHOD.path,
                label="Definition",
                icon=":material/function:",
                query_params={**st.session_state.get("_address", {}), "entry": entry(method).key},
                help=entry(method).title,
                width="content",
            )
            st.download_button(
                "CSV",
                lambda: data().to_csv(index=False),
                file_name=f"{file}.csv",
                mime="text/csv",
                key=f"csv-{key}",
                on_click="ignore",
                type="tertiary",
                icon=":material/download:",
                help="The numbers of this figure",
            )
            shown = look.theme()
            st.download_button(
                "HTML",
                lambda: standalone.page(figure, f"{title}: {name}", guide, provenance, shown),
                file_name=f"{file}.html",
                mime="text/html",
                key=f"html-{key}",
                on_click="ignore",
                type="tertiary",
                icon=":material/download:",
                help="This figure as a page of its own that works offline (5 MB)",
            )


def config(file: str) -> dict:
    """The plotly configuration: a short mode bar, and images of the format chosen in the sidebar."""
    kind = (st.session_state.get("image") or "SVG").lower()
    return {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
        "toImageButtonOptions": {"format": kind, "scale": 4, "filename": file},
    }


def slug(text: str) -> str:
    """A file name of a title: small letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
