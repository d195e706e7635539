"""`python -m benchmarks.start`: from the start of the server to the first map, sent and seen, and no torch.

The store and the verdicts are there already. "Sent": a client that speaks streamlit's protocol has the figure of the
first page. "Seen": headless Chromium, which is open and waits, has drawn it. Beside it the same browser on a server
that has shown the page before: what remains is the time of streamlit's frontend and plotly.js in the browser.
"""

import asyncio
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.visitor import serving, visit
from saturation.store import Store

ROUNDS = 2
CHROMIUM = Path("/usr/bin/chromium")
MAP = ".js-plotly-plot .heatmaplayer image"


@dataclass(frozen=True)
class Start:
    """Seconds from the start of a server until it answered (`healthy`) and until its first map was `sent`; of another
    start until a browser has `seen` it, and the same for a server that has `shown` it before (None without a browser).
    cpu: seconds of the server's processor until the map was sent. torch: whether it has loaded torch.
    """

    healthy: float
    sent: float
    seen: float | None
    shown: float | None
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


def _seen(port: int, browser: Any) -> None:
    page = browser.new_page(reduced_motion="reduce")  # without a GPU what pulses costs more than what is drawn
    page.goto(f"http://localhost:{port}/", wait_until="commit")
    page.wait_for_selector(MAP, state="attached", timeout=120_000)
    page.close()


async def _sent(port: int) -> None:
    visitor = await visit(port)
    seen = await visitor.see("", {}, figures=1)
    if seen.errors or not seen.figures:
        raise RuntimeError(f"The first page has no figure: {seen.errors}")
    await visitor.leave()


def starts(rounds: int = ROUNDS, port: int = 8597) -> Iterator[Start]:
    """Each start of a fresh process on one store, the first of which fills the disk's cache and is left out."""
    with tempfile.TemporaryDirectory() as folder, _browser() as browser:
        Store(Path(folder) / "measurements.duckdb").ensure()
        for number in range(rounds + 1):
            with serving(Path(folder), port) as server:
                with ThreadPoolExecutor(1) as elsewhere:  # playwright has an event loop of its own in this thread
                    elsewhere.submit(lambda: asyncio.run(_sent(port))).result()
                sent, cpu, torch = time.perf_counter() - server.started, server.cpu(), server.has_loaded("libtorch")
            seen = shown = None
            if browser is not None:
                with serving(Path(folder), port) as other:
                    _seen(port, browser)
                    seen = time.perf_counter() - other.started
                    again = time.perf_counter()
                    _seen(port, browser)
                    shown = time.perf_counter() - again
            if number:
                yield Start(server.healthy, sent, seen, shown, cpu, torch)


def main() -> None:
    """Print the medians of all starts."""
    found = list(starts())
    print("| starts | health check answers | first map sent | seen | seen, shown before | processor | torch loaded |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    columns = ([getattr(each, name) for each in found] for name in ("healthy", "sent", "seen", "shown", "cpu"))
    times = " | ".join(between(column) for column in columns)
    print(f"| {len(found)} | {times} | {'yes' if any(each.torch for each in found) else 'no'} |")


def between(times: list[float | None]) -> str:
    """Median, least and most of some seconds; a dash where none were measured."""
    known = [each for each in times if each is not None]
    return f"{statistics.median(known):.2f} s ({min(known):.2f} to {max(known):.2f})" if known else "-"


if __name__ == "__main__":
    main()
