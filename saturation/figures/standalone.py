"""A figure as one HTML file that works offline and says what it shows and where it came from."""

from html import escape

import plotly.graph_objects as go

from saturation.figures.theme import FONT, LIGHT, Theme

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0 auto; max-width: 1100px; padding: 24px 16px; font-family: {font};
background: {background}; color: {text}; }}
h1 {{ font-size: 22px; margin: 0 0 4px; }} p {{ color: {muted}; margin: 0 0 12px; line-height: 1.45; }}
</style></head><body><h1>{title}</h1><p>{guide}</p>
{figure}
<p>{provenance}</p></body></html>
"""


def page(figure: go.Figure, title: str, guide: str, provenance: str, theme: Theme = LIGHT) -> str:
    """The stand-alone page of a figure, plotly.js included (about 5 MB)."""
    config = {"responsive": True, "toImageButtonOptions": {"format": "svg", "scale": 4, "filename": title}}
    return PAGE.format(
        title=escape(title),
        guide=escape(guide),
        provenance=escape(provenance),
        figure=figure.to_html(full_html=False, include_plotlyjs=True, auto_play=False, config=config),
        font=escape(FONT, quote=False),
        background=theme.background,
        text=theme.text,
        muted=theme.muted,
    )
