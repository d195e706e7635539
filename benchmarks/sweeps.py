"""A sweep of 60 checkpoints by two workers beside one, each on a cache folder of its own.

Trained now: 60 checkpoints of a lab run, each with spectrum, anisotropy and loss on 30,000 tokens. The commands are
what a user types, their start included. `python -m benchmarks.sweeps` prints the line.
"""

import tempfile
from pathlib import Path

from benchmarks.command import saturation
from benchmarks.kills import checkpoints
from benchmarks.timing import HEADER, Line, of_turns, seconds_of

COUNT, TOKENS = 60, 30_000


def sweep_line(turns: int = 1) -> Line:
    """One worker process of one thread, and two."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = checkpoints(folder, COUNT)

        def sweep(workers: int, turn: int) -> float:
            options = ["--text", "lab-language", "--max-tokens", str(TOKENS), "--measures", "spectrum,anisotropy,loss"]
            cache = folder / f"cache-{workers}-{turn}"
            arguments = ["sweep", str(run), *options, "--workers", str(workers)]
            return seconds_of(lambda: saturation(cache, *arguments))

        # One worker may use all processors by itself: it is what two have to beat.
        taken = [(sweep(2, turn), sweep(1, turn)) for turn in range(turns)]
    line = of_turns(f"sweep of {COUNT} checkpoints, {TOKENS:,} tokens each, 2 workers", "1 worker", taken)
    return line.aimed("1.7 times faster", line.ratio <= 1 / 1.7)


if __name__ == "__main__":
    print(HEADER)
    print(sweep_line().row())
