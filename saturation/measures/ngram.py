"""The n-gram matrix of a token stream: one row per observed context, the empirical distribution of its next token.

Definition: arXiv 2404.07647, section 5. P has shape (contexts, V); every observed context of order - 1 tokens counts
once, however often it was seen. Only G = P^T P matters for the W-error, so a row with a single next token, which adds
1 to that token's diagonal of G, is counted there and not stored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from saturation.errors import InputError

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

# Odd constants of splitmix64 (Steele, Lea & Flood 2014), whose mixing spreads contexts evenly over buckets.
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class Counts:
    """Distinct n-grams in ascending order (count, order) and how often each was seen (count,)."""

    grams: NDArray[np.unsignedinteger]
    times: Ints


@dataclass(frozen=True)
class NgramMatrix:
    """P in two parts: rows with several next tokens as a sparse matrix, the others as what they add to G's diagonal.

    contexts: number of rows of P. diagonal: of shape (V,), rows that hold that token alone. rows: CSR of shape
    (rows with several next tokens, V), each adding up to 1.
    """

    contexts: int
    diagonal: NDArray[np.float64]
    rows: sparse.csr_matrix

    @property
    def vocab_size(self) -> int:
        return len(self.diagonal)

    @property
    def gram_diagonal(self) -> NDArray[np.float64]:
        """The diagonal of G = P^T P, of shape (V,)."""
        squares = np.bincount(self.rows.indices, weights=np.square(self.rows.data), minlength=self.vocab_size)
        return self.diagonal + squares

    @property
    def tokens_seen(self) -> int:
        """How many tokens follow some context."""
        return int(np.count_nonzero(self.gram_diagonal))

    @property
    def frobenius_norm(self) -> float:
        """||P||_F, the root of the trace of G."""
        return float(np.sqrt(self.gram_diagonal.sum()))


def windows(ids: NDArray[np.integer], order: int, starts: Ints) -> NDArray[np.integer]:
    """The n-grams that begin at the given places of a token stream, of shape (len(starts), order)."""
    return np.stack([ids[starts + place] for place in range(order)], axis=1)


def gram_starts(length: int, order: int, ends: NDArray[np.integer], first: int = 0) -> Ints:
    """Places of a piece of the stream at which an n-gram begins that lies within one document.

    length: how many places the piece has; first: the place of its first token in the whole stream. ends: place after
    the last token of each document, ascending. Nothing is padded, so a document of n tokens has n - order + 1 n-grams.
    """
    places = np.arange(first, first + length, dtype=np.int64)
    stop = np.searchsorted(ends, places, side="right")
    reach = np.asarray(ends, dtype=np.int64)[np.minimum(stop, len(ends) - 1)] if len(ends) else places
    return places[(stop < len(ends)) & (places + order <= reach)]


def context_buckets(ids: NDArray[np.integer], order: int, starts: Ints, buckets: int) -> NDArray[np.uint16]:
    """Which of `buckets` parts (at most 65,536) each n-gram belongs to,
    by a hash of its context: equal contexts, one part.
    """
    mixed = np.zeros(len(starts), dtype=np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is meant
        for place in range(order - 1):
            mixed = (mixed ^ ids[starts + place].astype(np.uint64)) + _MIX[0]
            mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[1]
            mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[2]
            mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(buckets)).astype(np.uint16)


def _packed(grams: NDArray[np.integer], bits: int) -> list[Words]:
    """The columns of n-grams in as few 64-bit words as hold them, the leftmost first; their order is kept."""
    words: list[Words] = []
    room = 0
    for column in grams.T:
        if room < bits:
            words.append(np.zeros(len(grams), dtype=np.uint64))
            room = 64
        words[-1] = (words[-1] << np.uint64(bits)) | column.astype(np.uint64)
        room -= bits
    return words


def count_grams(grams: NDArray[np.integer], times: Ints | None = None) -> Counts:
    """Count equal n-grams, exactly. grams: (n, order) of token ids; times: how often each stands for, default once."""
    if grams.ndim != 2 or grams.shape[1] < 1:
        raise InputError(f"n-grams come as an array (count, order); got the shape {grams.shape}.")
    if len(grams) == 0:
        return Counts(grams.astype(np.uint32), np.zeros(0, dtype=np.int64))
    words = _packed(grams, max(int(grams.max()).bit_length(), 1))
    by = np.lexsort(words[::-1]) if len(words) > 1 else np.argsort(words[0])
    new = np.ones(len(by), dtype=bool)
    new[1:] = False
    for word in words:
        ordered = word[by]
        new[1:] |= ordered[1:] != ordered[:-1]
    first = np.flatnonzero(new)
    weights = np.ones(len(by), dtype=np.int64) if times is None else np.asarray(times, dtype=np.int64)[by]
    return Counts(grams[by[first]].astype(np.uint32), np.add.reduceat(weights, first))


def matrix_of_counts(counts: Counts, vocab_size: int) -> NgramMatrix:
    """The rows of P that some distinct n-grams make; all n-grams of a context must be among them.

    Raises InputError for a token id that is not below vocab_size.
    """
    grams, times = counts.grams, counts.times
    if len(grams) == 0:
        return NgramMatrix(0, np.zeros(vocab_size), sparse.csr_matrix((0, vocab_size)))
    if int(grams.max()) >= vocab_size:
        raise InputError(f"The token id {int(grams.max())} is not below the vocabulary size {vocab_size}; check both.")
    new = np.ones(len(grams), dtype=bool)
    new[1:] = (grams[1:, :-1] != grams[:-1, :-1]).any(axis=1)
    first = np.flatnonzero(new)
    lengths = np.diff(np.append(first, len(grams)))
    shares = times / np.repeat(np.add.reduceat(times, first), lengths)
    single = np.repeat(lengths == 1, lengths)
    following = grams[:, -1].astype(np.int64)
    diagonal = np.bincount(following[single], minlength=vocab_size).astype(np.float64)
    indptr = np.concatenate([[0], np.cumsum(lengths[lengths > 1])])
    shape = (len(indptr) - 1, vocab_size)
    rows = sparse.csr_matrix((shares[~single], following[~single].astype(np.int32), indptr), shape=shape)
    return NgramMatrix(len(first), diagonal, rows)


def joined(parts: Iterable[NgramMatrix], vocab_size: int) -> NgramMatrix:
    """P of all parts, which have no context in common."""
    held = list(parts)
    diagonal = sum((part.diagonal for part in held), np.zeros(vocab_size))
    rows = [part.rows for part in held if part.rows.shape[0]]
    stacked = sparse.vstack(rows, format="csr") if rows else sparse.csr_matrix((0, vocab_size))
    return NgramMatrix(sum(part.contexts for part in held), diagonal, stacked)


def ngram_matrix(documents: Sequence[NDArray[np.integer]], order: int, vocab_size: int) -> NgramMatrix:
    """The n-gram matrix of documents in memory, each a stream of its own that no n-gram leaves.

    order: length of the n-grams, 5 for contexts of 4 tokens; 1 gives one empty context. Raises InputError.
    """
    check_order(order)
    streams = [np.asarray(document) for document in documents]
    if any(stream.size and (stream.dtype.kind not in "iu" or stream.min() < 0) for stream in streams):
        raise InputError("Token ids must be integers of at least 0.")
    ids = np.concatenate([np.zeros(0, dtype=np.int64), *(stream.astype(np.int64) for stream in streams)])
    ends = np.cumsum([len(stream) for stream in streams])
    return matrix_of_counts(count_grams(windows(ids, order, gram_starts(len(ids), order, ends))), vocab_size)


def check_order(order: int) -> None:
    """Raises InputError for an order below 1."""
    if order < 1:
        raise InputError(f"The order of the n-grams is {order}; it must be at least 1 (5 for contexts of 4 tokens).")
