"""How much memory a checkpoint takes to be measured, and how much there is: what does not fit is refused beforehand."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from saturation.errors import InputError, MemoryBoundError
from saturation.jobs.request import PASS_MEASURES
from saturation.store import CheckpointRow

GB = 1e9
# Not worth asking the machine how much it has.
SMALL = 1_000_000_000
# Python with torch and transformers, before anything is loaded.
PROCESS_BYTES = 600_000_000
# Of each layer the anisotropy keeps a sample of vectors in float32 (`measures.anisotropy.SAMPLE`).
SAMPLE = 8192
# States of a batch of windows and their attention inside one layer, and the logits of a chunk. An upper bound: a model
# of 33 million parameters, width 512 and 4 layers took 922 MB at its peak where 1,274 MB are foretold.
WORKING_BYTES = 400_000_000
ITEM_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


class Sizes(NamedTuple):
    """What the memory and time of a checkpoint depend on. head_item_bytes: of a weight of the head in its file."""

    hidden_size: int
    vocab_size: int
    layers: int
    parameters: int
    head_item_bytes: int = 4


def needed(sizes: Sizes, measures: Sequence[str], dtype: str) -> int:
    """Bytes of memory that these measures of a checkpoint take, the process itself included.

    dtype: of the model that a text is run through.
    """
    hidden, head = sizes.hidden_size, sizes.vocab_size * sizes.hidden_size * sizes.head_item_bytes
    # A block of rows in float64 and a product of it, the Gram matrix, its copy and its workspace.
    spectrum = head + 8 * (2 * SAMPLE * hidden + 4 * hidden**2)
    if not any(measure in PASS_MEASURES for measure in measures):
        return PROCESS_BYTES + spectrum
    model = sizes.parameters * ITEM_BYTES[dtype] + head
    layers = (sizes.layers + 2) * SAMPLE * hidden * 4
    return PROCESS_BYTES + max(spectrum, model + layers + WORKING_BYTES)


def bound() -> int:
    """Bytes that a worker may use: SATURATION_MEMORY_GB, else nine tenths of the machine's or container's memory.

    Raises InputError for a setting that is no positive number.
    """
    stated = os.environ.get("SATURATION_MEMORY_GB")
    if stated:
        try:
            gigabytes = float(stated)
        except ValueError:
            gigabytes = 0.0
        if not 0 < gigabytes < float("inf"):
            raise InputError(f"SATURATION_MEMORY_GB is '{stated}'; set it to a number of gigabytes, such as 16.")
        return int(gigabytes * GB)
    from distributed.system import MEMORY_LIMIT  # knows containers

    return int(0.9 * MEMORY_LIMIT)


def check(
    name: str, row: CheckpointRow, head_item_bytes: int, measures: Sequence[str], dtype: str, most_bytes: int | None
) -> None:
    """Raises MemoryBoundError, with the number that it needs, for a checkpoint that does not fit.

    most_bytes: a worker's share; None for `bound`.
    """
    parameters = row.parameters or (row.weight_bytes or 0) // head_item_bytes
    sizes = Sizes(row.hidden_size, row.vocab_size, row.layers or 1, parameters, head_item_bytes)
    needs = needed(sizes, measures, dtype) if measures else 0
    if needs < SMALL:
        return
    most_bytes = bound() if most_bytes is None else most_bytes
    if needs > most_bytes:
        raise MemoryBoundError(
            f"{name} needs about {needs / GB:,.1f} GB of memory and {most_bytes / GB:,.1f} GB may be used; use a "
            "larger machine, a smaller --dtype, fewer measures, or raise SATURATION_MEMORY_GB."
        )
