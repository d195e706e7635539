"""One way to show a figure: title, guide, the figure, what it was drawn from, and its files to take away."""

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from saturation.figures import Theme
from saturation.figures.caption import Caption, slug
from saturation.method import entry
from saturation.ui import link, look, saving
from saturation.ui.pages import METHOD

__all__ = ["chart", "slug"]


def chart(
    draw: Callable[[Theme], go.Figure],
    table: Callable[[], pd.DataFrame],
    name: str,
    guide: str,
    provenance: str,
    *,
    title: str,
    method: str,
    on_select: Callable[[], None] | None = None,
    alone: Callable[[Theme], go.Figure] | None = None,
) -> None:
    """Draw a figure with everything around it.

    `draw`: makes the figure in a theme. `table`: makes its numbers, called when they are asked for. `name`: the
    selection in words; with the title it names the saved files. `guide`: one line on how to read it. `provenance`: one
    line on what it was drawn from. `method`: the entry of the Method page that defines what is drawn. `on_select`:
    called when a point is clicked; its event is in the session state under `slug(title)`. `alone`: makes the figure of
    the saved page where that one differs, as it lacks the page's play bar.
    """
    key = slug(title)
    caption = Caption(title, name, guide, provenance, link.current())
    figure = draw(look.theme())
    # What was zoomed stays so while the cursor moves, and not when something else is drawn.
    figure.update_layout(meta=caption.as_dict(), uirevision=f"{key} {link.but_for_step()}")
    st.subheader(title, anchor=False)
    st.caption(guide)
    st.plotly_chart(
        figure,
        theme=None,
        key=key,
        alt=f"{title} of {name}. {guide}",
        config=config(caption.file),
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
            if st.button(
                "Save",
                key=f"save-{key}",
                type="tertiary",
                icon=":material/download:",
                help="PNG, SVG and PDF at print size, a page of its own (HTML), and the numbers (CSV, Parquet)",
            ):
                saving.dialog(draw, alone or draw, table, caption)


def config(file: str) -> dict:
    """The plotly configuration: a short mode bar, whose camera saves a PNG of four times the size on the page."""
    return {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
        "toImageButtonOptions": {"format": "png", "scale": 4, "filename": file},
    }
