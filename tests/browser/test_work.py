"""What a page lets be computed: a step measured, a corpus counted, a language trained; on a server of their own."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MEASURED_LATER, copy_of, serving, settled
from looking import VIEW, figure, flags


@pytest.fixture(scope="module")
def changed(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of that server."""
    return copy_of(cache, tmp_path_factory.mktemp("changed"))


@pytest.fixture(scope="module")
def server(changed: Path) -> Iterator[str]:
    with serving(changed, changed / "server.log") as address:
        yield address


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


def test_an_uploaded_text_is_counted_and_a_language_trained(browse, server, changed):
    words = [f"word{number * number % 97}" for number in range(4000)]
    page = browse(f"{server}/Bottleneck{VIEW}")
    page.get_by_text("Count another corpus").click()
    content = {"name": "../My <b>text.txt", "mimeType": "text/plain", "buffer": " ".join(words).encode()}
    page.locator(".st-key-corpus-upload input[type=file]").set_input_files(content)
    page.get_by_role("textbox", name="Tokenizer").fill("bpe:300")
    page.get_by_role("button", name="Count", exact=True).click()
    page.get_by_text("BPE 300", exact=False).first.wait_for(timeout=90_000)
    assert page.get_by_test_id("stException").count() == 0
    held = [path.relative_to(changed) for path in (changed / "corpora").rglob("*.txt")]
    assert [path.parts[-1] for path in held] == ["my-b-text.txt"]
    page.goto(f"{server}/Bottleneck{VIEW}&toy_rank=2&toy_vocab_size=64&toy_contexts=64&toy_scale=2")
    settled(page)
    page.get_by_role("button", name="Train its widths").click()
    page.get_by_text("from a width of 2 on; the rank is 2").wait_for(timeout=90_000)
    assert page.get_by_test_id("stException").count() == 0
