"""The ways to the W-error of WikiText-2's 5-grams, beside eigvalsh of the whole Gram matrix of the tokens seen.

Reads the validation and test text and the Llama-2 tokenizer from shared/data beside the checkout. The dense way takes
some minutes. Threads are as the environment sets them (OMP_NUM_THREADS). `python -m benchmarks.ngram` prints the lines.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from scipy.linalg import eigvalsh

from benchmarks.timing import HEADER, Line
from saturation.corpora.corpus import open_corpus
from saturation.corpora.tokenizers import open_tokenizer
from saturation.measures.ngram import NgramMatrix, ngram_matrix
from saturation.measures.ngram_spectrum import ngram_spectrum, w_error_of
from saturation.settings import ROOT

DATA = ROOT.parent / "shared" / "data"
ORDER = 5
Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def read() -> tuple[np.ndarray, int]:
    """The token ids of both texts joined into one document, and the size of the vocabulary."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "wikitext2.txt"
        path.write_bytes(b"".join((DATA / "text" / f"wikitext2-{part}.txt").read_bytes() for part in ("valid", "test")))
        corpus = open_corpus(str(path))
        tokenizer = open_tokenizer(str(DATA / "tokenizers" / "llama2.model"), corpus, Path(folder))
        return tokenizer.encode([piece.text for piece in corpus.pieces()])[0], tokenizer.vocabulary


def dense(matrix: NgramMatrix) -> np.ndarray:
    """W-error by scipy's eigvalsh of the Gram matrix of all tokens seen."""
    seen = np.flatnonzero(matrix.gram_diagonal)
    rows = matrix.rows[:, seen]
    gram = np.asfortranarray((rows.T @ rows).toarray())
    gram[np.diag_indices_from(gram)] += matrix.diagonal[seen]
    values = eigvalsh(gram, overwrite_a=True, check_finite=False)
    return w_error_of(np.where(values < 1e-10, 0.0, values), matrix.vocab_size)


def ngram_lines() -> Iterator[Line]:
    """Exact and stochastic, each beside the dense way, once; nothing where the texts are not there."""
    if not DATA.is_dir():
        return
    ids, vocab_size = read()
    matrix, counted = timed(lambda: ngram_matrix([ids], ORDER, vocab_size))
    exact, slow = timed(lambda: ngram_spectrum(matrix, "exact"))
    estimate, fast = timed(lambda: ngram_spectrum(matrix, "stochastic"))
    whole, longest = timed(lambda: dense(matrix))
    name = f"W-error curve of WikiText-2, Llama-2 tokenizer ({matrix.contexts:,} contexts, counted in {counted:.1f} s)"
    beside = f"`eigvalsh` of ({exact.largest:,} tokens)^2 and the rest"
    apart = np.abs(whole - exact.w_error).max()
    once = slow / longest
    line = Line(f"{name}, exact", beside, slow, longest, once, once, once, f"largest difference {apart:.0e}")
    yield line.aimed("3 times faster", longest >= 3 * slow)
    apart, once = np.abs(estimate.w_error - exact.w_error).max(), fast / longest
    outside = (estimate.low > exact.w_error + 3e-7) | (estimate.high < exact.w_error - 3e-7)
    note = f"largest difference {apart:.0e}, ranks outside its band {outside.sum()}"
    line = Line("the same, stochastic", beside, fast, longest, once, once, once, note)
    yield line.aimed("20 times faster", longest >= 20 * fast)


def main() -> None:
    """Print the lines."""
    print(HEADER)
    for line in ngram_lines():
        print(line.row(), flush=True)


if __name__ == "__main__":
    main()
