"""`python -m benchmarks`: prints the benchmark table."""

from collections.abc import Iterator

from benchmarks import pages
from benchmarks.heads import heads_lines
from benchmarks.kernels import anisotropy_line, forward_line, spectrum_lines
from benchmarks.monitor import monitor_line
from benchmarks.timing import Line


def lines() -> Iterator[Line]:
    """Each line as soon as it is measured."""
    yield from spectrum_lines()
    yield anisotropy_line()
    yield forward_line()
    yield from heads_lines()
    yield monitor_line()


def main() -> None:
    """One line at a time, so that a stopped run shows what it had."""
    print("| what | time | beside | time | ratio (lowest to highest) | |")
    print("| --- | --- | --- | --- | --- | --- |")
    for line in lines():
        print(line.row(), flush=True)
    print()
    pages.main()


main()
