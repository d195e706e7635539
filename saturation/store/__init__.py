"""The DuckDB file: schema, writes, packs, and named queries that return DataFrames. Knows rows, not their making."""

from saturation.store.records import CheckpointRow, Evaluation, Measurement, NgramCurve, PlaygroundRow, TextRow
from saturation.store.store import Store

__all__ = ["CheckpointRow", "Evaluation", "Measurement", "NgramCurve", "PlaygroundRow", "Store", "TextRow"]
