"""The dashboard as a visitor sees it: figures, links, navigation, exports, measuring."""

import json
import re
import zlib
from io import BytesIO
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from conftest import MEASURED_LATER, serving, settled
from pypdf import PdfReader

from saturation.figures import DARK, LIGHT
from saturation.store import Store, queries

# How many figures a page has, and words of a line that tells what they were drawn from.
FIGURES = {
    "": (1, "15 checkpoints, steps 0–10,000"),
    "Performance": (3, "30 checkpoints, steps 0–10,000"),
    "Anisotropy": (5, "15 checkpoints, steps 0–10,000"),
    "Singular_values": (4, "15 checkpoints, steps 0–10,000"),
    "Bottleneck": (5, "pythia/14m@4,000"),
    "Compare": (2, "pythia/14m: test text, 5,000 tokens"),
    "Measure": (0, "What to measure"),
}
PHONE = {"width": 390, "height": 844}
# The right edge of what reaches farthest: no page scrolls sideways.
WIDEST = (
    "() => Math.max(document.documentElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth,"
    " ...[...document.querySelectorAll('.js-plotly-plot, [data-testid=stMainMenu]')]"
    ".map(element => element.getBoundingClientRect().right))"
)
VIEW = "?family=pythia&model=14m&step=4000"


def address(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def chart(page, title: str):
    return page.locator(f".st-key-{title}").first


def flags(page) -> set[str]:
    """The words on the step cursors of the figures."""
    return set(page.locator(".annotation-text", has_text=re.compile(r"^step [\d,]+$")).all_text_contents())


def figure(page, title: str) -> dict:
    """The plotly figure behind a chart as the browser holds it."""
    script = (
        "key => { const plot = document.querySelector(`.st-key-${key} .js-plotly-plot`);"
        " return JSON.stringify({types: plot._fullData.map(trace => trace.type),"
        " names: plot._fullData.map(trace => trace.name), paper: plot._fullLayout.paper_bgcolor,"
        " columns: plot.calcdata.filter(c => c[0].z).map(c => c[0].z[0].length)}) }"
    )
    return json.loads(page.evaluate(script, title))


@pytest.mark.parametrize("path", FIGURES)
def test_each_page_draws_its_figures_on_a_desk_and_on_a_phone(browse, server, path):
    count, drawn_from = FIGURES[path]
    page = browse(f"{server}/{path}{VIEW}")
    charts = page.get_by_test_id("stPlotlyChart")
    assert charts.count() == count
    for index in range(count):
        one = charts.nth(index)
        assert one.locator(".main-svg .trace, .main-svg .hm image").count() >= 1
        assert one.get_attribute("aria-label")
    assert page.get_by_test_id("stException").count() == 0
    assert page.get_by_test_id("stAlert").count() == 0
    assert page.get_by_text(drawn_from).count() >= 1
    page.set_viewport_size(PHONE)
    page.wait_for_function(f"({WIDEST})() <= {PHONE['width']}")


def test_a_figure_leads_to_its_definition_and_back(browse, server):
    page = browse(f"{server}/Bottleneck{VIEW}")
    page.locator(".st-key-under-loss-by-w-error").get_by_role("link", name="Definition").click()
    page.wait_for_url("**/Method?**")
    settled(page)
    assert page.get_by_role("heading", level=3).first.inner_text() == "W-error"
    page.go_back()
    page.wait_for_url("**/Bottleneck?**")
    settled(page)
    assert address(page) == {"family": "pythia", "model": "14m", "step": "4000"}


def test_runs_of_two_families_are_compared_by_a_link(browse, server):
    link = f"{server}/Compare?family=pythia&model=14m&step=4000&runs=lab/w8,pythia/14m"
    page = browse(link)
    page.get_by_role("radio", name="Fraction of training").click()
    page.wait_for_url("**align=fraction*")
    settled(page)
    second = browse(page.url)
    assert second.get_by_role("radio", name="Fraction of training").is_checked()
    seen = figure(second, "side-by-side")
    assert seen == figure(page, "side-by-side")
    assert len(seen["names"]) == 6


def test_another_family_brings_its_own_runs(browse, server):
    page = browse(f"{server}/Compare{VIEW}")
    page.get_by_role("radio", name="Tokens").click()
    page.wait_for_url("**align=tokens*")
    assert "runs" not in address(page)
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="Lab").click()
    page.wait_for_url("**family=lab*")
    settled(page)
    assert "runs" not in address(page)
    assert page.get_by_text("lab/w16-b4-ramp: lab-language, 50,000 tokens").count() == 1


def test_the_width_calculator_is_part_of_the_link(browse, server):
    page = browse(f"{server}/Bottleneck{VIEW}")
    field = page.get_by_role("spinbutton", name="W-error to reach")
    field.fill("0.2")
    field.press("Enter")
    page.wait_for_url("**error=0.2**")
    settled(page)
    second = browse(page.url)
    assert second.get_by_text("needs a hidden size of").inner_text().count("0.20") == 1


def test_an_uploaded_text_is_counted_and_a_language_trained(browse, copied_cache, tmp_path):
    words = [f"word{number * number % 97}" for number in range(4000)]
    with serving(copied_cache, tmp_path / "corpus.log") as server:
        page = browse(f"{server}/Bottleneck{VIEW}")
        page.get_by_text("Count another corpus").click()
        content = {"name": "../My <b>text.txt", "mimeType": "text/plain", "buffer": " ".join(words).encode()}
        page.locator(".st-key-corpus-upload input[type=file]").set_input_files(content)
        page.get_by_role("textbox", name="Tokenizer").fill("bpe:300")
        page.get_by_role("button", name="Count", exact=True).click()
        page.get_by_text("BPE 300", exact=False).first.wait_for(timeout=90_000)
        assert page.get_by_test_id("stException").count() == 0
        held = [path.relative_to(copied_cache) for path in (copied_cache / "corpora").rglob("*.txt")]
        assert [path.parts[-1] for path in held] == ["my-b-text.txt"]
        page.goto(f"{server}/Bottleneck{VIEW}&toy_rank=2&toy_vocab_size=64&toy_contexts=64&toy_scale=2")
        settled(page)
        page.get_by_role("button", name="Train its widths").click()
        page.get_by_text("from a width of 2 on; the rank is 2").wait_for(timeout=90_000)
        assert page.get_by_test_id("stException").count() == 0


def test_a_pasted_link_shows_the_same_view_in_a_fresh_browser(browse, server):
    first = browse(f"{server}/Singular_values{VIEW}")
    first.get_by_role("slider").first.press("ArrowRight")
    first.wait_for_url("**step=5000*")
    settled(first)
    first.get_by_role("radio", name="Centred").click()
    first.wait_for_url("**view=centred*")
    first.get_by_role("button", name="31m").click()
    first.wait_for_url("**models=14m*")
    settled(first)
    link, seen = first.url, flags(first)
    assert address(first) == {"family": "pythia", "model": "14m", "models": "14m", "step": "5000", "view": "centred"}

    second = browse(link)
    assert flags(second) == seen == {"step 5,000"}
    assert second.url == link
    assert second.get_by_role("radio", name="Centred").is_checked()
    assert figure(second, "singular-entropy")["names"] == ["14m · 14.1M"]
    second.reload()
    settled(second)
    assert flags(second) == {"step 5,000"}


def test_the_first_deep_link_on_a_fresh_server_opens_its_page(browse, copied_cache, tmp_path):
    with serving(copied_cache, tmp_path / "fresh.log") as server:
        page = browse(f"{server}/Anisotropy?family=pythia&model=31m&step=3000&view=centred")
        assert page.locator("h1").inner_text() == "Where do representations collapse?"
        assert flags(page) == {"step 3,000"}
        assert page.get_by_role("radio", name="Centred").is_checked()
        page.get_by_test_id("stSidebar").get_by_role("link", name="Overview").click()
        page.get_by_text("Is it saturating?").wait_for()
        settled(page)
        assert address(page) == {"family": "pythia", "model": "31m", "step": "3000", "view": "centred"}


def test_navigation_and_back_keep_the_selection(browse, server):
    page = browse(f"{server}/?family=pythia&model=31m&models=31m&step=2000&scale=log")
    wanted = address(page)
    menu = page.get_by_test_id("stSidebar")
    for name in ("Anisotropy", "Singular values", "Measure", "Overview"):
        menu.get_by_role("link", name=name).click()
        page.get_by_text(f"{name} · pythia/31m").wait_for()
        settled(page)
        assert address(page) == wanted
    page.get_by_role("slider").press("ArrowRight")
    page.wait_for_url("**step=3000*")
    settled(page)
    page.go_back()
    page.wait_for_url("**step=2000*")
    page.locator(".annotation-text", has_text=re.compile(r"^step 2,000$")).wait_for()


def test_back_leaves_the_dashboard_where_it_was_entered(browse, server):
    page = browse(f"{server}/{VIEW}")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Anisotropy").click()
    page.get_by_text("Anisotropy · pythia/14m").wait_for()
    settled(page)
    page.go_back()
    page.get_by_text("Overview · pythia/14m").wait_for()
    assert urlsplit(page.url).path == "/"


def test_a_click_on_a_curve_moves_the_cursor(browse, server):
    page = browse(f"{server}/{VIEW}")
    plot = chart(page, "one-training-run")
    plot.scroll_into_view_if_needed()
    box = plot.locator(".nsewdrag").first.bounding_box()
    for shift in (0.78, 0.8):
        page.mouse.move(box["x"] + shift * box["width"], box["y"] + box["height"] / 2)
        page.wait_for_timeout(250)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**step=8000*")
    page.locator(".annotation-text", has_text=re.compile(r"^step 8,000$")).wait_for()


def test_what_a_link_gets_wrong_is_said_and_the_nearest_is_shown(browse, server):
    page = browse(f"{server}/Anisotropy?family=pythia&model=15m&models=14m,9b&step=3333&view=odd")
    said = page.get_by_test_id("stAlert").inner_text()
    for part in ("“15m”", "“9b”", "Step 3,333", "3,000", "“odd”"):
        assert part in said
    assert flags(page) == {"step 3,000"}
    page.get_by_role("slider").press("ArrowRight")
    page.wait_for_url("**step=4000*")
    settled(page)
    assert page.get_by_test_id("stAlert").count() == 0


def test_the_bar_plays_every_chart_and_the_page_is_run_once_where_it_rests(browse, server):
    page = browse(f"{server}/Anisotropy?family=pythia&model=14m&step=0")
    page.evaluate(
        "() => { window.runs = 0; const app = document.querySelector('[data-testid=stApp]');"
        " const count = () => { if (app.dataset.testScriptState === 'running') window.runs += 1; };"
        " new MutationObserver(count).observe(app, {attributes: true, attributeFilter: ['data-test-script-state']}) }"
    )
    look = (
        "() => [...document.querySelectorAll('.js-plotly-plot')].map(plot => ({"
        " cursors: plot._fullLayout.shapes.filter(shape => shape.name === 'cursor').map(shape =>"
        " plot.querySelector(`.shapelayer path[data-index='${shape._index}']`).getAttribute('d')),"
        " lines: plot._transitionData._frames.length &&"
        " [...plot.querySelectorAll('.js-line')].map(line => line.getAttribute('d'))}))"
    )
    before = page.evaluate(look)
    bar = page.locator(".st-key-playbar")
    bar.get_by_role("button", name="Play").click()
    page.wait_for_timeout(1000)
    during = page.evaluate(look)
    assert page.evaluate("window.runs") == 0
    assert [len(chart["cursors"]) for chart in before] == [2, 2, 0, 2, 0]
    for first, now in zip(before, during, strict=True):
        assert all(a != b for a, b in zip(first["cursors"], now["cursors"], strict=True))
    framed = [index for index, chart in enumerate(before) if chart["lines"]]
    assert framed == [0, 2]  # the profile beside the map, and the curves by depth
    assert all(before[index]["lines"] != during[index]["lines"] for index in framed)
    assert address(page)["step"] == "0"

    bar.get_by_role("button", name="Pause").click()
    shown = bar.get_by_role("slider").get_attribute("aria-valuetext")
    page.wait_for_url(f"**step={shown.removeprefix('step ').replace(',', '')}*")
    settled(page)
    assert shown != "step 0"
    assert flags(page) == {shown}
    assert page.evaluate("window.runs") == 1
    page.go_back()
    page.wait_for_url("**step=0*")
    settled(page)
    assert flags(page) == {"step 0"}


def save(page, kind: str, title: str | None = None) -> tuple[str, bytes]:
    """Name and content of a file of the dialog; with `title`, of the dialog that its figure's button opens."""
    if title:
        page.locator(f".st-key-save-{title} button").first.click()
        page.locator(".st-key-saved-figure .main-svg .cartesianlayer .subplot").first.wait_for()
        page.wait_for_timeout(300)
    with page.expect_download() as waiting:
        page.locator(".st-key-save-buttons").get_by_role("button", name=kind, exact=True).click()
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def test_a_figure_is_saved_in_every_format(browse, server, cache):
    page = browse(f"{server}/Singular_values{VIEW}")
    name, csv = save(page, "CSV", "singular-values-by-rank-and-step")
    assert name == "singular-values-by-rank-and-step-pythia-14m-as-stored.csv"
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
    assert name.endswith("-as-stored.png")
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
    assert root.find(f"{names}title").text == "Singular values by rank and step: pythia/14m as stored"
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


def test_what_was_zoomed_stays_so_while_the_cursor_moves(browse, server):
    page = browse(f"{server}/Anisotropy{VIEW}")
    plot = chart(page, "last-layer-along-training")
    plot.scroll_into_view_if_needed()
    box = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    page.mouse.up()
    page.wait_for_timeout(300)
    ranges = (
        "() => { const at = document.querySelector('.st-key-last-layer-along-training .js-plotly-plot')._fullLayout;"
        " return [...at.xaxis.range, ...at.yaxis.range].map(Number) }"
    )
    zoomed = page.evaluate(ranges)
    assert zoomed[0] > 1000
    page.get_by_role("slider").first.press("ArrowRight")
    page.wait_for_url("**step=5000*")
    settled(page)
    page.wait_for_timeout(200)
    assert flags(page) == {"step 5,000"}
    assert page.evaluate(ranges) == pytest.approx(zoomed)
    page.get_by_role("radio", name="Centred").click()
    page.wait_for_url("**view=centred*")
    settled(page)
    assert page.evaluate(ranges)[0] < 0


def test_a_button_copies_the_whole_link(browse, server):
    page = browse(f"{server}/Anisotropy", permissions=["clipboard-read", "clipboard-write"])
    assert not urlsplit(page.url).query
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert {"family", "model", "step"} <= parse_qs(urlsplit(link).query).keys()
    second = browse(link)
    assert flags(second) == flags(page)
    assert second.get_by_test_id("stAlert").count() == 0


def test_figures_follow_a_switch_of_the_theme(browse, server):
    page = browse(f"{server}/Anisotropy{VIEW}", color_scheme="light")
    assert look(page) == (LIGHT.background, LIGHT.background)
    page.get_by_test_id("stMainMenu").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    page.wait_for_function(
        "colour => { const plots = [...document.querySelectorAll('.js-plotly-plot')];"
        " return plots.length === 5 && plots.every(plot => plot._fullLayout?.paper_bgcolor === colour) }",
        arg=DARK.background,
    )
    page.wait_for_timeout(400)  # the page's own colours change over a moment
    assert look(page) == (DARK.background, DARK.background)
    assert address(page)["step"] == "4000"


def look(page) -> tuple[str, str]:
    """Background of a figure and of the page."""
    background = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    return figure(page, "by-depth")["paper"], "#" + "".join(
        f"{int(part):02x}" for part in re.findall(r"\d+", background)
    )


def test_a_model_without_measurements_leads_to_measuring_it(browse, server):
    page = browse(f"{server}/Anisotropy?family=gpt2&model=small")
    page.get_by_text("Nothing is measured for gpt2/small yet.").wait_for()
    page.get_by_role("link", name="Measure gpt2/small").click()
    page.get_by_text("Compute what is missing").wait_for()
    settled(page)
    assert address(page)["model"] == "small"


def test_a_folder_that_does_not_exist_is_an_error_that_says_what_to_do(browse, server):
    page = browse(f"{server}/Measure?family=lab&model=w8")
    page.get_by_label("Folder").fill("/no/such/folder")
    page.get_by_label("Folder").press("Enter")
    page.get_by_test_id("stAlert").filter(has_text="/no/such/folder").wait_for(timeout=60_000)
    page.get_by_text("No job yet").wait_for()


def test_measuring_a_missing_step_brings_it_to_the_map_without_a_restart(browse, server):
    page = browse(f"{server}/Singular_values?family=lab&model=w8")
    empty = page.get_by_text("Nothing is measured for lab/w8 yet.").count() == 1
    before = 0 if empty else figure(page, "singular-values-by-rank-and-step")["columns"][0]
    page.get_by_test_id("stSidebar").get_by_role("link", name="Measure").click()
    page.get_by_text("Measure · lab/w8").wait_for()
    settled(page)
    page.get_by_role("button", name="loss", exact=True).click()
    page.get_by_role("button", name="anisotropy", exact=True).click()
    page.get_by_role("button", name="alignment", exact=True).click()
    page.get_by_text(re.compile(r"Steps? .*: spectrum\. What")).wait_for()
    button = page.get_by_role("button", name=re.compile(r"Measure \d+ checkpoint"))
    count = int(re.search(r"\d+", button.inner_text()).group())
    button.click()
    ended = page.get_by_text(re.compile("^(done|failed)$"))
    ended.wait_for(timeout=90_000)
    assert ended.inner_text() == "done"
    page.get_by_text("Every checkpoint has these measures.").wait_for()
    page.get_by_test_id("stSidebar").get_by_role("link", name="Singular values").click()
    page.get_by_text("Singular values · lab/w8").wait_for()
    settled(page)
    assert figure(page, "singular-values-by-rank-and-step")["columns"] == [before + count]
    page.goto(f"{server}/Singular_values?family=lab&model=w8&step={MEASURED_LATER}")
    settled(page)
    assert flags(page) == {f"step {MEASURED_LATER}"}


def test_a_row_of_the_ranking_opens_its_run(browse, server):
    page = browse(f"{server}/?family=lab")
    page.get_by_text("What the lab found, and what it did not").wait_for()
    table = page.locator(".st-key-ranking .dvn-scroller").first
    table.scroll_into_view_if_needed()
    table.click(position={"x": 16, "y": 35 + 2 * 35 + 17})  # the box of the third row
    page.wait_for_function("!location.search.includes('w16-b4-ramp&') && location.search.includes('model=')")
    settled(page)
    chosen = address(page)["model"]
    assert chosen != "w16-b4-ramp"
    assert page.locator(".st-key-eyebrow").inner_text().endswith(f"lab/{chosen}")
    again = browse(page.url)
    assert again.locator(".st-key-eyebrow").inner_text().endswith(f"lab/{chosen}")


def test_a_finding_leads_to_its_runs_side_by_side(browse, server):
    page = browse(f"{server}/?family=lab")
    page.get_by_text("What the lab found, and what it did not").wait_for()
    page.get_by_test_id("stMain").get_by_role("link", name="Compare").first.click()
    page.wait_for_url("**/Compare?**")
    settled(page)
    assert address(page)["runs"].startswith("lab/")
    assert page.get_by_test_id("stPlotlyChart").count() == 2
