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
from saturation.store import summary

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
    "--process-per-site",  # of one context: see `Tabs`
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
        summary.refresh_all(connection)
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


VIEWPORT = {"width": 1280, "height": 1000}
# No motion: what pulses while a page waits costs a processor more than the page does.
MEDIA = {"color_scheme": "light", "reduced_motion": "reduce"}


class Tabs:
    """Tabs of a browser context that are lent to one test after the other, each time as empty as new ones.

    To read and compile the scripts of a page takes most of the time of the first load in a context; a process of the
    browser that has done so once need not do it again.
    """

    def __init__(self, chromium) -> None:
        self.context = chromium.new_context(accept_downloads=True)
        self.free: list = []
        self.lent: list = []  # each with the session that holds what was wished for it

    def lend(
        self,
        prepare: str | None = None,
        viewport: dict[str, int] = VIEWPORT,
        has_touch: bool = False,
        permissions: tuple[str, ...] = (),
        **media: str,
    ):
        """prepare: a script that runs before those of the page."""
        page = self.free.pop() if self.free else self.context.new_page()
        session = self.context.new_cdp_session(page)
        self.lent.append((page, session))
        page.bring_to_front()  # one behind another is drawn once a second
        page.set_default_timeout(60_000)
        page.set_viewport_size(viewport)
        page.emulate_media(**MEDIA | media)
        self.context.grant_permissions(list(permissions))
        session.send("Emulation.setTouchEmulationEnabled", {"enabled": has_touch})
        if prepare:
            session.send("Page.enable")
            session.send("Page.addScriptToEvaluateOnNewDocument", {"source": prepare})
        return page

    def take_back(self) -> None:
        """All of them, without what their pages have stored; what else was opened is closed."""
        for page, session in self.lent:
            page.evaluate("localStorage.clear(); sessionStorage.clear()")
            page.goto("about:blank")
            session.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
            session.detach()  # with which the script goes
            self.free.append(page)
        self.lent.clear()
        self.context.clear_cookies()
        self.context.clear_permissions()
        for page in self.context.pages:
            if page not in self.free:
                page.close()


@pytest.fixture(scope="session")
def tabs(chromium) -> Tabs:
    return Tabs(chromium)


@pytest.fixture
def browse(chromium, tabs: Tabs) -> Iterator[Callable[..., object]]:
    """Open an address in an empty tab and wait until the page is drawn; fresh: in a context that nothing was in."""
    new: list[Tabs] = []

    def open_address(address: str, fresh: bool = False, **wishes: object) -> object:
        if fresh:
            new.append(Tabs(chromium))
        page = (new[-1] if fresh else tabs).lend(**wishes)
        page.goto(address)
        settled(page)
        return page

    yield open_address
    tabs.take_back()
    for each in new:
        each.context.close()


# Ends after the imports that the page has begun: only then are its own components more than their markup.
ONE_MORE_IMPORT = "() => import(URL.createObjectURL(new Blob([''], {type: 'text/javascript'}))).then(() => true)"


def settled(page) -> None:
    """Wait until the script has run, every figure is drawn, and the components' scripts have run."""
    page.locator(".st-key-eyebrow p").first.wait_for()
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.wait_for_function(
        "!document.querySelector('[data-testid=stSkeleton]') &&"
        " [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every("
        "chart => chart.querySelector('.main-svg .cartesianlayer .subplot'))"
    )
    page.evaluate(ONE_MORE_IMPORT)
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
