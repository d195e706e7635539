"""What the lab's runs are trained on: a synthetic language or natural text, by one interface."""

import dataclasses
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from saturation.errors import InputError
from saturation.lab.language import Language
from saturation.lab.python_text import PythonText


class Corpus(Protocol):
    """Something to train on."""

    @property
    def vocab_size(self) -> int: ...

    def sample(self, sequences: int, length: int, generator: np.random.Generator) -> np.ndarray:
        """Independent sequences, int64 of shape (sequences, length)."""

    def settings(self) -> dict[str, Any]:
        """What decides its tokens, as plain values; `kind` names the class."""

    def describe(self, context_length: int) -> dict[str, Any]:
        """What a reader of a run wants to know besides; `context_length` is that of the run."""

    def save_tokenizer(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` into `folder`, which must exist."""


KINDS: dict[str, type[Language] | type[PythonText]] = {"language": Language, "python": PythonText}


def corpus_of(values: dict[str, Any]) -> Language | PythonText:
    """The corpus of a table of settings, whose `kind` is a key of `KINDS`. Raises InputError."""
    kind = values.get("kind")
    if kind not in KINDS:
        raise InputError(f"The kind of a corpus is {kind!r}, but it must be one of {', '.join(KINDS)}.")
    known = {field.name for field in dataclasses.fields(KINDS[kind])}
    wrong = sorted(set(values) - known - {"kind"})
    if wrong:
        raise InputError(f"A corpus of the kind {kind} has no setting {wrong[0]!r}.")
    return KINDS[kind](**{key: value for key, value in values.items() if key != "kind"})
