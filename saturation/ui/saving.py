"""Saving a figure: a dialog that shows it at print size, and its files in every format."""

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import streamlit as st

from saturation.figures import Theme, printed, standalone
from saturation.figures.caption import Caption
from saturation.figures.plain import Plain
from saturation.ui import downloads, look
from saturation.ui.browser import source

FIGURE = "saved-figure"
Draw = Callable[[Theme], Plain]
BUTTONS = """<div class="row">
<button data-kind="png" title="Pixels, 600 to the inch">PNG</button>
<button data-kind="svg" title="Vectors">SVG</button></div>"""
STYLE = """
.row { display: flex; gap: 0.5rem; }
button { font: inherit; font-size: 0.875rem; min-height: 2.5rem; padding: 0.25rem 0.75rem; cursor: pointer;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); }
button:hover, button:focus-visible { color: var(--st-primary-color); border-color: currentColor; outline: 0; }
"""
_files = st.components.v2.component("saturation_files", js=source("files.js"))
_zoom = st.components.v2.component("saturation_zoom", js=source("zoom.js"))
_picture = st.components.v2.component("saturation_picture", html=BUTTONS, css=STYLE, js=source("picture.js"))


def watch() -> None:
    """Have the pictures that the browser saves carry their caption, and zoomed figures stay so; once a page."""
    _files(key="files", height="content")
    _zoom(key="zoom", height="content")


@st.dialog("Save the figure", width="large")
def dialog(draw: Draw, alone: Draw, table: Callable[[], pd.DataFrame], caption: Caption) -> None:
    """Style and size, the figure as it will be, and a button for each format. `alone`: the figure of the HTML page."""
    theme, size, titled = _look()
    picture = printed.printed(draw(theme).figure(), caption, size, titled)
    with st.container(key="save-buttons", horizontal=True, gap="small", vertical_alignment="bottom"):
        _picture(key="picture", data={"figure": FIGURE, "png_scale": size.png_scale}, width=124, height="content")
        _pdf(picture, caption, size)
        downloads.file(
            "HTML",
            lambda: standalone.page(alone(theme).figure(), caption, theme),
            caption.file,
            "A page that works offline, 2 MB",
        )
        downloads.table(lambda: numbers(table(), caption), caption.file, "The numbers of the figure")
    downloads.watch_dialog()
    st.caption(f"Files are named `{caption.file}`. Pictures, page and Parquet carry title, provenance and link.")
    with st.container(key="preview", horizontal_alignment="center"):
        st.plotly_chart(
            picture,
            theme=None,
            key=FIGURE,
            width="content",
            alt=f"{caption.heading}. {caption.guide}",
            config={
                "displaylogo": False,
                "displayModeBar": True,
                "modeBarButtons": [["toImage"]],
                "toImageButtonOptions": {
                    "format": "png",
                    "filename": caption.file,
                    "width": picture.layout.width,
                    "height": picture.layout.height,
                    "scale": size.png_scale,
                },
            },
        )


def _look() -> tuple[Theme, printed.Size, bool]:
    """The controls: style, size, and whether the title is part of the picture."""
    own = look.theme().name.capitalize()
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        style = _choice("Style", [*printed.STYLES], own)
        wide = _choice("Width", [*printed.SIZES], next(iter(printed.SIZES)))
        titled = st.toggle("Title in the picture", key="titled", persist_state="session")
    return printed.STYLES[style], printed.SIZES[wide], titled


def _choice(label: str, options: list[str], default: str) -> str:
    chosen = st.segmented_control(
        label, options, default=default, required=True, persist_state="session", key=f"save-{label.lower()}"
    )
    return chosen or default


def _pdf(picture: go.Figure, caption: Caption, size: printed.Size) -> None:
    """The PDF's button; what to install where it cannot be made."""
    if printed.chrome() is None:
        st.button(
            "PDF",
            disabled=True,
            help="A PDF is drawn by Chrome or Chromium on the machine that serves this page, and none was found there.",
        )
        return
    help = "Vectors at true size; takes a few seconds"
    downloads.file("PDF", lambda: printed.pdf(picture, caption, size), caption.file, help)


def numbers(table: pd.DataFrame, caption: Caption) -> pa.Table:
    """The table with its caption in the metadata that Parquet keeps (keys `saturation:title` and so on)."""
    rows = pa.Table.from_pandas(table, preserve_index=False)
    told = {f"saturation:{name.lower()}": text for name, text in caption.as_dict().items()}
    return rows.replace_schema_metadata({**(rows.schema.metadata or {}), **told})
