"""What the browser shows: the address, the figures behind the charts, colours."""

import json
import re
from urllib.parse import parse_qs, urlsplit

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


def look(page) -> tuple[str, str]:
    """Background of a figure and of the page."""
    background = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    return figure(page, "by-depth")["paper"], "#" + "".join(
        f"{int(part):02x}" for part in re.findall(r"\d+", background)
    )


def save(page, kind: str, title: str | None = None) -> tuple[str, bytes]:
    """Name and content of a file of the dialog; with `title`, of the dialog that its figure's button opens."""
    if title:
        page.locator(f".st-key-save-{title} button").first.click()
        page.locator(".st-key-saved-figure .main-svg .cartesianlayer .subplot").first.wait_for()
        page.wait_for_timeout(300)
    with page.expect_download() as waiting:
        page.locator(".st-key-save-buttons").get_by_role("button", name=kind, exact=True).click()
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def nameless(page) -> list[str]:
    """Controls that a screen reader could not name, as the browser itself computes names."""
    controls = {"button", "link", "textbox", "combobox", "slider", "spinbutton", "checkbox", "radio", "switch", "tab"}
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return [
        f"{node['role']['value']} {node.get('backendDOMNodeId')}"
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] in controls
        and not node.get("name", {}).get("value", "").strip()
    ]
