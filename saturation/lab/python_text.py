"""Natural text that every Python brings along: the source of its own standard library and its documentation.

Nothing of it is kept: the tokenizer is a byte-level BPE trained on it, and the tokens are made anew where they are
needed. Another version of Python has another text, so a text is named by the hash of its bytes.
"""

import hashlib
import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saturation.errors import InputError, TextError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
ALPHABET = 257  # the bytes, and the end-of-text token
LARGEST_VOCABULARY = 2**16  # ids are kept in two bytes
# Installed packages are no part of the library; the files named here differ from machine to machine.
APART = ("site-packages", "dist-packages", "__pycache__")
MACHINE = "_sysconfigdata"
LEAST_TOKENS = 1000
HELD_OUT = 20  # one file of so many is never trained on
EXCERPT = 8_000  # characters of a held-out file, so that no long one rules the evaluation text
EVALUATION = 180_000  # characters: about 50,000 tokens of a vocabulary of 4,096


def library_files() -> list[Path]:
    """The library's source files, in the order of their names; `pydoc_data/topics.py` holds the documentation.

    Raises TextError for a Python that comes without its source.
    """
    root = Path(sysconfig.get_path("stdlib"))
    found = [path for path in root.rglob("*.py") if not path.name.startswith(MACHINE)]
    kept = sorted(path for path in found if not {*APART} & {*path.relative_to(root).parts})
    if not kept:
        raise TextError("This Python comes without the source of its standard library; install a full Python.")
    return kept


def _number(path: Path) -> int:
    """A number that follows from a file's place in the library alone."""
    name = path.relative_to(sysconfig.get_path("stdlib")).as_posix()
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")


def training_files() -> Iterator[str]:
    """The text of each file that is trained on."""
    return (_read(path) for path in library_files() if _number(path) % HELD_OUT)


@cache
def evaluation_text() -> str:
    """Beginnings of files that no run was trained on, in a mixed order."""
    held = sorted((path for path in library_files() if _number(path) % HELD_OUT == 0), key=_number)
    excerpts, length = [], 0
    for path in held:
        if length >= EVALUATION:
            break
        excerpts.append(_read(path)[:EXCERPT])
        length += len(excerpts[-1])
    return "\n".join(excerpts)


@dataclass(frozen=True)
class PythonText:
    """The library as a corpus of `vocab_size` tokens; files are joined by the end-of-text token 0.

    training_tokens: train on so many tokens from the beginning only, again and again; None for all.
    """

    vocab_size: int = 4096
    training_tokens: int | None = None

    def __post_init__(self) -> None:
        if not ALPHABET <= self.vocab_size <= LARGEST_VOCABULARY:
            raise InputError(
                f"vocab_size is {self.vocab_size}, but a byte-level BPE of the lab has {ALPHABET} to"
                f" {LARGEST_VOCABULARY} tokens."
            )
        if self.training_tokens is not None and self.training_tokens < LEAST_TOKENS:
            raise InputError(f"training_tokens is {self.training_tokens}, but it must be {LEAST_TOKENS} or more.")

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """A byte-level BPE trained on the training files."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(training_files(), trainer)
        return backend

    @cached_property
    def tokens(self) -> np.ndarray:
        """The training text, uint16 of shape (tokens,)."""
        parts = []
        for encoded in self.tokenizer.encode_batch_fast(list(training_files()), add_special_tokens=False):
            parts += [[0], encoded.ids]
        return np.concatenate(parts).astype(np.uint16)[: self.training_tokens]

    @cached_property
    def content_id(self) -> str:
        """`sha256:` and the hash of the training files: equal texts train equal runs."""
        digest = hashlib.sha256()
        for text in training_files():
            digest.update(f"{len(text)} ".encode() + text.encode())
        return f"sha256:{digest.hexdigest()}"

    def sample(self, sequences: int, length: int, generator: np.random.Generator) -> np.ndarray:
        """Stretches of the text from random places, int64 of shape (sequences, length)."""
        starts = generator.integers(0, len(self.tokens) - length + 1, sequences)
        return self.tokens[starts[:, None] + np.arange(length)].astype(np.int64)

    def settings(self) -> dict[str, Any]:
        """What decides the tokens."""
        return {"kind": "python", **asdict(self), "content_id": self.content_id}

    def describe(self, context_length: int) -> dict[str, Any]:
        """What a reader of a run wants to know besides; `context_length` is that of the run."""
        return {"python": platform.python_version(), "corpus_tokens": len(self.tokens)}

    def save_tokenizer(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` into `folder`, which must exist."""
        from transformers import PreTrainedTokenizerFast

        PreTrainedTokenizerFast(
            tokenizer_object=self.tokenizer,
            eos_token=END_OF_TEXT,
            bos_token=END_OF_TEXT,
            clean_up_tokenization_spaces=False,
        ).save_pretrained(folder)
