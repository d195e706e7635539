"""What the numbers mean: each definition with its formula, source, caveats and disputed points, as data."""

from saturation.method.entries import ENTRIES, Entry, entry

__all__ = ["ENTRIES", "Entry", "entry"]
