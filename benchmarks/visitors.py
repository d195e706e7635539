"""`python -m benchmarks.visitors [VISITORS] [SECONDS]`: many visitors of one dashboard at once, beside one alone.

Each opens a page, looks at it for a while, moves the step twice, and goes on to another page: once at the pace of
readers, ten seconds a view on average, and once at a pace that fills one process, two seconds a view.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.pages import MODELS, STEPS, fill
from benchmarks.visitor import Seen, Server, path_of, serving, visit
from saturation.store import Store
from saturation.ui.pages import PAGES

VISITORS, SECONDS = 50, 20.0
READING, HURRYING = 10.0, 2.0  # seconds that a visitor looks at a view, on average
CLICKS_A_PAGE = 3


@dataclass(frozen=True)
class Crowd:
    """So many visitors, each of whom looks at a view for so many seconds: pages seen, seconds until each was there
    (median, 95 and 100 of 100), errors, share of one processor that the server took, its memory in MB before and after.
    """

    visitors: int
    thinking: float
    seen: int
    median: float
    tail: float
    longest: float
    errors: list[str]
    busy: float
    before: float
    after: float


async def _browse(port: int, number: int, until: float, thinking: float) -> list[Seen]:
    """One visitor, until the clock of the loop says so."""
    random, clock = np.random.default_rng(number), asyncio.get_running_loop().time
    seen: list[Seen] = []
    await asyncio.sleep(random.uniform(0, thinking))
    visitor = await visit(port)
    while clock() < until:
        page = path_of(PAGES[int(random.integers(len(PAGES)))].path)
        model = MODELS[int(random.integers(len(MODELS)))]
        for _ in range(CLICKS_A_PAGE):
            address = {"family": "pythia", "model": model, "step": str(STEPS[int(random.integers(len(STEPS)))])}
            seen.append(await visitor.see(page, address))
            await asyncio.sleep(random.exponential(thinking))
            if clock() > until:
                break
    await visitor.leave()
    return seen


async def _crowd(server: Server, visitors: int, thinking: float, seconds: float) -> Crowd:
    before, cpu = server.megabytes(), server.cpu()
    until = asyncio.get_running_loop().time() + seconds
    found = await asyncio.gather(
        *(_browse(server.port, number, until, thinking) for number in range(visitors)), return_exceptions=True
    )
    failed = [f"{type(each).__name__}: {each}" for each in found if isinstance(each, BaseException)]
    seen = [page for each in found if not isinstance(each, BaseException) for page in each]
    median, tail, longest = np.quantile([page.seconds for page in seen], [0.5, 0.95, 1.0])
    return Crowd(
        visitors,
        thinking,
        len(seen),
        float(median),
        float(tail),
        float(longest),
        [*failed, *(error for page in seen for error in page.errors)],
        (server.cpu() - cpu) / seconds,
        before,
        server.megabytes(),
    )


def crowds(visitors: int = VISITORS, seconds: float = SECONDS, port: int = 8598) -> Iterator[Crowd]:
    """One visitor in a hurry, then all at either pace, on a store of ten models with 154 checkpoints.

    Its pages have been opened once. Readers are watched for twice as long, as they see fewer pages.
    """
    with tempfile.TemporaryDirectory() as folder:
        fill(Store(Path(folder) / "measurements.duckdb"))
        with serving(Path(folder), port) as server:
            asyncio.run(_open_all(server))
            yield asyncio.run(_crowd(server, 1, HURRYING, seconds))
            yield asyncio.run(_crowd(server, visitors, READING, 2 * seconds))
            yield asyncio.run(_crowd(server, visitors, HURRYING, seconds))


async def _open_all(server: Server) -> None:
    visitor = await visit(server.port)
    for page in PAGES:
        for model in MODELS:
            await visitor.see(path_of(page.path), {"family": "pythia", "model": model, "step": "71000"})
    await visitor.leave()


def main(visitors: int = VISITORS, seconds: float = SECONDS) -> None:
    """Print a line for one visitor and a line for all."""
    print("| visitors | a view every | pages | median | 95 % | longest | errors | server's processor | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for item in crowds(visitors, seconds):
        times = " | ".join(f"{1000 * value:,.0f} ms" for value in (item.median, item.tail, item.longest))
        print(
            f"| {item.visitors} | {item.thinking:g} s | {item.seen} | {times} "
            f"| {len(item.errors)} | {item.busy:.0%} of one | {item.before:,.0f} to {item.after:,.0f} MB |",
            flush=True,
        )
        for error in sorted(set(item.errors))[:5]:
            print(f"  {error}")


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, float), sys.argv[1:], strict=False)))
