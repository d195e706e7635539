"""Files that a figure is saved as: what they hold, how large they are, what they are called."""

import base64
import gzip
import json
import re
from io import BytesIO, StringIO

import figure_frames as frames
import pandas as pd
import plotly.graph_objects as go
import pyarrow.parquet as pq
import pytest
from pypdf import PdfReader

from saturation.errors import InputError
from saturation.figures import DARK, PAPER, layer_map, printed, spectrum_film, standalone
from saturation.figures.caption import LONGEST, Caption
from saturation.figures.parts import blank
from saturation.store.taken import csv_of, parquet_of
from saturation.ui.saving import numbers

CAPTION = Caption(
    "Loss <by> size", 'lab/w8 & "w16" at step 4,000', "How to read it.", "41 checkpoints", "http://x/?a=b"
)
COLUMN, PAGE = printed.SIZES["Column, 85 mm"], printed.SIZES["Page, 175 mm"]


def line(theme=PAPER) -> go.Figure:
    points = {"type": "scatter", "x": [1, 2, 3], "y": [3.0, float("nan"), 2.0]}
    return blank(theme, 300, [points], margin={"t": 30, "b": 40, "l": 50}).figure()


def film() -> go.Figure:
    return spectrum_film(frames.spectra(), cursor=2, theme=PAPER)


def layers() -> go.Figure:
    return layer_map(frames.layers(), cursor=2, theme=PAPER)


class TestName:
    def test_title_and_selection_in_letters_that_every_system_takes(self):
        assert CAPTION.file == "loss-by-size-lab-w8-w16-at-step-4-000"

    def test_many_models_do_not_make_it_too_long(self):
        assert len(Caption("T", " ".join(f"model-{n}" for n in range(90))).file) <= LONGEST

    def test_what_is_not_known_is_left_out_of_the_metadata(self):
        assert set(Caption("T", "s").as_dict()) == {"Title", "Software"}


class TestHtml:
    def unpacked(self, page: str) -> tuple[dict, str]:
        """What the page's own script unpacks, by an independent reading of its base 85."""
        packed = re.search(r'id="packed">(.*?)</script>', page, re.S)[1]
        length = int(re.search(r"bytes\.subarray\(0, (\d+)\)", page)[1])
        text = gzip.decompress(base64.b85decode(packed.replace('"', "<"))[:length]).decode()
        split = int(re.search(r"unpacked\.slice\(0, (\d+)\)", page)[1])
        return json.loads(text[:split]), text[split:]

    def test_under_two_megabytes_with_the_whole_figure_and_plotly(self):
        page = standalone.page(layers(), CAPTION)
        assert len(page.encode()) < 2_000_000
        figure, script = self.unpacked(page)
        assert [trace["type"] for trace in figure["data"]] == [trace.type for trace in layers().data]
        assert len(figure["frames"]) == len(frames.STEPS)
        assert figure["layout"]["sliders"]  # alone, it has controls of its own
        assert "plotly.js v" in script[:200]

    def test_numbers_that_are_not_finite_do_not_break_it(self):
        figure, _ = self.unpacked(standalone.page(line(), CAPTION))
        assert figure["data"][0]["y"] == [3.0, None, 2.0]

    def test_words_are_shown_and_never_run(self):
        page = standalone.page(line(), Caption("<script>alert(1)</script>", "a", "<b>", "&", "javascript:alert(1)"))
        assert "<script>alert" not in page
        assert "javascript:alert(1)</a>" not in page
        assert 'href="javascript' not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page

    def test_metadata_and_look(self):
        page = standalone.page(line(DARK), CAPTION, DARK)
        assert '<meta name="source" content="41 checkpoints">' in page
        assert f"background: {DARK.background}" in page


class TestPrinted:
    def test_true_size(self):
        for size in printed.SIZES.values():
            shown = printed.printed(line(), CAPTION, size)
            assert shown.layout.width == size.pixels
            assert size.pixels * size.scale / 96 * 25.4 == pytest.approx(size.millimetres)
            assert size.pixels * size.png_scale / 600 * 25.4 == pytest.approx(size.millimetres)
        assert 13 * COLUMN.scale * 0.75 == pytest.approx(7, abs=0.1)  # points of a label in a column

    def test_the_controls_of_a_film_are_gone_and_their_room(self):
        figure = film()
        shown = printed.printed(figure, CAPTION, PAGE)
        assert len(figure.layout.sliders) == 1
        assert not shown.layout.sliders
        assert not shown.layout.updatemenus
        plot = figure.layout.height - figure.layout.margin.b - (figure.layout.margin.t or 80)
        assert shown.layout.height - shown.layout.margin.b - (shown.layout.margin.t or 80) == plot

    def test_a_title_takes_room_of_its_own(self):
        bare, titled = (printed.printed(line(), CAPTION, PAGE, titled=titled) for titled in (False, True))
        assert titled.layout.height - bare.layout.height == printed.TITLE_ROOM
        assert titled.layout.annotations[-1].text == 'Loss &lt;by&gt; size: lab/w8 &amp; "w16" at step 4,000'
        narrow = printed.printed(line(), Caption("T" * 200, "s"), COLUMN, titled=True)
        assert narrow.layout.annotations[-1].text.endswith("…")
        assert len(narrow.layout.annotations[-1].text) < 70

    def test_the_bar_of_a_map_makes_room_for_the_title(self):
        before = layers().data[0].colorbar.ypad
        shown = printed.printed(layers(), CAPTION, COLUMN, titled=True)
        assert shown.data[0].colorbar.ypad == before + printed.TITLE_ROOM
        assert layers().data[0].colorbar.ypad == before

    def test_it_carries_its_caption(self):
        assert printed.printed(line(), CAPTION, PAGE).layout.meta["Source"] == "41 checkpoints"


class TestPdf:
    def test_a_vector_page_of_the_true_size_with_its_caption(self):
        if printed.chrome() is None:
            pytest.skip("no Chrome or Chromium is installed")
        content = printed.pdf(printed.printed(line(), CAPTION, COLUMN), CAPTION, COLUMN)
        found = PdfReader(BytesIO(content))
        assert len(found.pages) == 1
        box = found.pages[0].mediabox
        assert float(box.width) / 72 * 25.4 == pytest.approx(85, abs=0.3)
        assert found.metadata.title == CAPTION.heading
        assert "41 checkpoints" in found.metadata.subject
        assert b"/Subtype /Image" not in content  # lines, no pixels

    def test_who_waits_too_long_is_told_so(self, monkeypatch):
        monkeypatch.setattr(printed, "chrome", lambda: "chrome")
        monkeypatch.setattr(printed, "PDF_SECONDS", 0.01)
        with printed._one_at_a_time, pytest.raises(InputError, match="try again in a moment"):
            printed.pdf(line(), CAPTION, COLUMN)

    def test_without_chrome_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr(printed, "chrome", lambda: None)
        with pytest.raises(InputError, match="install one"):
            printed.pdf(line(), CAPTION, COLUMN)


def test_parquet_keeps_types_and_caption():
    table = pd.DataFrame({"model": ["w8", "w16"], "step": [1, 2], "value": [0.5, float("nan")]})
    content = parquet_of(numbers(table, CAPTION))
    pd.testing.assert_frame_equal(pd.read_csv(StringIO(csv_of(numbers(table, CAPTION)))), table)
    pd.testing.assert_frame_equal(pd.read_parquet(BytesIO(content)), table)
    metadata = pq.read_schema(BytesIO(content)).metadata
    assert metadata[b"saturation:title"].decode() == CAPTION.heading
    assert metadata[b"saturation:link"] == b"http://x/?a=b"
