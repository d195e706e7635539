"""Every page with its figures, on a desk and on a phone; and where its links lead."""

import pytest
from conftest import settled
from looking import VIEW, address, nameless

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
    assert nameless(page) == []
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


def test_a_model_without_measurements_leads_to_measuring_it(browse, server):
    page = browse(f"{server}/Anisotropy?family=gpt2&model=small")
    page.get_by_text("Nothing is measured for gpt2/small yet.").wait_for()
    page.get_by_role("link", name="Measure gpt2/small").click()
    page.get_by_text("Compute what is missing").wait_for()
    settled(page)
    assert address(page)["model"] == "small"
