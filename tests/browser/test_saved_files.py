"""A figure as a file, in every format, from the dialog and from the camera."""

import zlib
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from looking import VIEW, chart, look, save
from pypdf import PdfReader

from saturation.figures import DARK
from saturation.store import Store, queries


def test_a_figure_is_saved_in_every_format(browse, server, cache):
    page = browse(f"{server}/Singular_values{VIEW}")
    name, csv = save(page, "CSV", "singular-values-by-rank-and-step")
    assert name == "singular-values-by-rank-and-step-pythia-14m-plain.csv"
    table = pd.read_csv(BytesIO(csv))
    held = queries.spectra(Store(cache / "measurements.duckdb"), "pythia", "14m")
    assert len(table) == 15 * 100
    for step, values in zip(held["step"], held["singular_values"], strict=True):
        shown = table[table["step"] == step].sort_values("rank")["ratio"].to_numpy()
        np.testing.assert_allclose(shown, values[:100] / values[0], rtol=1e-6)

    _, parquet = save(page, "Parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(BytesIO(parquet)), table, check_dtype=False, rtol=1e-6)

    page.get_by_role("dialog").get_by_role("radio", name="Paper").click()
    page.wait_for_function(
        "document.querySelector('.st-key-saved-figure .js-plotly-plot')?._fullLayout.paper_bgcolor === '#ffffff'"
    )
    page.wait_for_timeout(300)
    name, png = save(page, "PNG")
    assert name.endswith("-plain.png")
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20], "big") == pytest.approx(85 / 25.4 * 600, abs=2)  # 600 to the inch
    density = png.index(b"pHYs")
    assert int.from_bytes(png[density + 4 : density + 8], "big") == round(600 / 0.0254)
    assert b"pythia/14m \xc2\xb7 15 checkpoints" in png
    assert b"step=4000" in png
    assert b"IDAT" in chunks(png)

    _, svg = save(page, "SVG")
    root = ElementTree.fromstring(svg)
    names = "{http://www.w3.org/2000/svg}"
    assert root.get("width") == "85mm"
    assert root.find(f"{names}title").text == "Singular values by rank and step: pythia/14m plain"
    assert "family=pythia&model=14m&step=4000" in root.find(f"{names}desc").text
    assert len(root.findall(f".//{names}g[@class='hm']")) == 1
    assert b"font-family: 'Latin Modern Roman'" in svg

    _, pdf = save(page, "PDF")
    assert PdfReader(BytesIO(pdf)).metadata.title.startswith("Singular values by rank and step")

    name, html = save(page, "HTML")
    assert name.endswith(".html")
    assert len(html) < 2_000_000
    alone = page.context.new_page()
    alone.route("**/*", lambda route: route.abort())  # it needs nothing from anywhere
    alone.set_content(html.decode())
    alone.locator("#figure[data-drawn=yes] .main-svg .hm image").wait_for()
    assert alone.get_by_text("pythia/14m · 15 checkpoints, steps 0–10,000").count() == 1


def chunks(png: bytes) -> list[bytes]:
    """Kinds of a PNG's chunks; fails where a checksum is wrong."""
    at, kinds = 8, []
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        body = png[at + 4 : at + 8 + length]
        assert zlib.crc32(body) == int.from_bytes(png[at + 8 + length : at + 12 + length], "big")
        kinds.append(body[:4])
        at += 12 + length
    return kinds


def test_the_camera_saves_the_figure_with_its_caption(browse, server):
    page = browse(f"{server}/Anisotropy{VIEW}", color_scheme="dark")
    assert look(page) == (DARK.background, DARK.background)
    plot = chart(page, "last-layer-along-training")
    plot.scroll_into_view_if_needed()
    plot.hover()
    with page.expect_download() as waiting:
        plot.locator('[data-title^="Download"]').click()
    assert waiting.value.suggested_filename == "last-layer-along-training-pythia-plain.png"
    content = waiting.value.path().read_bytes()
    assert chunks(content)[0] == b"IHDR"
    assert int.from_bytes(content[16:20], "big") >= 4 * 300
    assert b"Last layer along training: pythia plain" in content
