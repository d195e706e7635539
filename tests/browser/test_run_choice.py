"""Which runs are looked at: compared by a link, of another family, from a ranking or a finding."""

from conftest import settled
from looking import VIEW, address, figure


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
