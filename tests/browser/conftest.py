"""A dashboard on a free port with a known store, and headless Chromium to look at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dashboard_store

from saturation.checkpoints import library
from saturation.settings import ROOT

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-software-rasterizer",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--js-flags=--no-opt --max-lazy --single-threaded-gc",  # pages live for seconds: to optimise code costs more
]
MEASURED_LATER = 128  # the step of lab/w8 that no store of the tests holds
START_SECONDS = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker("browser")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(cache: Path, log: Path) -> Iterator[str]:
    """A fresh server on a cache folder; yields its address."""
    port = _free_port()
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "saturation", "serve", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"SATURATION_CACHE": str(cache), "SATURATION_MODE": "local"},
            stdout=stream,
            stderr=stream,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _healthy(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The dashboard did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(timeout=10)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=2) as answer:
            return answer.read() == b"ok"
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder: known measurements of pythia, and of lab/w8, whose weights are bundled, all steps but one."""
    folder = tmp_path_factory.mktemp("cache")
    store = dashboard_store.fill(folder / "measurements.duckdb")
    dashboard_store.fill_bottleneck(store)
    assert MEASURED_LATER in library.checkpoints(folder, "lab", "w8")
    with store.write() as connection:
        connection.execute(
            "DELETE FROM measurements WHERE checkpoint_id IN "
            "(SELECT checkpoint_id FROM checkpoints WHERE family = 'lab' AND model = 'w8' AND step = ?)",
            [MEASURED_LATER],
        )
        for table in ("scalars", "series"):
            connection.execute(
                f"DELETE FROM {table} WHERE measurement_id NOT IN (SELECT measurement_id FROM measurements)"
            )
    return folder


@pytest.fixture(scope="session")
def server(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(cache, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium, request: pytest.FixtureRequest) -> Callable[..., object]:
    """Open an address in a browser context of its own and wait until the page is drawn.

    prepare: a script that runs before those of the page. Contexts ask for no motion: what pulses while a page waits
    costs a processor more than the page does.
    """

    def open_address(address: str, prepare: str | None = None, **context: object) -> object:
        options = {"viewport": {"width": 1280, "height": 1000}, "accept_downloads": True, "reduced_motion": "reduce"}
        opened = chromium.new_context(**options | context)
        request.addfinalizer(opened.close)
        page = opened.new_page()
        page.set_default_timeout(60_000)
        if prepare:
            page.add_init_script(prepare)
        page.goto(address)
        settled(page)
        return page

    return open_address


def settled(page) -> None:
    """Wait until the script has run and every figure is drawn."""
    page.locator(".st-key-eyebrow p").first.wait_for()
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.wait_for_function(
        "!document.querySelector('[data-testid=stSkeleton]') &&"
        " [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every("
        "chart => chart.querySelector('.main-svg .cartesianlayer .subplot'))"
    )
    page.wait_for_timeout(150)


def copy_of(cache: Path, folder: Path) -> Path:
    shutil.copy(cache / "measurements.duckdb", folder / "measurements.duckdb")
    if (cache / "verdicts").is_dir():
        shutil.copytree(cache / "verdicts", folder / "verdicts")
    return folder


@pytest.fixture
def copied_cache(cache: Path, tmp_path: Path) -> Path:
    """A copy of the store for a server of its own."""
    return copy_of(cache, tmp_path)
