"""The Method page: every definition is whole, and every figure leads to its own."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from saturation.errors import UnknownNameError
from saturation.method import ENTRIES, entry
from saturation.settings import ROOT

SOURCES = [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "saturation" / "ui").glob("*.py")]


@pytest.mark.parametrize("key", ENTRIES)
def test_a_definition_names_its_source_and_its_limits(key: str) -> None:
    item = entry(key)
    assert re.search(r"ours|arXiv|\d{4}|Harness", item.source)
    assert len(item.text) > 80
    assert len(item.caveats.split()) >= 8
    assert item.caveats.strip().endswith(".")
    assert item.formula.count("{") == item.formula.count("}")


def test_an_unknown_one_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="anisotropy"):
        entry("anisotropie")


def test_every_figure_leads_to_a_definition_that_exists() -> None:
    calls, named = 0, set()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        calls += len(re.findall(r"(?<![\w.])chart\(\n", text))
        named |= set(re.findall(r'method="([\w-]+)"', text))
    assert calls > 10
    assert named <= set(ENTRIES)


def test_the_one_asked_for_is_on_top() -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["entry"] = "w-error"
    app.switch_page("pages/9_Method.py")
    app.run()
    assert not app.exception
    titles = [heading.value for heading in app.subheader]
    assert titles[0] == entry("w-error").title
    assert len(titles) == len(ENTRIES) + 1
    assert [heading.value for heading in app.header] == list(dict.fromkeys(item.group for item in ENTRIES.values()))


def test_a_definition_that_there_is_not(cache: object) -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["entry"] = "<b>x</b>"
    app.switch_page("pages/9_Method.py")
    app.run()
    assert not app.exception
    assert "There is no definition" in app.warning[0].value
