"""Tokenizers by which a corpus is split: a file, a folder, a hub repository, or byte-level BPE trained on the corpus.

No special tokens are added. The packages `tokenizers` and `sentencepiece` are imported when a tokenizer is loaded.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saturation.corpora.corpus import Corpus
from saturation.errors import InputError, TextError

Ids = NDArray[np.uint32]

BPE = "bpe:"
# 256 bytes and one merge: the least that can be trained. More than this no corpus here supports.
LEAST_BPE, MOST_BPE = 257, 1_000_000
# In the order in which a folder or a repository is searched.
TOKENIZER_JSON, SENTENCEPIECE = "tokenizer.json", "tokenizer.model"
VOCABULARY, MERGES = "vocab.json", "merges.txt"
# The number of a version is in the name of a trained tokenizer's file, so that another release trains anew.
TRAINER_VERSION = 1


@dataclass(frozen=True)
class CorpusTokenizer:
    """A loaded tokenizer. tokenizer_id: `sha256:` and the hash of its files. vocabulary: size, all ids are below it."""

    name: str
    tokenizer_id: str
    vocabulary: int
    _encode: Callable[[list[str]], list[Any]] = field(repr=False, compare=False)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The token ids of each text. Raises TextError for a text that the tokenizer cannot encode."""
        try:
            return [np.asarray(ids, dtype=np.uint32) for ids in self._encode(list(texts))]
        except Exception as error:  # both libraries raise bare or private exceptions
            raise TextError(f"The tokenizer {self.name} cannot encode this corpus ({_first_line(error)}).") from error


def open_tokenizer(given: str, corpus: Corpus, cache: Path) -> CorpusTokenizer:
    """The tokenizer that a user names.

    given: a tokenizer.json, a SentencePiece .model, a folder with one of them (or vocab.json and merges.txt of a
    byte-level BPE), `organisation/name[@revision]` on the hub, or `bpe:SIZE`. corpus: what bpe:SIZE is trained on.
    cache: the folder where trained tokenizers and listings of the hub are kept. Raises InputError, HubError.
    """
    if not given.strip():
        raise InputError("No tokenizer was named; give a file, a repository on the hub, or bpe:SIZE.")
    if given.startswith(BPE):
        return _trained(given, corpus, cache)
    path = Path(given).expanduser()
    if path.is_dir():
        return _from_folder(path.resolve().name, lambda name: path / name if (path / name).is_file() else None, given)
    if path.is_file():
        return _from_file(path, path.name)
    looks_like_path = given.startswith((".", "/", "~")) or path.suffix in (".json", ".model")
    if looks_like_path or given.count("/") != 1:
        raise InputError(
            f"There is no tokenizer {given}; give a tokenizer.json, a SentencePiece .model, a folder, "
            "organisation/name on the hub, or bpe:SIZE."
        )
    return _from_hub(given, cache)


def _from_hub(given: str, cache: Path) -> CorpusTokenizer:
    from saturation.checkpoints.hub import Connection, refs, small_file, tree

    repo, _, revision = given.partition("@")
    revision = revision or "main"
    connection = Connection()
    commit = refs(repo, cache, connection=connection).commit(revision)
    files = tree(repo, commit, cache, revision=revision, connection=connection)

    def find(name: str) -> Path | None:
        if name not in files:
            return None
        return small_file(repo, commit, name, cache=cache, revision=revision, connection=connection)

    return _from_folder(repo, find, given)


def _from_folder(name: str, find: Callable[[str], Path | None], given: str) -> CorpusTokenizer:
    """The tokenizer whose files `find` knows by name."""
    for file in (TOKENIZER_JSON, SENTENCEPIECE):
        path = find(file)
        if path is not None:
            return _from_file(path, name)
    vocabulary, merges = find(VOCABULARY), find(MERGES)
    if vocabulary is None or merges is None:
        raise InputError(
            f"{given} holds no {TOKENIZER_JSON}, no {SENTENCEPIECE}, and not both {VOCABULARY} and {MERGES}; "
            "choose another tokenizer."
        )
    return _from_merges(vocabulary, merges, name)


def _from_file(path: Path, name: str) -> CorpusTokenizer:
    data = path.read_bytes()
    if path.suffix == ".model":
        return _sentencepiece(data, name)
    return _tokenizers(data, name)


def _sentencepiece(data: bytes, name: str) -> CorpusTokenizer:
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    except Exception as error:  # RuntimeError and others, by version
        raise InputError(f"{name} is no SentencePiece model ({_first_line(error)}); choose another file.") from error

    def encode(texts: list[str]) -> list[list[int]]:
        return processor.encode(texts, num_threads=os.cpu_count() or 1)

    return CorpusTokenizer(name, _id(data), int(processor.vocab_size()), encode)


def _tokenizers(data: bytes, name: str) -> CorpusTokenizer:
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises bare Exception for a damaged file
        raise InputError(f"{name} is no tokenizer.json ({_first_line(error)}); choose another file.") from error
    return _wrapped(loaded, name, _id(data))


def _from_merges(vocabulary: Path, merges: Path, name: str) -> CorpusTokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers

    try:
        loaded = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    except Exception as error:  # as above
        raise InputError(f"{name} holds no BPE that can be read ({_first_line(error)}); choose another one.") from error
    loaded.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return _wrapped(loaded, name, _id(vocabulary.read_bytes(), merges.read_bytes()))


def _wrapped(loaded: Any, name: str, tokenizer_id: str) -> CorpusTokenizer:
    loaded.no_padding()
    loaded.no_truncation()

    def encode(texts: list[str]) -> list[list[int]]:
        return [found.ids for found in loaded.encode_batch_fast(texts, add_special_tokens=False)]

    # Ids may leave gaps; the vocabulary must reach beyond the last.
    words = loaded.get_vocab(with_added_tokens=True)
    return CorpusTokenizer(name, tokenizer_id, max(words.values(), default=-1) + 1, encode)


def _trained(given: str, corpus: Corpus, cache: Path) -> CorpusTokenizer:
    """Byte-level BPE of a size, trained on the corpus; kept, so that it is trained once."""
    size = given.removeprefix(BPE)
    if not size.isdigit() or not LEAST_BPE <= int(size) <= MOST_BPE:
        raise InputError(f"'{given}' is no size of a vocabulary; write bpe:SIZE with {LEAST_BPE} to {MOST_BPE:,}.")
    digest = corpus.corpus_id.removeprefix("sha256:")
    kept = cache / "corpora" / "tokenizers" / f"bpe-{size}-{digest[:32]}-v{TRAINER_VERSION}.json"
    try:
        data = kept.read_bytes()
        os.utime(kept)  # what was used last goes last, should room be needed
    except FileNotFoundError:
        data = _train((piece.text for piece in corpus.pieces()), int(size))
        kept.parent.mkdir(parents=True, exist_ok=True)
        passing = kept.with_name(f".{uuid.uuid4().hex}.tmp")
        passing.write_bytes(data)
        os.replace(passing, kept)
    return _tokenizers(data, f"bpe:{size} of {corpus.name}")


def _train(texts: Iterable[str], size: int) -> bytes:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return json.dumps(json.loads(tokenizer.to_str()), sort_keys=True).encode()


def _id(*files: bytes) -> str:
    """`sha256:` and the hash of one file, or of the hashes of several."""
    digests = [hashlib.sha256(data).hexdigest() for data in files]
    return f"sha256:{digests[0] if len(digests) == 1 else hashlib.sha256(' '.join(digests).encode()).hexdigest()}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
