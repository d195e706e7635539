"""`python -m benchmarks`: prints the benchmark table."""

import sys

from benchmarks import pages
from benchmarks.heads import heads_lines
from benchmarks.kernels import anisotropy_line, forward_line, spectrum_lines


def main() -> None:
    """One line at a time, so that a stopped run shows what it had."""
    print("| what | time | beside | time | ratio (lowest to highest) | |")
    print("| --- | --- | --- | --- | --- | --- |")
    for line in (*spectrum_lines(), anisotropy_line(), forward_line(), *heads_lines()):
        print(line.row())
        sys.stdout.flush()
    print()
    pages.main()


main()
