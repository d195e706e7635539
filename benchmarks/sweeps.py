"""A sweep of 60 checkpoints by two workers beside one, each on a cache folder of its own.

Trained now: 60 checkpoints of a lab run of width 64, each with spectrum, anisotropy and loss on 40,000 tokens: a
second and a quarter of computing, where a Pythia-70M takes a minute. The commands are what a user types, their start
included: a worker process that has read torch and transformers works from the tenth second on, a single one from the
sixth. Reading the next checkpoint and writing the last ones overlap with computing in each.
`python -m benchmarks.sweeps` prints the lines.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.command import saturation
from benchmarks.kills import checkpoints
from benchmarks.timing import HEADER, Line, of_turns, seconds_of

RUN, COUNT, TOKENS = "w64", 60, 40_000
# Products of small matrices for two seconds: what a processor does beside another that does the same.
PRODUCTS = """
import time
import numpy as np
matrix, done, end = np.random.default_rng(0).random((256, 256)), 0, time.perf_counter() + 2
while time.perf_counter() < end:
    matrix @ matrix
    done += 1
print(done)
"""


def products(processes: int) -> int:
    """Products that so many processes of one thread do together."""
    command, env = [sys.executable, "-c", PRODUCTS], os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(int(process.communicate()[0]) for process in running)


def sweep_lines() -> Iterator[Line]:
    """Two worker processes of one thread each beside one such, and beside one that may use all processors."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = checkpoints(folder, COUNT, RUN)

        def sweep(name: str, workers: int, **env: str) -> float:
            options = ["--text", "lab-language", "--max-tokens", str(TOKENS), "--measures", "spectrum,anisotropy,loss"]
            arguments = ["sweep", str(run), *options, "--workers", str(workers)]
            return seconds_of(lambda: saturation(folder / f"cache-{name}", *arguments, env=os.environ | env))

        two, one = sweep("two", 2), sweep("one", 1, OMP_NUM_THREADS="1")
        free = sweep("free", 1)
    name = f"sweep of {COUNT} checkpoints (lab, width 64), {TOKENS:,} tokens each, 2 workers"
    line = of_turns(name, "1 worker of one thread, as each of the two", [(two, one)])
    gains = sorted(products(2) / products(1) for _ in range(5))
    limit = (
        f"bare matrix products in two processes: {gains[2]:.2f} ({gains[0]:.2f} to {gains[-1]:.2f}) times those of one"
    )
    yield line.aimed("1.7 times faster", line.ratio <= 1 / 1.7, limit)
    yield of_turns("the same", "1 worker that may use both processors", [(two, free)])


if __name__ == "__main__":
    print(HEADER)
    for line in sweep_lines():
        print(line.row(), flush=True)
