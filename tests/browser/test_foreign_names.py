"""Names that try to be more than names: shown as text on every page and in every file, and nothing of them is run.

No door lets such a model in (`test_hosted_public.py`); here one lies in the store all the same.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import dashboard_store
import pytest
from conftest import copy_of, serving, settled
from looking import VIEW, address, save

from saturation.store import Store

EVIL = "<img src=x onerror=hit()> <b>bold $x^2$ **m** [l](http:x) %{x}"
ARMED = "window.hits = 0; window.hit = window.alert = () => { window.hits += 1 }"
# Elements that only the name could have brought.
BROUGHT = "img[src='x'], a[href='http:x'], .katex:has-text('x^2'), b:has-text('bold'), strong:text-is('m')"
STEPS = (0, 1000, 2000)
PAGES = ("Overview", "Performance", "Anisotropy", "Singular values", "Bottleneck", "Compare", "Measure", "Data")


@pytest.fixture(scope="module")
def server(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store in which a run, its text and the tokens at the ends of its directions have such names."""
    folder = copy_of(cache, tmp_path_factory.mktemp("foreign"))
    store = Store(folder / "measurements.duckdb")
    text = replace(dashboard_store.TEXT, text_id="foreign", name=EVIL)
    names = (EVIL, f"{EVIL} again")  # two, so that there is something to compare
    for step, model in product(STEPS, names):
        for row in [*dashboard_store.measurements("14m", step), *dashboard_store.heads("14m", step)]:
            named = replace(row.checkpoint, family="local", model=model, content_id=f"{model} {step}")
            labels = {key: [EVIL, "<b>&"] for key in row.labels}
            store.add([replace(row, checkpoint=named, text=text if row.text else None, labels=labels)])
    with serving(folder, folder / "server.log") as running:
        yield running


def opened(browse, address: str):
    """The page, in which whatever a name gets to run is counted."""
    return browse(address, prepare=ARMED)


def assert_harmless(page) -> None:
    assert page.evaluate("window.hits") == 0
    assert page.locator(BROUGHT).count() == 0
    assert page.get_by_test_id("stException").count() == 0


def test_a_name_is_text_on_every_page(browse, server):
    page = opened(browse, f"{server}/?family=local&model={quote(EVIL)}&step=1000")
    for name in PAGES:
        page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True).click()
        page.locator(".st-key-eyebrow p", has_text=name).first.wait_for()
        settled(page)
        assert page.get_by_text(EVIL).count() >= 1
        plot = page.locator(".nsewdrag")
        if plot.count():
            plot.first.scroll_into_view_if_needed()
            plot.first.hover(force=True)
            page.wait_for_timeout(200)
        assert_harmless(page)


def test_a_name_is_text_in_the_files_of_a_figure(browse, server, tmp_path):
    page = opened(browse, f"{server}/Singular_values?family=local&model={quote(EVIL)}&step=1000")
    name, svg = save(page, "SVG", "singular-values-by-rank-and-step")
    assert re.fullmatch(r"[a-z0-9-]+\.svg", name)
    root = ElementTree.fromstring(svg)
    kinds = {element.tag.rpartition("}")[2].lower() for element in root.iter()}
    assert not kinds & {"img", "script", "foreignobject", "a"}
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]
    name, html = save(page, "HTML")
    assert re.fullmatch(r"[a-z0-9-]+\.html", name)
    assert_harmless(page)
    (tmp_path / "alone.html").write_bytes(html)
    alone = page.context.new_page()
    alone.add_init_script(ARMED)
    alone.goto((tmp_path / "alone.html").as_uri())
    alone.locator("#figure[data-drawn=yes]").wait_for()
    assert alone.evaluate("window.hits") == 0
    assert alone.locator(BROUGHT).count() == 0
    assert alone.get_by_text("<img src=x onerror=hit()>").count() >= 1


def test_what_a_link_brings_is_said_as_text_and_a_valid_view_shown(browse, server):
    wrong = {"family": "<script>hit()</script>", "model": EVIL, "step": "abc", "view": "<img src=x onerror=hit()>"}
    query = "&".join(f"{key}={quote(value)}" for key, value in wrong.items())
    page = opened(browse, f"{server}/Compare?{query}&runs={quote('local/<script>hit()</script>')}")
    said = " ".join(page.get_by_test_id("stAlert").all_inner_texts())
    for value in wrong.values():
        assert f"“{value}”" in said
    assert_harmless(page)
    assert page.locator("h1").is_visible()
    page.goto(f"{server}/{VIEW}")
    settled(page)
    assert page.get_by_test_id("stAlert").count() == 0
    assert address(page)["model"] == "14m"
