"""Counts the n-grams of more tokens than memory holds at once: by parts that share no context, one after another."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saturation.jobs.corpus_tokens import TokenStream
from saturation.measures.ngram import (
    Counts,
    Ints,
    NgramMatrix,
    check_order,
    context_buckets,
    count_grams,
    gram_starts,
    joined,
    matrix_of_counts,
    windows,
)

Report = Callable[[int, int, str], None]

# n-grams counted at once: about 300 MB at order 5, and 0.7 s.
GRAMS = 4_000_000
MOST_BUCKETS = 65_535
NO_GRAM = 65_535


def count_stream(
    stream: TokenStream,
    order: int,
    vocab_size: int,
    scratch: Path,
    grams: int = GRAMS,
    report: Report | None = None,
) -> NgramMatrix:
    """The n-gram matrix of a token stream.

    grams: how many n-grams may be held at once. scratch: a folder that takes two bytes for each token meanwhile, in a
    file that vanishes with the process. report: (n-grams done, in all, what). Raises InputError.
    """
    check_order(order)
    tell = report or (lambda done, total, what: None)
    length = len(stream.ids)
    buckets = min(-(-length // grams), MOST_BUCKETS)
    if buckets <= 1:
        starts = gram_starts(length, order, stream.ends)
        return matrix_of_counts(count_grams(windows(stream.ids, order, starts)), vocab_size)
    with tempfile.TemporaryFile(dir=scratch) as file:
        bucket_of = np.memmap(file, dtype=np.uint16, mode="w+", shape=(length,))
        for first in range(0, length, grams):
            tell(first, 2 * length, "sorting n-grams")
            starts = gram_starts(min(grams, length - first), order, stream.ends, first)
            part = np.full(min(grams, length - first), NO_GRAM, dtype=np.uint16)
            part[starts - first] = context_buckets(stream.ids, order, starts, buckets)
            bucket_of[first : first + grams] = part
        parts = []
        for bucket in range(buckets):
            tell(length + length * bucket // buckets, 2 * length, "counting n-grams")
            parts.append(matrix_of_counts(_count(stream, order, _members(bucket_of, bucket, grams), grams), vocab_size))
        tell(2 * length, 2 * length, "counting n-grams")
        return joined(parts, vocab_size)


def _members(bucket_of: NDArray[np.uint16], bucket: int, grams: int) -> Iterator[Ints]:
    """Where the n-grams of a bucket begin, at most `grams` places at a time."""
    held: list[Ints] = []
    size = 0
    for first in range(0, len(bucket_of), grams):
        found = np.flatnonzero(bucket_of[first : first + grams] == bucket) + first
        if size + len(found) > grams:
            yield np.concatenate(held)
            held, size = [], 0
        held.append(found)
        size += len(found)
    yield np.concatenate(held)


def _count(stream: TokenStream, order: int, places: Iterator[Ints], grams: int) -> Counts:
    """Count the n-grams at these places; what was counted is merged whenever it outgrows `grams`.

    A frequent context makes a bucket large, but then its n-grams repeat.
    """
    held: list[Counts] = []
    for starts in places:
        held.append(count_grams(windows(stream.ids, order, starts)))
        if sum(len(counts.times) for counts in held) > grams:
            held = [_merged(held)]
    return _merged(held)


def _merged(counts: list[Counts]) -> Counts:
    if len(counts) == 1:
        return counts[0]
    return count_grams(np.concatenate([part.grams for part in counts]), np.concatenate([part.times for part in counts]))
