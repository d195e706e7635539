"""The step cursor on figures: a click, the play bar, a zoom that stays, a switch of the theme."""

import re

import pytest
from conftest import settled
from looking import VIEW, address, chart, flags, look

from saturation.figures import DARK, LIGHT


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


def test_the_bar_plays_every_chart_and_the_page_is_run_once_where_it_rests(browse, server):
    page = browse(f"{server}/Anisotropy?family=pythia&model=14m&step=0", reduced_motion="no-preference")
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
    page.locator(".annotation-text", has_text=re.compile(r"^step 0$")).first.wait_for()
    settled(page)
    assert flags(page) == {"step 0"}


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
