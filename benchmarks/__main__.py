"""`python -m benchmarks`: measures the table of the README, prints it line by line, and puts it there.

`python -m benchmarks NAME ...` measures only those parts (their names: `--help`) and leaves the README as it is.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator

from benchmarks import dashboard, readme
from benchmarks.heads import heads_lines
from benchmarks.kernels import anisotropy_line, spectrum_lines, text_line
from benchmarks.ngram import ngram_lines
from benchmarks.reading import range_line
from benchmarks.sweeps import sweep_lines
from benchmarks.timing import HEADER, Line
from benchmarks.weightwatcher import weightwatcher_lines


def _one(line: Callable[[], Line]) -> Callable[[], Iterator[Line]]:
    return lambda: iter([line()])


PARTS: dict[str, Callable[[], Iterator[Line]]] = {
    "start": dashboard.start_lines,
    "pages": dashboard.page_lines,
    "store": _one(dashboard.store_line),
    "visitors": dashboard.visitors_lines,
    "spectra": spectrum_lines,
    "weightwatcher": weightwatcher_lines,
    "anisotropy": _one(anisotropy_line),
    "text": _one(text_line),
    "heads": heads_lines,
    "reading": _one(range_line),
    "sweep": sweep_lines,
    "ngram": ngram_lines,
}


def main() -> None:
    """One line at a time, so that a stopped run shows what it had."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the README's table of times.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these of: {', '.join(PARTS)}")
    chosen = parser.parse_args().parts
    if unknown := sorted(set(chosen) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]}; choose from {', '.join(PARTS)}")
    began, rows = time.perf_counter(), []
    print(HEADER, flush=True)
    for name in chosen or PARTS:
        for line in PARTS[name]():
            rows.append(line.row())
            print(rows[-1], flush=True)
    minutes = (time.perf_counter() - began) / 60
    told = f"{os.cpu_count()} cores ({processor()}), {minutes:.0f} minutes"
    print(f"\n{told}")
    if not chosen:
        readme.put("\n".join([f"Measured on {told}:", "", HEADER, *rows]))


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
