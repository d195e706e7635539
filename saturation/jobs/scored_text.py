"""A text as one checkpoint reads it: tokens, the first input, the windows."""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import torch

from saturation import texts
from saturation.checkpoints.load import Shape
from saturation.checkpoints.source import Source
from saturation.checkpoints.tokens import Tokens, find_tokenizer, tokenize, tokenizer_id
from saturation.errors import CheckpointError, InputError, TextError
from saturation.families import registry
from saturation.families.model import Checkpoint
from saturation.jobs.request import Request
from saturation.measures.loss import count_words
from saturation.store import TextRow


@dataclass(frozen=True)
class CountedText:
    """A text as the tokens of a checkpoint, without a model to read them; words and bytes of what they spell."""

    row: TextRow
    tokens: Tokens
    words: int
    utf8_bytes: int

    def inputs(self, head_tensor: str) -> str:
        """Hash of what an alignment depends on besides the weights: tokens, their words, the head's tensor."""
        digest = hashlib.sha256(self.tokens.ids.numpy().tobytes())
        digest.update(f"{self.tokens.vocabulary} {head_tensor}".encode())
        return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True)
class ScoredText:
    """Token ids (n,), the id that the first window starts with, the window, and the scored words and bytes.

    inputs: hash of what the model reads (tokens, first input) and of its configuration.
    """

    row: TextRow
    ids: torch.Tensor
    first_token: int
    context_length: int
    words: int
    utf8_bytes: int
    inputs: str


class TextReader:
    """Reads the requested text for one checkpoint after another; each tokenizer sees a text once, on any thread."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self._texts: dict[str | None, texts.Text] = {}
        self._counted: dict[tuple[str, str], CountedText] = {}
        self._lock = threading.Lock()

    def count(self, checkpoint: Checkpoint, source: Source) -> CountedText:
        """The text as tokens of this checkpoint. Raises TextError, CheckpointError without a tokenizer."""
        tokenizer = find_tokenizer(source, self.request.tokenizer)
        with self._lock:
            text = self._text(registry.family(checkpoint.family).text_of(checkpoint.model))
            counted = self._of(tokenizer, text)
        if len(counted.tokens.ids) < 2:
            number = len(counted.tokens.ids)
            raise TextError(f"The text '{text.name}' has {number} token(s) for this model; give one of at least two.")
        return counted

    def read(self, checkpoint: Checkpoint, source: Source, shape: Shape) -> ScoredText:
        """The text as this checkpoint's model reads it.

        Raises TextError for a text that cannot be scored, CheckpointError without a configuration or tokenizer,
        InputError where no end-of-text token is named.
        """
        folder = source.config_folder()
        if folder is None:
            raise CheckpointError(
                f"{source.where} is a bare weight file, so no text can be run through it; give a model folder, or "
                "measure its spectrum only (--measures spectrum)."
            )
        context_length = self.request.context_length or shape.context_length
        if context_length is None:
            raise InputError(
                f"The configuration of {checkpoint.name} names no context length; give one with --context-length."
            )
        counted = self.count(checkpoint, source)
        tokens = counted.tokens
        own = tokens.end_of_text
        first = own if own is not None and 0 <= own < shape.vocab_size else shape.end_of_text
        if first is None:
            raise InputError(
                f"Neither the tokenizer nor the configuration of {checkpoint.name} names an end-of-text token, "
                "which the first window starts with; set eos_token_id in its config.json."
            )
        return ScoredText(
            row=counted.row,
            ids=tokens.ids,
            first_token=first,
            context_length=min(context_length, shape.context_length or context_length),
            words=counted.words,
            utf8_bytes=counted.utf8_bytes,
            inputs=_hash(tokens.ids, first, folder),
        )

    def _text(self, default: str | None) -> texts.Text:
        if default not in self._texts:
            self._texts[default] = texts.choose(self.request.text, default)
        return self._texts[default]

    def _of(self, tokenizer: Path, text: texts.Text) -> CountedText:
        key = (tokenizer_id(tokenizer), text.text_id)
        if key not in self._counted:  # the last one only: the texts of large corpora take much memory
            tokens = tokenize(tokenizer, text.content, self.request.max_tokens)
            size, words = len(text.content.encode()), count_words(text.content)
            row = TextRow(text.text_id, text.name, text.source, size, words)
            self._counted = {key: CountedText(row, tokens, count_words(tokens.text), len(tokens.text.encode()))}
        return self._counted[key]


def _hash(ids: torch.Tensor, first_token: int, folder: Path) -> str:
    """Another tokenizer or an edited configuration gives other numbers for the same text and weights."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    digest.update(ids.numpy().tobytes())
    digest.update(str(first_token).encode())
    return f"sha256:{digest.hexdigest()}"
