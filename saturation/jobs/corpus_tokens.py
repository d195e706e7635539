"""The tokens of a corpus as a file: tokenized once, kept by the ids of corpus and tokenizer,
and gone on with after a stop.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from saturation.corpora.corpus import Corpus
from saturation.corpora.documents import Piece
from saturation.corpora.tokenizers import CorpusTokenizer
from saturation.errors import JobError, TextError

Report = Callable[[int, int, str], None]

# Short documents are tokenized together: characters of a batch, each of which is written before the next.
BATCH = 4_000_000
IDS, ENDS, STATE = "ids.bin", "ends.bin", "state.json"


@dataclass(frozen=True)
class TokenStream:
    """The tokens of all documents one after another. ids: (tokens,) on disk; ends: (documents,) places after each."""

    ids: NDArray[np.unsignedinteger]
    ends: NDArray[np.int64]


@dataclass
class _State:
    """How far a file of tokens is sound."""

    pieces: int = 0
    tokens: int = 0
    documents: int = 0
    read: int = 0
    complete: bool = False


def tokens_folder(cache: Path, corpus: Corpus, tokenizer: CorpusTokenizer) -> Path:
    """Where the tokens of a corpus under a tokenizer are kept."""
    name = hashlib.sha256(f"{corpus.corpus_id}\n{tokenizer.tokenizer_id}".encode()).hexdigest()[:32]
    return cache / "corpora" / "tokens" / name


def tokenized(
    cache: Path, corpus: Corpus, tokenizer: CorpusTokenizer, report: Report | None = None, batch: int = BATCH
) -> TokenStream:
    """The tokens of a corpus, read from the cache folder, or made there.

    A document is encoded whole as far as `corpora.documents` gives it whole. report: (bytes done, bytes in all, what).
    A process that is stopped leaves what it wrote, and the next goes on behind it. Raises TextError, JobError.
    """
    folder = tokens_folder(cache, corpus, tokenizer)
    dtype = np.dtype("<u2" if tokenizer.vocabulary <= 1 << 16 else "<u4")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            state = _read_state(folder)
            if not state.complete:
                _go_on(folder, state, corpus, tokenizer, dtype, report or (lambda done, total, what: None), batch)
            if state.tokens == 0:
                raise TextError(f"The corpus {corpus.name} has no tokens; give more text.")
            os.utime(folder / STATE)  # what was used last goes last, should room be needed
            # Opened under the lock: what is open stays readable, whoever makes room.
            ids = np.memmap(folder / IDS, dtype=dtype, mode="r", shape=(state.tokens,))
            return TokenStream(ids, np.fromfile(folder / ENDS, dtype="<i8", count=state.documents))
    except OSError as error:
        raise JobError(
            f"The tokens of {corpus.name} cannot be kept in {folder} ({error.strerror or error}); "
            "free some space, or set SATURATION_CACHE to another folder."
        ) from error


def _go_on(
    folder: Path,
    state: _State,
    corpus: Corpus,
    tokenizer: CorpusTokenizer,
    dtype: np.dtype[Any],
    report: Report,
    batch: int,
) -> None:
    total = max(corpus.size, 1)
    with (folder / IDS).open("ab") as ids, (folder / ENDS).open("ab") as ends:
        # What was written behind the last state is of no use.
        ids.truncate(state.tokens * dtype.itemsize)
        ends.truncate(state.documents * 8)
        for pieces in _batches(corpus, state.pieces, batch):
            report(min(state.read, total), total, f"tokenizing {corpus.name}")
            for piece, found in zip(pieces, tokenizer.encode([piece.text for piece in pieces]), strict=True):
                ids.write(found.astype(dtype).tobytes())
                state.tokens += len(found)
                state.pieces += 1
                state.read += len(piece.text.encode())
                if piece.last:
                    ends.write(np.array([state.tokens], dtype="<i8").tobytes())
                    state.documents += 1
            ids.flush()
            ends.flush()
            _write_state(folder, state)
        state.complete = True
        _write_state(folder, state)
        report(total, total, f"tokenizing {corpus.name}")


def _batches(corpus: Corpus, done: int, batch: int) -> Iterator[list[Piece]]:
    """The pieces of a corpus behind the first `done`, together up to a number of characters."""
    held: list[Piece] = []
    size = 0
    for number, piece in enumerate(corpus.pieces()):
        if number < done:
            continue
        held.append(piece)
        size += len(piece.text)
        if size >= batch:
            yield held
            held, size = [], 0
    if held:
        yield held


def _read_state(folder: Path) -> _State:
    try:
        return _State(**json.loads((folder / STATE).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return _State()


def _write_state(folder: Path, state: _State) -> None:
    passing = folder / f".{uuid.uuid4().hex}.tmp"
    passing.write_text(json.dumps(vars(state)))
    os.replace(passing, folder / STATE)
