"""Seconds and differences of the ways to the W-error of WikiText-2's 5-grams: `python -m benchmarks.ngram [--dense]`.

Reads the validation and test text and the Llama-2 tokenizer from shared/data beside the checkout. `--dense` adds
eigvalsh of the whole Gram matrix of the tokens seen, some minutes. Threads are as the environment sets them
(OMP_NUM_THREADS).
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from scipy.linalg import eigvalsh

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


def main() -> None:
    """Print one line for each step and way."""
    if not DATA.is_dir():
        sys.exit("The texts and tokenizers of shared/data are not here; nothing to measure.")
    (ids, vocab_size), seconds = timed(read)
    print(f"tokenized {len(ids):,} tokens in {seconds:.1f} s")
    matrix, seconds = timed(lambda: ngram_matrix([ids], ORDER, vocab_size))
    print(f"counted {matrix.contexts:,} contexts in {seconds:.1f} s", flush=True)
    exact, slow = timed(lambda: ngram_spectrum(matrix, "exact"))
    print(f"exact, by component (largest {exact.largest:,} tokens): {slow:.1f} s", flush=True)
    estimate, fast = timed(lambda: ngram_spectrum(matrix, "stochastic"))
    apart = np.abs(estimate.w_error - exact.w_error).max()
    outside = (estimate.low > exact.w_error + 3e-7) | (estimate.high < exact.w_error - 3e-7)
    print(
        f"stochastic: {fast:.1f} s, exact / stochastic {slow / fast:.0f}, largest difference {apart:.5f}, "
        f"widest band {(estimate.high - estimate.low).max():.5f}, ranks outside the band {outside.sum()}",
        flush=True,
    )
    if "--dense" in sys.argv:
        whole, longest = timed(lambda: dense(matrix))
        print(
            f"dense: {longest:.1f} s, dense / exact {longest / slow:.1f}, dense / stochastic {longest / fast:.0f}, "
            f"largest difference to exact {np.abs(whole - exact.w_error).max():.2e}"
        )


if __name__ == "__main__":
    main()
