"""Named queries: store -> DataFrame. Each opens the file, reads and closes.

A step that is not known (a model of one checkpoint) reads as 0.
"""

from saturation.store.queries.bottleneck import ngrams, playground, trained_heads, truncated_heads
from saturation.store.queries.directions import alignment, top_tokens
from saturation.store.queries.holdings import (
    content_ids,
    costs,
    evaluated,
    evaluations,
    head_shapes,
    measurement_ids,
    metrics,
    models,
    provenance,
    steps,
    texts,
)
from saturation.store.queries.training import TRAJECTORY_SCALARS, layer_anisotropy, spectra, trajectory

__all__ = [
    "TRAJECTORY_SCALARS",
    "alignment",
    "content_ids",
    "costs",
    "evaluated",
    "evaluations",
    "head_shapes",
    "layer_anisotropy",
    "measurement_ids",
    "metrics",
    "models",
    "ngrams",
    "playground",
    "provenance",
    "spectra",
    "steps",
    "texts",
    "top_tokens",
    "trained_heads",
    "trajectory",
    "truncated_heads",
]
