"""The dashboard without a mouse: the keys reach the menu and the step, and what has the focus can be seen."""

from urllib.parse import parse_qs, urlsplit

from conftest import settled
from looking import VIEW, flags

MOST = 120  # strokes of the tabulator
# Role and name of what has the focus, inside of components too.
FOCUSED = """() => {
  let at = document.activeElement;
  while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  const box = at.getBoundingClientRect();
  return { what: at.type === 'range' ? 'slider' : at.tagName.toLowerCase(), text: at.textContent.trim(),
    box: { x: box.x, y: box.y, width: box.width, height: box.height } };
}"""


def tab_to(page, what: str, text: str = "") -> dict:
    """Strike the tabulator until something of this kind has the focus."""
    for _ in range(MOST):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUSED)
        if found["what"] == what and found["text"].endswith(text):  # an icon has a word of its own before it
            return found
    raise AssertionError(f"No {what} {text} is reached by the tabulator.")


def picture(page, box: dict) -> bytes:
    """What is seen at a place and closely around it."""
    x, y = max(box["x"] - 6, 0), max(box["y"] - 6, 0)
    return page.screenshot(clip={"x": x, "y": y, "width": box["width"] + 12, "height": box["height"] + 12})


def seen(page, box: dict) -> bool:
    """Whether the place looks different once the focus has left it."""
    with_focus = picture(page, box)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(300)
    return picture(page, box) != with_focus


def test_a_step_is_chosen_by_keys_alone(browse, server):
    page = browse(f"{server}/{VIEW}")
    slider = tab_to(page, "slider")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**step=5000*")
    settled(page)
    assert flags(page) == {"step 5,000"}
    assert page.evaluate(FOCUSED)["what"] == "slider"  # and stays where it was
    assert seen(page, slider["box"])


def test_a_page_is_opened_by_keys_alone(browse, server):
    page = browse(f"{server}/Measure{VIEW}")
    link = tab_to(page, "a", "Method")
    assert seen(page, link["box"])
    page.get_by_test_id("stSidebar").get_by_role("link", name="Method").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/Method?**")
    settled(page)
    assert parse_qs(urlsplit(page.url).query)["model"] == ["14m"]
