"""The same head through WeightWatcher's spectrum, where that is installed (`pip install weightwatcher`)."""

import importlib
import importlib.util
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.kernels import VOCAB, random_head
from benchmarks.timing import Line, compare
from saturation.measures.spectrum import head_spectra

WIDTH = 512


def weightwatcher_lines() -> Iterator[Line]:
    """Singular values by its default method; nothing where it is not installed.

    What it does beyond them (a power-law fit) is left out.
    """
    if importlib.util.find_spec("weightwatcher") is None:
        return
    theirs = importlib.import_module("weightwatcher.RMT_Util").svd_vals
    weight = random_head(WIDTH)
    matrix = weight.numpy()
    exact = torch.linalg.svdvals(weight.double()).numpy()

    def error(values: np.ndarray) -> float:
        return float(np.abs(np.sort(np.asarray(values, dtype=np.float64))[::-1] / exact - 1).max())

    own, other = error(head_spectra(weight).plain), error(theirs(matrix))
    line = compare(
        f"singular values of ({VOCAB}, {WIDTH}), plain and centred",
        lambda: head_spectra(weight),
        "WeightWatcher's `svd_vals` (plain)",
        lambda: theirs(matrix),
        rounds=3,
        note=f"largest relative error {own:.0e}, WeightWatcher's {other:.0e}",
    )
    yield line.aimed("faster, as accurate", line.ratio < 1 and own <= other)
