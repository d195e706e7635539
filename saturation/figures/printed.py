"""A figure at print size: one column or the page of a paper, or a screen, as a picture that stands alone."""

import threading
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import plotly.graph_objects as go

from saturation.errors import InputError
from saturation.figures.caption import Caption
from saturation.figures.theme import DARK, LIGHT, PAPER, Theme

MM_PER_INCH, CSS_DPI = 25.4, 96
DPI = 600  # of a PNG at print size
HEIGHT = 450  # plotly's, where a figure sets none
FOOT = 52  # pixels below a panel without the controls of a film
TITLE_ROOM = 34  # pixels above the figure for its title
PDF_SECONDS = 40
STYLES: dict[str, Theme] = {"Paper": PAPER, "Light": LIGHT, "Dark": DARK}
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Size:
    """Width of a saved figure. pixels: of its layout, in which text has 12 to 13; millimetres: of the picture."""

    pixels: int
    millimetres: float

    @property
    def scale(self) -> float:
        """Of CSS pixels (96 to the inch), from layout to picture."""
        return self.millimetres / MM_PER_INCH * CSS_DPI / self.pixels

    @property
    def png_scale(self) -> float:
        """From layout to the pixels of a PNG of `DPI`."""
        return self.millimetres / MM_PER_INCH * DPI / self.pixels


# Text of 13 pixels is 7 points high in a column of 85 mm, and 9 in a slide.
SIZES = {"Column, 85 mm": Size(448, 85), "Page, 175 mm": Size(922, 175), "Slide, 254 mm": Size(1040, 254)}


def printed(figure: go.Figure, caption: Caption, size: Size, titled: bool = False) -> go.Figure:
    """The figure at a fixed size, without the controls of its film; `titled` writes its title above it."""
    copy = go.Figure(figure.data, figure.layout)
    margin = {"l": 80, "t": 80, "b": 80} | figure.layout.margin.to_plotly_json()
    height, top, bottom = figure.layout.height or HEIGHT, margin["t"], margin["b"]
    if figure.layout.sliders or figure.layout.updatemenus:
        copy.layout.sliders = copy.layout.updatemenus = []
        bottom = min(bottom, FOOT)
    if titled:
        top += TITLE_ROOM
        for bar in _hanging_bars(copy):
            bar.ypad += TITLE_ROOM
        copy.add_annotation(
            text=_one_line(caption.heading, size.pixels),
            x=0,
            xref="paper",
            xanchor="left",
            xshift=10 - margin["l"],
            y=1,
            yref="paper",
            yanchor="top",
            yshift=top - 10,
            font={"size": 15},
            showarrow=False,
        )
    return copy.update_layout(
        margin={"t": top, "b": bottom},
        width=size.pixels,
        height=height + (top - margin["t"]) + (bottom - margin["b"]),
        autosize=False,
        meta={**caption.as_dict(), "millimetres": size.millimetres, "dpi": DPI},
    )


def _hanging_bars(figure: go.Figure) -> list[Any]:
    """The colour bars that hang from the figure's upper edge (`theme.colour_bar`)."""
    bars = [trace.colorbar for trace in figure.data if trace.type == "heatmap"]
    bars += [trace.marker.colorbar for trace in figure.data if trace.type == "scatter" and trace.marker.showscale]
    return [bar for bar in (*bars, figure.layout.coloraxis.colorbar) if bar.yref == "container"]


def _one_line(text: str, pixels: int) -> str:
    """The text cut to what fits into a line of letters 15 pixels high, and shown literally."""
    fits = int(pixels / 7.6)
    short = text if len(text) <= fits else f"{text[: fits - 1]}…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def chrome() -> str | None:
    """Where Chrome or Chromium is on this machine; None where there is none, and then no PDF."""
    try:
        from choreographer.browsers import Chromium
    except ImportError:  # a demonstration may do without what draws PDFs
        return None
    found = Chromium.find_browser(skip_local=False)
    return str(found) if found else None


def _reason(error: BaseException) -> str:
    """The first sentence of an error, whose message may be a tuple of several."""
    told = error.args[0] if error.args else ""
    lines = str(told[0] if isinstance(told, tuple) and told else told).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def pdf(figure: go.Figure, caption: Caption, size: Size) -> bytes:
    """A `printed` figure as a vector PDF of its true size, which carries its title and provenance.

    Raises InputError where no Chrome is found, where it does not answer, or where others wait for it too long.
    """
    import kaleido
    from pypdf import PdfReader, PdfWriter

    if chrome() is None:
        raise InputError("A PDF is drawn by Chrome or Chromium, and none was found; install one, or save the SVG.")
    options: Any = {
        "format": "pdf",
        "width": figure.layout.width,
        "height": figure.layout.height,
        "scale": size.scale,
    }
    if not _one_at_a_time.acquire(timeout=PDF_SECONDS):
        raise InputError("Other PDFs are being drawn; try again in a moment, or save the SVG.")
    try:
        drawn = kaleido.calc_fig_sync(figure, opts=options, kopts={"mathjax": False, "timeout": PDF_SECONDS})
    except Exception as error:  # of a browser that was started and failed in its own way
        raise InputError(f"Chrome could not draw the PDF ({_reason(error)}); try again, or save the SVG.") from error
    finally:
        _one_at_a_time.release()
    writer = PdfWriter(clone_from=PdfReader(BytesIO(drawn)))
    told = caption.as_dict()
    writer.add_metadata(
        {
            "/Title": caption.heading,
            "/Subject": " ".join(part for part in (caption.guide, caption.provenance) if part),
            "/Keywords": told.get("Link", ""),
            "/Creator": "Saturation",
        }
    )
    written = BytesIO()
    writer.write(written)
    return written.getvalue()
