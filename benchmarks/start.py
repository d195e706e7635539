"""`python -m benchmarks.start`: from the start of the server to the first map that a browser shows, and no torch.

The store is there already. The browser is open and waits: what is timed is the dashboard, not Chromium's own start.
"""

import asyncio
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.visitor import Server, serving, visit
from saturation.store import Store

ROUNDS = 3
CHROMIUM = Path("/usr/bin/chromium")
MAP = ".js-plotly-plot .heatmaplayer image"


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the server until it answered, until the run of the first page was over or its map was
    seen (`shown`: whether a browser looked), seconds of its processor, and whether it has loaded torch.
    """

    healthy: float
    first_map: float
    shown: bool
    cpu: float
    torch: bool


@contextmanager
def _browser() -> Iterator[Any]:
    """A page of headless Chromium; None where there is none."""
    if importlib.util.find_spec("playwright") is None or not CHROMIUM.exists():
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def _first_map(server: Server, browser: Any) -> float:
    if browser is None:
        asyncio.run(_first_run(server))
        return time.perf_counter() - server.started
    page = browser.new_page()
    page.goto(f"http://localhost:{server.port}/", wait_until="commit")
    page.wait_for_selector(MAP, state="attached", timeout=120_000)
    taken = time.perf_counter() - server.started
    page.close()
    return taken


async def _first_run(server: Server) -> None:
    visitor = await visit(server.port)
    seen = await visitor.see("", {})
    if seen.errors or not seen.figures:
        raise RuntimeError(f"The first page has no figure: {seen.errors}")
    await visitor.leave()


def starts(rounds: int = ROUNDS, port: int = 8597) -> Iterator[Start]:
    """Each start of a fresh process on one store, the first of which fills the disk's cache and is left out."""
    with tempfile.TemporaryDirectory() as folder, _browser() as browser:
        Store(Path(folder) / "measurements.duckdb").ensure()
        for number in range(rounds + 1):
            with serving(Path(folder), port) as server:
                first_map = _first_map(server, browser)
                found = Start(
                    server.healthy, first_map, browser is not None, server.cpu(), server.has_loaded("libtorch")
                )
            if number:
                yield found


def main() -> None:
    """Print the medians of all starts."""
    found = list(starts())
    what = "first map in the browser" if found[0].shown else "first page sent (no browser here)"
    print(f"| starts | health check answers | {what} | server's processor | torch loaded |")
    print("| --- | --- | --- | --- | --- |")
    columns = ([getattr(each, name) for each in found] for name in ("healthy", "first_map", "cpu"))
    times = " | ".join(f"{statistics.median(each):.2f} s ({min(each):.2f} to {max(each):.2f})" for each in columns)
    print(f"| {len(found)} | {times} | {'yes' if any(each.torch for each in found) else 'no'} |")


if __name__ == "__main__":
    main()
