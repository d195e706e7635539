"""Last hidden states of a text in a file that is gone when its process is: float16, mapped into memory."""

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from saturation.errors import InputError, NotFiniteError, TextError
from saturation.measures.trained_heads import States

MOST_BYTES = 16 * 2**30
TRAIN_SHARE, VALIDATION_SHARE = 0.8, 0.1


class Split(NamedTuple):
    """Ends of the three parts of a text, in tokens: training, validation, evaluation (the text's own end)."""

    train: int
    validation: int
    evaluation: int


def split(tokens: int, context_length: int) -> Split:
    """Contiguous parts of whole windows: 80 % for training, 10 % for validation, the last 10 % for evaluation.

    Raises TextError for a text of fewer than ten windows.
    """
    windows = -(-tokens // context_length)
    if windows < 10:
        raise TextError(
            f"The text has {tokens:,} tokens, {windows} window(s) of {context_length:,}; to train heads it needs at "
            "least ten: give a longer text or a shorter --context-length."
        )
    train = int(windows * TRAIN_SHARE)
    validation = int(windows * (TRAIN_SHARE + VALIDATION_SHARE))
    parts = Split(train * context_length, validation * context_length, tokens)
    if min(parts.validation - parts.train, tokens - parts.validation) < 2:
        raise TextError(
            f"A tenth of the text's {tokens:,} tokens is too little to choose a head by and to judge it; give a longer "
            "text."
        )
    return parts


def size(tokens: int, hidden_size: int) -> int:
    """Bytes that the states of a text take."""
    return 2 * tokens * hidden_size


class StateFile:
    """Room for the states of `tokens` tokens; they are added in any order and read as slices of that order.

    The file has no name, so that it disappears with the process, however that ends.
    """

    def __init__(self, folder: Path, tokens: int, hidden_size: int) -> None:
        """Reserves the room on the disk. Raises InputError where it is more than allowed or than there is."""
        wanted = size(tokens, hidden_size)
        if wanted > MOST_BYTES:
            fitting = MOST_BYTES // size(1, hidden_size)
            raise InputError(
                f"The states of {tokens:,} tokens take {wanted / 1e9:,.1f} GB, and {MOST_BYTES / 1e9:,.1f} GB are "
                f"allowed; use --max-tokens {fitting} or fewer."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by `close`)
            # Without room on the disk, writing to a mapped file would kill the process.
            os.posix_fallocate(self._file.fileno(), 0, wanted)
        except OSError as error:
            raise InputError(
                f"There is no room in {folder} for {wanted / 1e9:,.1f} GB of states ({error.strerror}); free some, or "
                "use a smaller --max-tokens."
            ) from error
        self._vectors = np.memmap(self._file, dtype=np.float16, mode="r+", shape=(tokens, hidden_size))
        self._targets = torch.empty(tokens, dtype=torch.long)
        self._filled = 0

    def add(self, states: torch.Tensor, targets: torch.Tensor) -> None:
        """The next states (n, hidden_size) and their targets (n,). Raises NotFiniteError beyond float16's range."""
        halved = states.to(torch.float16).cpu()
        if not torch.isfinite(halved).all():
            raise NotFiniteError(
                "The model's last hidden states exceed 65,504 and cannot be kept in float16; only truncated heads "
                "can be measured (--truncated-only)."
            )
        end = self._filled + len(halved)
        self._vectors[self._filled : end] = halved.numpy()
        self._targets[self._filled : end] = targets.cpu()
        self._filled = end

    def part(self, first: int, last: int) -> States:
        """The states from `first` to before `last`, in the order in which they were added; not copied."""
        return States(torch.from_numpy(self._vectors[first:last]), self._targets[first:last])

    def close(self) -> None:
        self._file.close()
