"""The view is in the address: pasted links, Back, navigation, and what a link gets wrong."""

import re
from urllib.parse import parse_qs, urlsplit

from conftest import serving, settled
from looking import VIEW, address, figure, flags


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

    second = browse(link, fresh=True)
    assert flags(second) == seen == {"step 5,000"}
    assert second.url == link
    assert second.get_by_role("radio", name="Centred").is_checked()
    assert figure(second, "singular-entropy")["names"] == ["14m · 14.1M"]
    second.reload()
    settled(second)
    assert flags(second) == {"step 5,000"}


def test_the_first_deep_link_on_a_fresh_server_opens_its_page(browse, copied_cache, tmp_path):
    with serving(copied_cache, tmp_path / "fresh.log") as server:
        page = browse(f"{server}/Anisotropy?family=pythia&model=31m&step=3000&view=centred", fresh=True)
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
    page.get_by_test_id("stSidebar").get_by_role("link", name="Measure").click()
    page.get_by_text("Measure · pythia/14m").wait_for()
    settled(page)
    page.go_back()
    page.get_by_text("Overview · pythia/14m").wait_for()
    assert urlsplit(page.url).path == "/"


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


def test_a_button_copies_the_whole_link(browse, server):
    page = browse(f"{server}/", permissions=["clipboard-read", "clipboard-write"])
    assert not urlsplit(page.url).query
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert {"family", "model", "step"} <= parse_qs(urlsplit(link).query).keys()
    second = browse(link)
    assert flags(second) == flags(page)
    assert second.get_by_test_id("stAlert").count() == 0


def test_the_width_calculator_is_part_of_the_link(browse, server):
    page = browse(f"{server}/Bottleneck{VIEW}")
    field = page.get_by_role("spinbutton", name="W-error to reach")
    field.fill("0.2")
    field.press("Enter")
    page.wait_for_url("**error=0.2**")
    settled(page)
    second = browse(page.url)
    assert second.get_by_text("needs a hidden size of").inner_text().count("0.20") == 1
