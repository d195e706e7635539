"""The dashboard's lines of the table; each module it calls prints more when run by itself."""

from collections.abc import Iterator
from statistics import median

from benchmarks.large_store import LARGE, SMALL, grown
from benchmarks.pages import page_times
from benchmarks.start import starts
from benchmarks.timing import Line
from benchmarks.visitors import VISITORS, crowds

MOST_SENT = 2_000_000


def start_lines() -> Iterator[Line]:
    """From the start of the server to the first map: sent by the server, and seen in a browser."""
    found = list(starts())
    torch = any(each.torch for each in found)
    sent = [each.sent for each in found]
    note = f"{min(sent):.2f} to {max(sent):.2f} s, of these {median(each.healthy for each in found):.2f} s until it "
    note += f"answers; processor {median(each.cpu for each in found):.2f} s; torch {'' if torch else 'not '}loaded"
    line = Line("server start to first map sent, warm cache", "", median(sent), note=note)
    yield line.aimed("3 s, no torch", max(sent) < 3 and not torch)
    seen = [each.seen for each in found if each.seen is not None]
    shown = [each.shown for each in found if each.shown is not None]
    if seen:
        ratios = [one / other for one, other in zip(seen, shown, strict=True)]
        what = "server start to first map drawn by headless Chromium"
        beside = "the same on a server that has shown it before"
        yield Line(
            what,
            beside,
            median(seen),
            median(shown),
            median(ratios),
            min(ratios),
            max(ratios),
        ).aimed("3 s", max(seen) < 3)


def page_lines() -> Iterator[Line]:
    """A click on each page: 95 % of server times, and the largest figure."""
    for item in page_times():
        note = f"median {1000 * item.median:,.0f} ms, processor {1000 * item.cpu:,.0f} ms"
        if item.figures:
            note += f", largest of {item.figures} figures {item.largest_figure / 1000:,.0f} kB"
        line = Line(f"{item.page}: a click, 95 % of them, 10 models x 154 checkpoints", "", item.tail, note=note)
        yield line.aimed("150 ms, 2 MB a figure", item.tail < 0.15 and item.largest_figure < MOST_SENT)


def store_line() -> Line:
    """The query that suffers most from a large store."""
    asked = [item for item in grown() if item.small]
    worst = max(asked, key=lambda item: item.ratio)
    others = ", ".join(f"{item.query} {item.ratio:.2g}" for item in asked if item is not worst and item.ratio > 1.5)
    return Line(
        f"queries of pages, {LARGE:,} measurements in the store; the slowest to grow of {len(asked)}: {worst.query}",
        f"{SMALL:,} measurements",
        worst.large,
        worst.small,
        worst.ratio,
        worst.low,
        worst.high,
        f"above 1.5: {others}" if others else "all others below 1.5",
    ).aimed("3 times slower", worst.ratio <= 3)


def visitors_lines() -> Iterator[Line]:
    """Pages of many visitors at either pace, beside those of one."""
    one, *others = crowds()
    for many in others:
        ratio = many.tail / one.tail
        note = f"median {1000 * many.median:,.0f} ms, {many.seen:,} pages, {len(many.errors)} errors, "
        note += f"memory {many.before:,.0f} to {many.after:,.0f} MB, {many.busy:.0%} of a core"
        name = f"{VISITORS} visitors at once, a page or step every {many.thinking:g} s each: 95 % of pages there after"
        line = Line(name, "1 visitor", many.tail, one.tail, ratio, ratio, ratio, note)
        yield line.aimed("1 s, no error", many.tail < 1 and not many.errors)
