"""W-error of the n-gram matrix of a corpus: read, tokenized, counted,
solved and stored; what is stored is not done again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from saturation import __version__
from saturation.corpora.corpus import Corpus, open_corpus
from saturation.corpora.tokenizers import CorpusTokenizer, open_tokenizer
from saturation.errors import InputError
from saturation.jobs import corpus_room
from saturation.jobs.corpus_tokens import TokenStream, tokenized, tokens_folder
from saturation.jobs.ngram_counts import count_stream
from saturation.jobs.widths import COMMON_WIDTHS
from saturation.settings import Settings, gigabytes
from saturation.store import NgramCurve, Store

if TYPE_CHECKING:
    from saturation.measures.ngram import NgramMatrix
    from saturation.measures.ngram_spectrum import NgramSpectrum

Report = Callable[[int, int, str], None]

# Counts up whenever the numbers change.
VERSION = 1
METHODS = ("auto", "exact", "stochastic")
DEFAULT_ORDER = 5
RANKS = 600
EVERY_RANK_TO = 64


@dataclass(frozen=True)
class NgramRequest:
    """What to measure. corpus, tokenizer: as `open_corpus` and `open_tokenizer` take them.

    order: 5 for contexts of 4 tokens.
    """

    corpus: str | Sequence[str]
    tokenizer: str
    order: int = DEFAULT_ORDER
    method: str = "auto"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"There is no method '{self.method}'; choose one of {', '.join(METHODS)}.")
        if type(self.order) is not int or self.order < 1:
            raise InputError(f"The order of the n-grams is {self.order}; give a whole number from 1 on.")


@dataclass(frozen=True)
class NgramResult:
    """The curve, whether it was computed just now, and the files of the corpus that were skipped."""

    curve: NgramCurve
    computed: bool
    skipped: tuple[str, ...]


def measure_ngram(
    settings: Settings, request: NgramRequest, report: Report | None = None, force: bool = False
) -> NgramResult:
    """The W-error by rank that a request asks for, from the store or computed and stored.

    Tokens are kept in the cache folder, so that another order or method, or a second run after a stop, does not make
    them again; those used longest ago make room (`corpus_room`). With the method auto an exact curve goes before an
    estimate. Raises SaturationError.
    """
    tell = report or (lambda done, total, what: None)
    began = time.monotonic()
    store, limit = Store(settings.store_path), gigabytes("corpora")
    tell(0, 1, "reading the corpus")
    corpus = open_corpus(request.corpus, settings.cache)
    corpus_room.touch(settings, corpus)
    tokenizer = open_tokenizer(request.tokenizer, corpus, settings.cache)
    row = _row(corpus, tokenizer, request)
    kept = None if force else _stored(store, row, request.method)
    if kept is not None:
        return NgramResult(kept, False, corpus.skipped)
    try:
        stream = tokenized(settings.cache, corpus, tokenizer, tell)
        corpus_room.make_room(settings, limit, [tokens_folder(settings.cache, corpus, tokenizer)])
        curve = _counted(settings, request, row, stream, tokenizer, tell)
        curve = replace(curve, seconds=time.monotonic() - began, measured_at=datetime.now(UTC))
        store.add_ngrams([curve])
    finally:
        corpus_room.make_room(settings, limit)
    tell(1, 1, "solving for eigenvalues")
    return NgramResult(curve, True, corpus.skipped)


def _counted(
    settings: Settings,
    request: NgramRequest,
    row: NgramCurve,
    stream: TokenStream,
    tokenizer: CorpusTokenizer,
    tell: Report,
) -> NgramCurve:
    """The curve of `row` with its values."""
    matrix = count_stream(stream, request.order, tokenizer.vocabulary, settings.cache, report=tell)
    tell(0, 1, "solving for eigenvalues")
    from saturation.measures.ngram_spectrum import ngram_spectrum

    spectrum = ngram_spectrum(matrix, request.method)  # type: ignore[arg-type]
    return replace(row, **_values(matrix, spectrum), tokens=len(stream.ids))


def run_job(settings: Settings, options: Mapping[str, Any], report: Report) -> None:
    """A background job. options: corpus (one name or a list), tokenizer, order, method, force.

    Raises SaturationError.
    """
    known = {"corpus", "tokenizer", "order", "method", "force"}
    if unknown := sorted(set(options) - known):
        raise InputError(f"An n-gram job has no option {unknown[0]}; its options are {', '.join(sorted(known))}.")
    if missing := [name for name in ("corpus", "tokenizer") if not options.get(name)]:
        raise InputError(f"The n-gram job names no {missing[0]}; give one.")
    named = {name: options[name] for name in known - {"force"} if name in options}
    measure_ngram(settings, NgramRequest(**named), report, force=bool(options.get("force", False)))


def rank_grid(last: int) -> list[int]:
    """About 600 ranks from 0 to `last`: every one to 64, then in even ratios, and the widths that models have."""
    ratios = np.geomspace(EVERY_RANK_TO, max(last, EVERY_RANK_TO), RANKS - EVERY_RANK_TO).round().astype(int).tolist()
    return sorted({rank for rank in (*range(EVERY_RANK_TO + 1), *ratios, *COMMON_WIDTHS, last) if rank <= last})


def _values(matrix: "NgramMatrix", spectrum: "NgramSpectrum") -> dict[str, Any]:
    from saturation.measures.ngram_spectrum import rank_at_half

    ranks = rank_grid(matrix.vocab_size)
    return {
        "method": spectrum.method,
        "contexts": matrix.contexts,
        "tokens_seen": matrix.tokens_seen,
        "frobenius_norm": matrix.frobenius_norm,
        "rank_at_half": rank_at_half(spectrum.w_error),
        "ranks": ranks,
        "w_error": spectrum.w_error[ranks].tolist(),
        "w_error_low": spectrum.low[ranks].tolist(),
        "w_error_high": spectrum.high[ranks].tolist(),
    }


def _row(corpus: Corpus, tokenizer: CorpusTokenizer, request: NgramRequest) -> NgramCurve:
    """The curve before it is measured: all that its id depends on but for the method that auto chooses."""
    return NgramCurve(
        corpus_id=corpus.corpus_id,
        corpus=corpus.name,
        corpus_source=corpus.source,
        tokenizer_id=tokenizer.tokenizer_id,
        tokenizer=tokenizer.name,
        gram_order=request.order,
        method=request.method,
        version=VERSION,
        tokens=0,
        contexts=0,
        vocabulary=tokenizer.vocabulary,
        tokens_seen=0,
        frobenius_norm=0.0,
        rank_at_half=0,
        ranks=[],
        w_error=[],
        w_error_low=[],
        w_error_high=[],
        seconds=0.0,
        measured_at=datetime.now(UTC),
        software=f"saturation {__version__}",
    )


def _stored(store: Store, row: NgramCurve, method: str) -> NgramCurve | None:
    for name in ("exact", "stochastic") if method == "auto" else (method,):
        found = store.ngram(replace(row, method=name).curve_id)
        if found is not None:
            return found
    return None
