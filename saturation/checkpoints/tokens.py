"""A text as the tokenizer that goes with a checkpoint splits it. Imports transformers when called."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saturation.checkpoints.layout import TOKENIZER_FILES
from saturation.checkpoints.load import first_line, quiet_transformers
from saturation.checkpoints.source import Source
from saturation.errors import CheckpointError, TextError


@dataclass(frozen=True)
class Tokens:
    """A tokenized text: ids (n,), the tokenizer's end-of-text id, and the text that the ids spell."""

    ids: torch.Tensor
    end_of_text: int | None
    text: str


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
        raise TextError(f"The model's tokenizer cannot encode this text: {first_line(error)}") from error
    ids, end = encoded["input_ids"], loaded.eos_token_id
    if max_tokens is not None and len(ids) > max_tokens:
        ids = ids[:max_tokens]
        text = text[: encoded["offset_mapping"][max_tokens - 1][1]] if loaded.is_fast else loaded.decode(ids)
    return Tokens(torch.tensor(ids, dtype=torch.long), end if isinstance(end, int) else None, text)
