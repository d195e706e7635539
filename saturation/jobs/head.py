"""What is stored of a head: its spectrum, and what its leading directions point at."""

import math
import time
from typing import Any

import numpy as np
import torch

from saturation.checkpoints.tokens import Tokens
from saturation.errors import InputError
from saturation.measures import alignment, spectrum
from saturation.measures.alignment import Alignment


def spectrum_values(head: torch.Tensor) -> dict[str, Any]:
    """Scalars, series and seconds of the spectrum of a head (vocab_size, hidden_size)."""
    start = time.perf_counter()
    found = spectrum.head_spectra(head)
    scalars = spectrum.summary(found)
    series = {"singular_values": found.plain.tolist(), "centred_singular_values": found.centred.tolist()}
    return {"scalars": scalars, "series": series, "seconds": time.perf_counter() - start}


def alignment_values(head: torch.Tensor, tokens: Tokens) -> dict[str, Any]:
    """Scalars, series, labels and seconds of the alignment of a head (vocab_size, hidden_size).

    A vector may have no correlation, and the store holds no NaN: `frequency_correlation` has the values of the ranks
    (from 1) in `frequency_ranks` only, and a scalar that is undefined is left out. Ids, entries and words of the top
    and bottom tokens of all vectors follow one another, as many for each.
    Raises InputError for tokens outside the head's rows.
    """
    start, vocab_size = time.perf_counter(), head.shape[0]
    highest = int(tokens.ids.max())
    if highest >= vocab_size:
        raise InputError(
            f"The tokenizer gives token {highest}, but the model's vocabulary ends at {vocab_size - 1}; "
            "use the tokenizer that the model was trained with."
        )
    counts = np.bincount(tokens.ids.numpy(), minlength=vocab_size)
    found = alignment.head_alignment(head, counts)
    scalars = {
        "tokens_seen": float(found.tokens_seen),
        "correlation_by_chance": alignment.correlation_by_chance(found.tokens_seen),
        "frequency_r_squared": found.plain.r_squared,
        "centred_frequency_r_squared": found.centred.r_squared,
    }
    series: dict[str, list[float]] = {}
    labels: dict[str, list[str]] = {}
    for prefix, part in (("", found.plain), ("centred_", found.centred)):
        series |= {prefix + name: values for name, values in _series(part).items()}
        for side, ids in (("top", part.top), ("bottom", part.bottom)):
            labels[f"{prefix}{side}_tokens"] = tokens.words(ids.ravel())
    return {
        "scalars": {name: value for name, value in scalars.items() if not math.isnan(value)},
        "series": series,
        "labels": labels,
        "seconds": time.perf_counter() - start,
    }


def _series(part: Alignment) -> dict[str, list[float]]:
    defined = np.flatnonzero(~np.isnan(part.frequency))
    return {
        "ones_alignment": part.ones.tolist(),
        "frequency_correlation": part.frequency[defined].tolist(),
        "frequency_ranks": (defined + 1).astype(float).tolist(),
        "top_ids": part.top.ravel().astype(float).tolist(),
        "top_entries": part.top_entries.ravel().tolist(),
        "bottom_ids": part.bottom.ravel().astype(float).tolist(),
        "bottom_entries": part.bottom_entries.ravel().tolist(),
    }
