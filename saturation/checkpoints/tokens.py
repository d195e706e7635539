"""A text as the tokenizer that goes with a checkpoint splits it. Imports transformers when called."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from saturation.checkpoints.hub_snapshot import SMALL_FILES
from saturation.checkpoints.layout import TOKENIZER_FILES
from saturation.checkpoints.load import first_line, quiet_transformers
from saturation.checkpoints.source import Source
from saturation.errors import CheckpointError, TextError

PIECE_SPACE = "▁"
_VISIBLE = {" ": "␣", "\\": "\\\\"}


@dataclass(frozen=True)
class Tokens:
    """A tokenized text: ids (n,), the tokenizer's end-of-text id, and the text that the ids spell."""

    ids: torch.Tensor
    end_of_text: int | None
    text: str
    tokenizer: Any = field(repr=False, compare=False)

    @cached_property
    def vocabulary(self) -> str:
        """Hash of which word each id stands for."""
        words = sorted((number, word) for word, number in self.tokenizer.get_vocab().items())
        return hashlib.sha256(repr(words).encode()).hexdigest()

    def words(self, ids: Iterable[int]) -> list[str]:
        """Tokens as a reader can tell them apart: `␣the`, `\\n`, `\\xe2` for a part of a letter.

        An id that the tokenizer has no word for, as heads hold more rows than it has words, is `<id 50300>`.
        """
        return [_spelled(self.tokenizer, int(number)) for number in ids]


def find_tokenizer(source: Source, given: Path | None = None) -> Path:
    """Where the tokenizer lies: the path given, else the checkpoint's folder, else its run's folder.

    Raises CheckpointError when there is none.
    """
    if given is not None and given.is_file():
        return given
    for folder in [given] if given else source.tokenizer_folders():
        if any((folder / name).is_file() for name in TOKENIZER_FILES):
            return folder
    raise CheckpointError(
        f"{given or source.where} holds no tokenizer; save it beside the weights, or name its folder or "
        "tokenizer.json with --tokenizer."
    )


def tokenizer_id(tokenizer: Path) -> str:
    """Hash of a tokenizer's files: those of the checkpoints of one run are mostly the same."""
    digest = hashlib.sha256()
    for path in [tokenizer] if tokenizer.is_file() else [tokenizer / name for name in SMALL_FILES]:
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)} ".encode())
            digest.update(content)
    return digest.hexdigest()


def _load(path: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    quiet_transformers()
    try:
        if path.is_file():
            return PreTrainedTokenizerFast(tokenizer_file=str(path))
        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises bare Exception for a damaged file
        raise CheckpointError(f"The tokenizer in {path} cannot be loaded: {first_line(error)}") from error


def tokenize(tokenizer: Path, text: str, max_tokens: int | None = None) -> Tokens:
    """The text as a tokenizer splits it, without special tokens, cut to max_tokens.

    Raises CheckpointError for a tokenizer that cannot be loaded, TextError for a text that it cannot encode.
    """
    loaded = _load(tokenizer)
    try:
        encoded = loaded(text, add_special_tokens=False, return_offsets_mapping=loaded.is_fast, verbose=False)
    except Exception as error:  # the tokenizers library raises bare Exception for an unknown word
        why = first_line(error).rstrip(".")
        raise TextError(
            f"The model's tokenizer cannot encode this text: {why}; name a text of its own kind instead."
        ) from error
    ids, end = encoded["input_ids"], loaded.eos_token_id
    if max_tokens is not None and len(ids) > max_tokens:
        ids = ids[:max_tokens]
        text = text[: encoded["offset_mapping"][max_tokens - 1][1]] if loaded.is_fast else loaded.decode(ids)
    return Tokens(torch.tensor(ids, dtype=torch.long), end if isinstance(end, int) else None, text, loaded)


def _spelled(tokenizer: Any, number: int) -> str:
    raw = tokenizer.convert_ids_to_tokens(number) if 0 <= number < len(tokenizer) else None
    if raw is None:
        return f"<id {number}>"
    if PIECE_SPACE in raw:  # SentencePiece: decoding a piece by itself would lose its space
        return _visible(raw.replace(PIECE_SPACE, " "))
    word = tokenizer.decode([number], clean_up_tokenization_spaces=False)
    if "\ufffd" in word and set(raw) <= _BYTES.keys():  # part of a letter
        word = bytes(_BYTES[letter] for letter in raw).decode("utf-8", errors="surrogateescape")
    return _visible(word or raw)


def _visible(word: str) -> str:
    """A word with its spaces as `␣`, and as Python writes them: backslashes, control characters, single bytes."""
    return "".join(_VISIBLE.get(letter) or _escaped(letter) for letter in word)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte that surrogateescape kept
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _byte_letters() -> dict[str, int]:
    """Which byte a letter of a byte-level token stands for: itself where it can be seen, else one from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + place): byte for place, byte in enumerate(unseen)}


_BYTES = _byte_letters()
