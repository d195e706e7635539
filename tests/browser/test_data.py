"""The Data page as a visitor uses it: files in, a report that stays, a pack and a table out."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import result_files
from conftest import copy_of, serving, settled
from looking import VIEW

from saturation.settings import BUNDLED


@pytest.fixture(scope="module")
def server(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What is brought in here, no other file sees."""
    folder = copy_of(cache, tmp_path_factory.mktemp("data"))
    with serving(folder, folder / "server.log") as address:
        yield address


HOSTILE = "<img src=x onerror=alert(1)> **b** [l](http:x) $a$ :red[r].json"


def upload(name: str, content: dict) -> dict:
    return {"name": name, "mimeType": "application/json", "buffer": json.dumps(content).encode()}


def test_results_are_uploaded_and_shown(browse, server):
    page = browse(f"{server}/Data?family=pythia&model=70m")
    files = [
        upload("70m_step3000.json", result_files.old()),
        upload("results_2026-01-01T10-00-00.5.json", result_files.new()),
        upload(HOSTILE, {"anything": 1}),
    ]
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(files)
    page.get_by_role("button", name="Import").click()
    report = page.locator(".st-key-import-report")
    report.get_by_text("8 results of 2 files").wait_for()
    settled(page)
    problem = report.locator("li")
    assert problem.inner_text() == (
        f"{HOSTILE} – It is no result file of the LM Evaluation Harness: it has no `results`."
    )
    assert problem.locator("img, a, .katex, code").count() == 0

    buttons = page.locator(".st-key-file-evaluations-pythia-70m-CSV button").first
    buttons.wait_for()
    with page.expect_download() as waiting:
        buttons.click()
    lines = waiting.value.path().read_text().splitlines()
    assert waiting.value.suggested_filename == "evaluations-pythia-70m.csv"
    assert len(lines) == 1 + 4
    assert any(line.startswith("pythia,70m,3000,lambada_openai,perplexity,0,142.5,5.5,False") for line in lines)

    with page.expect_download() as waiting:
        page.locator(".st-key-file-evaluations-pythia-70m-Parquet button").first.click()
    assert waiting.value.suggested_filename == "evaluations-pythia-70m.parquet"
    values = pd.read_parquet(waiting.value.path())
    assert values.loc[values["metric"] == "perplexity", "value"].tolist() == [142.5]

    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text(re.compile(r"\d+ rows in ")).wait_for()
    with page.expect_download() as waiting:
        page.locator(".st-key-file-query-CSV button").first.click()
    assert waiting.value.path().read_text().startswith("family,model,best_loss,best_step,last_loss,worse")

    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the pack").click()
    assert waiting.value.suggested_filename == "pythia-70m.pack.zip"
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert json.loads(archive.read("manifest.json"))["rows"]["evaluations"] == 4
    assert report.is_visible()
    report.get_by_role("button", name="Dismiss").click()
    report.wait_for(state="detached")

    page.get_by_test_id("stSidebar").get_by_role("link", name="Performance").click()
    page.get_by_text(re.compile("Performance · pythia/70m")).wait_for()


def test_a_phone_shows_the_report_without_sideways_scrolling(browse, server):
    page = browse(f"{server}/Data?family=pythia&model=70m", viewport={"width": 390, "height": 844}, has_touch=True)
    files = [upload("70m_step3000.json", result_files.old()), upload(HOSTILE, {})]
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(files)
    page.get_by_role("button", name="Import").click()
    report = page.locator(".st-key-import-report")
    report.wait_for()
    settled(page)
    widths = "[document.documentElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth]"
    assert max(page.evaluate(widths)) <= 390
    box = report.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


REFUSED = "is not available here"
ONE = "Only one query at a time is answered, and only one that reads"
# No two in a row are refused with the same words: a sentence that is found is that of the last query.
QUERIES = [  # `tests/test_console.py` has many more of each kind
    ("SELECT * FROM read_csv('/etc/passwd')", f"The function read_csv {REFUSED}"),
    ("COPY (SELECT 1) TO '/tmp/taken.csv'", ONE),
    ("SELECT * FROM '/etc/passwd'", "There is no table '/etc/passwd' here"),
    ("SELECT 1; DROP TABLE texts", ONE),
    ("SELECT getenv('HOME')", f"The function getenv {REFUSED}"),
]


def test_queries_that_reach_outside_are_refused_in_a_sentence(browse, server):
    page = browse(f"{server}/Data{VIEW}")
    field = page.get_by_role("textbox", name="Query")
    for sql, said in QUERIES:
        field.fill(sql)
        page.get_by_role("button", name="Run", exact=True).click()
        alert = page.get_by_test_id("stAlert").filter(has_text=said)
        alert.wait_for()
        assert "\n" not in alert.get_by_test_id("stMarkdownContainer").inner_text().strip()
    settled(page)
    assert page.get_by_text("root:").count() == 0
    assert page.locator(".st-key-file-query-CSV").count() == 0


def pack(name: str, **changed: bytes) -> dict:
    """The bundled pack as it is uploaded, with some of its entries replaced or added."""
    held = io.BytesIO()
    with zipfile.ZipFile(BUNDLED / "packs" / "bottleneck.pack.zip") as bundled:
        entries = {entry: bundled.read(entry) for entry in bundled.namelist()} | changed
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return {"name": name, "mimeType": "application/zip", "buffer": held.getvalue()}


def test_packs_that_reach_outside_or_swell_are_refused_in_a_sentence(browse, server):
    page = browse(f"{server}/Data{VIEW}")
    files = [
        pack("a.pack.zip", **{"../escaped.txt": b"x"}),
        pack("b.pack.zip", **{"/etc/escaped": b"x"}),
        pack("c.pack.zip", **{"texts.parquet": bytes(300_000_000)}),
    ]
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(files)
    page.get_by_role("button", name="Import").click()
    report = page.locator(".st-key-import-report")
    report.get_by_text("Nothing was imported.").wait_for()
    problems = report.locator("li").all_inner_texts()
    assert len(problems) == len(files)
    for problem, name, said in zip(
        problems,
        "abc",
        ("'../escaped.txt', which is no table", "'/etc/escaped', which is no table", "300 MB"),
        strict=True,
    ):
        assert problem.startswith(f"{name}.pack.zip – ")
        assert said in problem
        assert "\n" not in problem


def test_a_file_that_cannot_be_made_is_said(browse, server):
    page = browse(f"{server}/Data?family=pythia&model=14m")
    # What streamlit writes under a button whose file failed; the reason is remembered in the library's tests.
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<div data-testid=stDownloadButtonError>Failed</div>')"
    )
    page.get_by_test_id("stToast").wait_for()
    assert "The file could not be made; reload the page and try again." in page.get_by_test_id("stToast").inner_text()
    assert page.get_by_test_id("stDownloadButtonError").is_hidden()
