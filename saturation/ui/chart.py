"""One way to show a figure: title, guide, the figure, what it was drawn from, and its files to take away."""

from collections.abc import Callable, Hashable

import pandas as pd
import streamlit as st

from saturation.figures import Theme
from saturation.figures.caption import Caption, slug
from saturation.figures.plain import Plain
from saturation.method import entry
from saturation.ui import data, link, look, saving
from saturation.ui.memory import Memory
from saturation.ui.pages import METHOD
from saturation.ui.sent import Sent
from saturation.ui.words import inert

__all__ = ["chart", "slug"]

_figures = Memory(most=300)  # of about 0.1 MB each


def chart(
    draw: Callable[[Theme], Plain],
    table: Callable[[], pd.DataFrame],
    name: str,
    guide: str,
    provenance: str,
    *,
    title: str,
    method: str,
    on_select: Callable[[], None] | None = None,
    alone: Callable[[Theme], Plain] | None = None,
    at: Callable[[Plain, Theme], object] | None = None,
    still: bool = False,
    depends: Hashable = None,
) -> None:
    """Draw a figure with everything around it.

    `draw`: makes the figure in a theme. `table`: makes its numbers, called when they are asked for. `name`: the
    selection in words; with the title it names the saved files. `guide`: one line on how to read it. `provenance`: one
    line on what it was drawn from, in words. `method`: the entry of the Method page that defines it. `on_select`:
    called when a point is clicked; its event is in the session state under `slug(title)`. `alone`: makes the figure of
    the saved page where that one differs, as it lacks the page's play bar. `still`: the drawing is
    the same at every step, so they share it whatever the step; `at` then adds what is not, which is the step's cursor.
    `depends`: what decides the drawing besides the store, the guide and the look; the whole selection where it is None.
    """
    key, provenance = slug(title), inert(provenance)
    caption = Caption(title, name, guide, provenance, link.current())
    theme = look.theme()
    view = depends or ((link.but_for_step(),) if still or at else (link.shown_text(), name))
    shared = _figures.get((title, guide, theme.name, *_store(), view), lambda: draw(theme).sendable())
    figure = shared.copy()
    if at:
        at(figure, theme)
    # What was zoomed stays so while the cursor moves, and not when something else is drawn.
    figure.update(meta=caption.as_dict(), uirevision=f"{key} {link.but_for_step()}")
    st.subheader(title, anchor=False)
    st.caption(guide)
    st.plotly_chart(
        Sent(figure.as_dict()),
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
                saving.dialog(_with(draw, at), _with(alone or draw, at), table, caption)


def _with(draw: Callable[[Theme], Plain], at: Callable[[Plain, Theme], object] | None) -> Callable[[Theme], Plain]:
    """The drawing with what depends on the step."""

    def whole(theme: Theme) -> Plain:
        figure = draw(theme)
        if at:
            at(figure, theme)
        return figure

    return whole


def _store() -> tuple[Hashable, ...]:
    """The store as it is, and which of it this server shows."""
    opened = data.store()
    return str(opened.path), opened.signature(), data.settings().mode


def config(file: str) -> dict:
    """The plotly configuration: a short mode bar, whose camera saves a PNG of four times the size on the page."""
    return {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
        "toImageButtonOptions": {"format": "png", "scale": 4, "filename": file},
    }
