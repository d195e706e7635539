"""What measuring would cost, before it starts: bytes to download, memory, time. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from saturation.jobs import memory
from saturation.jobs.head_request import default_count
from saturation.jobs.request import HEAD_MEASURES, HEADS, PASS_MEASURES
from saturation.store import Store, queries

# Two cores, from the README's benchmark: a head of (50304, 512), and 8,192 tokens through 70 million parameters. They
# count as one run each, so that a machine that has measured small models only does not guess the large ones from them.
ANCHORS = {"spectrum": (50304 * 512**2, 0.45), "alignment": (50304 * 512**2, 0.6), "pass": (70e6 * 8192, 9.4)}
TEXT_TOKENS = 50_000  # where nothing was measured yet: about what the bundled texts have


@dataclass(frozen=True)
class Estimate:
    """bytes to download, at most; memory in bytes of the largest checkpoint; seconds of computing on one machine.

    fits: whether the machine may use so much memory; runs: how many earlier measurements the time was judged by.
    """

    download: int
    memory: int
    seconds: float
    fits: bool
    runs: int

    def sentence(self) -> str:
        """The cost for a reader."""
        parts = [f"About {_duration(self.seconds)} of computing"]
        if self.download:
            parts.append(f"up to {_bytes(self.download)} to download")
        parts.append(f"{_bytes(self.memory)} of memory")
        return ", ".join(parts) + "."


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def _bytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 1):,.0f} MB"


def estimate(
    store: Store,
    known: pd.DataFrame,
    sizes: memory.Sizes,
    steps: Sequence[int],
    measures: Sequence[str],
    costs: pd.DataFrame | None = None,
) -> Estimate:
    """The cost of measures of some steps of a model. known: the catalogue of its checkpoints.

    A measure that a step has already costs nothing. costs: `queries.costs`, where it is there.
    """
    costs = queries.costs(store) if costs is None else costs
    each = {name: _seconds(costs, name, sizes) for name in {*HEAD_MEASURES, *HEADS, "pass"}}
    rows = known[known["step"].isin(steps)]
    download, seconds = 0.0, 0.0
    weights = 4 * sizes.parameters
    for row in rows.to_dict("records"):
        missing = [measure for measure in measures if not row[measure]]
        passing = any(measure in PASS_MEASURES for measure in missing)
        heads = [measure for measure in missing if measure in HEADS]
        if row["place"] == "hub" and missing:
            whole = row["weight_bytes"] if row["weight_bytes"] > 0 else weights
            download += whole if passing or heads else sizes.vocab_size * sizes.hidden_size * sizes.head_item_bytes
        seconds += sum(each[measure] for measure in missing if measure in HEAD_MEASURES or measure in HEADS)
        seconds += each["pass"] * (passing + len(heads))
    running = [PASS_MEASURES[0] if measure in HEADS else measure for measure in measures]  # heads run a text as well
    needs = memory.needed(sizes, running, "float32") if len(rows) else 0
    fits = needs < memory.SMALL or needs <= memory.bound()
    return Estimate(int(download), needs, seconds, fits, len(costs))


def together(parts: Sequence[Estimate]) -> Estimate:
    """The cost of several models, one after another. Raises ValueError for none."""
    return Estimate(
        sum(part.download for part in parts),
        max(part.memory for part in parts),
        sum(part.seconds for part in parts),
        all(part.fits for part in parts),
        parts[0].runs,
    )


def _seconds(costs: pd.DataFrame, measure: str, sizes: memory.Sizes) -> float:
    """Seconds by a line through what was measured so far, fitted so that relative errors count."""
    if measure in HEADS:
        return _head_seconds(costs, measure, sizes)
    passing = measure == "pass"
    past = costs[costs["measure"].isin(PASS_MEASURES) if passing else costs["measure"] == measure]
    past = past[past["seconds"] > 0]
    tokens = past["tokens"].median() if passing and len(past) else TEXT_TOKENS
    if passing:
        work, wanted = past["parameters"] * past["tokens"], sizes.parameters * tokens
    else:
        work, wanted = past["vocab_size"] * past["hidden_size"] ** 2, sizes.vocab_size * sizes.hidden_size**2
    anchor = ANCHORS[measure]
    x = np.array([*work.astype(float), anchor[0]])
    y = np.array([*past["seconds"], anchor[1]])
    # The one large run and the many small ones together say what a run costs at least and what it costs by size.
    weight = np.array([*np.full(len(past), 1 / max(len(past), 1)), 1.0])
    (overhead, rate), *_ = np.linalg.lstsq(
        np.sqrt(weight)[:, None] * np.stack([1 / y, x / y], axis=1), np.sqrt(weight), rcond=None
    )
    return float(max(overhead, 0.0) + max(rate, 0.0) * wanted)


def _head_seconds(costs: pd.DataFrame, measure: str, sizes: memory.Sizes) -> float:
    """Seconds of heads of lower rank besides the pass, by what earlier ones took for each entry of the head.

    0 where none was measured here: nothing to judge by.
    """
    trained = measure == HEADS[1]
    past = costs[costs["measure"] == ("trained_head" if trained else "truncated_heads")]
    past = past[past["seconds"] > 0]
    if past.empty:
        return 0.0
    rates = past["seconds"] / (past["vocab_size"] * past["hidden_size"]).astype(float)
    count = default_count(sizes.hidden_size) if trained else 1
    return float(rates.median() * sizes.vocab_size * sizes.hidden_size * count)
