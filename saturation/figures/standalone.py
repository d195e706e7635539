"""A figure as one HTML file of under 2 MB that works offline and says what it shows and where it came from."""

import base64
import gzip
import json
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from saturation.figures.caption import Caption
from saturation.figures.theme import LIGHT, Theme

# plotly.js and the figure are one gzip stream, which the browser unpacks; base 85 makes it a quarter larger, not a
# third as base 64 would. Its signs are those of Python's `b85encode`, with " for <, which would begin a tag.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{metadata}
<style>
body {{ margin: 0 auto; max-width: 1100px; padding: 24px 16px; font-family: {font};
background: {background}; color: {text}; }}
h1 {{ font-size: 22px; margin: 0 0 4px; }} p {{ color: {muted}; margin: 0 0 12px; line-height: 1.45; }}
a {{ color: inherit; }} #figure {{ min-height: {height}px; }}
</style></head><body><h1>{title}</h1><p>{guide}</p>
<div id="figure" role="img" aria-label="{title}. {guide}"></div>
<p>{provenance}{link}</p>
<noscript><p>The figure is drawn by JavaScript, which is switched off here.</p></noscript>
<script type="text/plain" id="packed">{packed}</script>
<script>{unpack}</script>
</body></html>
"""
UNPACK = """
(async () => {
  const signs = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;"=>?@^_`{|}~';
  const figure = document.getElementById('figure');
  try {
    const digit = new Uint8Array(128);
    [...signs].forEach((sign, place) => { digit[sign.charCodeAt(0)] = place; });
    const text = document.getElementById('packed').textContent;
    const bytes = new Uint8Array(text.length / 5 * 4);
    const view = new DataView(bytes.buffer);
    for (let i = 0, to = 0; i < text.length; i += 5, to += 4) {
      let number = 0;
      for (let k = 0; k < 5; k++) number = number * 85 + digit[text.charCodeAt(i + k)];
      view.setUint32(to, number);
    }
    const packed = new Blob([bytes.subarray(0, LENGTH)]).stream();
    const unpacked = await new Response(packed.pipeThrough(new DecompressionStream('gzip'))).text();
    const script = document.createElement('script');
    script.textContent = unpacked.slice(SPLIT);
    document.head.append(script);
    const { data, layout, frames, config } = JSON.parse(unpacked.slice(0, SPLIT));
    await Plotly.newPlot(figure, { data, layout, frames, config });
    figure.dataset.drawn = 'yes';
  } catch (error) {
    figure.textContent = `This browser cannot draw the figure (${error.message}); one of 2023 or later can.`;
  }
})();
"""


def page(figure: go.Figure, caption: Caption, theme: Theme = LIGHT) -> str:
    """The stand-alone page of a figure, plotly.js included (1.9 MB and the figure)."""
    shown = figure.to_plotly_json()
    shown["config"] = {
        "responsive": True,
        "displaylogo": False,
        "toImageButtonOptions": {"format": "svg", "filename": caption.file},
    }
    head = json.dumps(json.loads(_json(shown)), separators=(",", ":"))  # ASCII: as many letters as bytes
    packed = gzip.compress((head + get_plotlyjs()).encode(), 9, mtime=0)
    metadata = "\n".join(
        f'<meta name="{escape(name.lower())}" content="{escape(text)}">' for name, text in caption.as_dict().items()
    )
    link = f' · <a href="{escape(caption.link)}">this view</a>' if caption.link.startswith("http") else ""
    return PAGE.format(
        title=escape(caption.heading),
        metadata=metadata,
        guide=escape(caption.guide),
        provenance=escape(caption.provenance),
        link=link,
        height=figure.layout.height or 450,
        packed=_text(packed),
        unpack=UNPACK.replace("LENGTH", str(len(packed))).replace("SPLIT", str(len(head))),
        font=escape(theme.font, quote=False),
        background=theme.background,
        text=theme.text,
        muted=theme.muted,
    )


def _json(figure: dict) -> str:
    """JSON of a figure; numbers that are not finite become null, as in plotly's own."""
    from plotly.io.json import to_json_plotly

    return to_json_plotly(figure)


def _text(packed: bytes) -> str:
    """The bytes, padded to fours, in base 85 without the sign that begins a tag."""
    return base64.b85encode(packed, pad=True).decode().replace("<", '"')
