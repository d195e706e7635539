"""`python -m benchmarks.concurrency [SECONDS]`: 16 readers and 2 writers on one store, each a process.

Every value that is written can be worked out from its name, so that a reader knows a wrong row when it sees one; every
row that a writer was told to be written must be there for whoever asks later.
"""

import multiprocessing
import sys
import tempfile
import time
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from saturation.store import CheckpointRow, Measurement, Store, queries

READERS, WRITERS = 16, 2
LENGTH = 64


def row(writer: int, step: int) -> Measurement:
    """A spectrum whose numbers follow from who wrote it and when."""
    checkpoint = CheckpointRow(
        family="local",
        model=f"run~{writer}",
        step=step,
        source=f"writer {writer}",
        revision=None,
        content_id=f"{writer}-{step}",
        hidden_size=LENGTH,
        layers=2,
        vocab_size=1000,
        parameters=1000,
    )
    return Measurement(
        checkpoint=checkpoint,
        measure="spectrum",
        version=1,
        dtype="float32",
        device="cpu",
        measured_at=datetime(2026, 1, 1, tzinfo=UTC),
        seconds=0.1,
        bytes_read=step,
        software="benchmark",
        scalars={"singular_entropy": writer + step / 1e4},
        series={"singular_values": [writer * 1e6 + step + place / LENGTH for place in range(LENGTH)]},
    )


def store_of(path: Path) -> Store:
    return Store(path, bundled=path.parent / "no-packs")


def write(path: Path, writer: int, last: Any, ended: Event, found: Any) -> None:
    """Write row after row; `last` is the step that is known to be there."""
    store, waits, errors = store_of(path), [], []
    step = 0
    while not ended.is_set():
        start = time.perf_counter()
        try:
            store.add([row(writer, step)])
        except Exception as error:  # noqa: BLE001 (all are counted)
            errors.append(repr(error))
            continue
        waits.append(time.perf_counter() - start)
        last[writer] = step
        step += 1
    found.put(("writers", waits, errors, 0))


def read(path: Path, reader: int, last: Any, ended: Event, found: Any) -> None:
    """Ask for one measurement, or for all of a run; count what is wrong or missing."""
    store, waits, errors, wrong = store_of(path), [], [], 0
    random = np.random.default_rng(reader)
    while not ended.is_set():
        writer = int(random.integers(WRITERS))
        known = last[writer]
        if known < 0:
            time.sleep(0.01)
            continue
        start = time.perf_counter()
        try:
            if random.random() < 0.5:
                step = int(random.integers(known + 1))
                expected = row(writer, step)
                held = store.load([expected.measurement_id]).get(expected.measurement_id)
                right = held is not None and held["scalars"] == expected.scalars
                right = right and held["series"] == expected.series
                wrong += not right
            else:
                seen = queries.trajectory(store, "local", [f"run~{writer}"])
                steps = seen["step"].to_numpy()
                right = np.array_equal(steps, np.arange(len(steps))) and len(steps) > known
                right &= np.allclose(seen["singular_entropy"], writer + steps / 1e4, rtol=0, atol=1e-12)
                wrong += not right
        except Exception as error:  # noqa: BLE001 (all are counted)
            errors.append(repr(error))
            continue
        waits.append(time.perf_counter() - start)
    found.put(("readers", waits, errors, wrong))


def main(seconds: float = 60.0) -> int:
    """Run all at once and print what they met; 1 where an error or a wrong row was seen."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "measurements.duckdb"
        store_of(path).ensure()
        last, ended, found = context.Array("i", [-1] * WRITERS), context.Event(), context.Queue()
        processes = [context.Process(target=write, args=(path, n, last, ended, found)) for n in range(WRITERS)]
        processes += [context.Process(target=read, args=(path, n, last, ended, found)) for n in range(READERS)]
        for process in processes:
            process.start()
        time.sleep(seconds)
        ended.set()
        results = [found.get(timeout=120) for _ in processes]
        for process in processes:
            process.join()
        problems = 0
        for kind in ("readers", "writers"):
            waits = np.array([wait for who, waits, _, _ in results if who == kind for wait in waits])
            errors = [error for who, _, errors, _ in results if who == kind for error in errors]
            wrong = sum(wrong for who, _, _, wrong in results if who == kind)
            problems += len(errors) + wrong
            print(
                f"{kind}: {len(waits):,} done, {len(errors)} errors, {wrong} wrong; seconds: median "
                f"{np.median(waits):.3f}, 95 % {np.quantile(waits, 0.95):.3f}, longest {waits.max():.3f}"
            )
            for error in sorted(set(errors))[:5]:
                print(f"  {error}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*(float(value) for value in sys.argv[1:])))
