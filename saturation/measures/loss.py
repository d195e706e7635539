"""Next-token loss of a text, and what is derived from it.

Perplexity per word and bits per byte follow the LM Evaluation Harness: the total negative log-likelihood
divided by the number of words (split on whitespace) and of UTF-8 bytes.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from saturation.errors import InputError, NotFiniteError

# Logits of one chunk: 2^22 float32 values are 16 MiB, which the passes over them find in a processor's cache.
LOGITS_PER_CHUNK = 2**22
# On a GPU few large chunks: 256 MiB each.
LOGITS_PER_CHUNK_ON_GPU = 2**26


def count_words(text: str) -> int:
    """Words as the LM Evaluation Harness counts them for word perplexity: pieces between runs of whitespace."""
    return len(re.split(r"\s+", text))


@dataclass(frozen=True)
class Loss:
    """Loss of a text: nats per token, perplexities, bits per byte, share of tokens that were the top guess."""

    nats_per_token: float
    perplexity: float
    word_perplexity: float
    bits_per_byte: float
    accuracy: float
    tokens: int


def _exp(value: float) -> float:
    """exp that goes to infinity instead of raising: a broken model can lose more than 709 nats a word."""
    return math.exp(value) if value < 709 else math.inf


class RunningLoss:
    """Sums of negative log-likelihood and of correct top-1 guesses over chunks of positions."""

    def __init__(self) -> None:
        self.tokens = 0
        self.nats = 0.0
        self.correct = 0

    def update(
        self,
        states: torch.Tensor,
        targets: torch.Tensor,
        logits: Callable[[torch.Tensor], torch.Tensor],
        vocab_size: int,
    ) -> None:
        """Score the states (n, hidden_size) against the targets (n,), a chunk of logits at a time.

        logits: maps states (k, hidden_size) to float logits (k, vocab_size).
        """
        most = LOGITS_PER_CHUNK if states.device.type == "cpu" else LOGITS_PER_CHUNK_ON_GPU
        rows = max(1, most // vocab_size)
        for start in range(0, len(states), rows):
            wanted = targets[start : start + rows]
            scores = logits(states[start : start + rows]).float()
            picked, top = scores.gather(1, wanted[:, None])[:, 0], scores.amax(1)
            # argmax over everything would take longer than the losses; only ties need it.
            hits = torch.nonzero(picked == top)[:, 0]
            self.correct += int((scores[hits].argmax(1) == wanted[hits]).sum()) if len(hits) else 0
            losses = (scores - top[:, None]).exp_().sum(1).log_().sub_(picked - top)
            self.nats += float(losses.sum(dtype=torch.float64))
            self.tokens += len(wanted)

    def value(self, words: int, utf8_bytes: int) -> Loss:
        """The loss of the text whose scored part has this many words and bytes.

        Raises InputError when nothing was scored, NotFiniteError when the model produced NaN.
        """
        if self.tokens == 0 or words == 0 or utf8_bytes == 0:
            raise InputError("No token was scored; give a text of at least two tokens.")
        if not math.isfinite(self.nats):
            raise NotFiniteError("The model's loss is not a number; its weights or activations overflow.")
        mean = self.nats / self.tokens
        return Loss(
            nats_per_token=mean,
            perplexity=_exp(mean),
            word_perplexity=_exp(self.nats / words),
            bits_per_byte=self.nats / utf8_bytes / math.log(2),
            accuracy=self.correct / self.tokens,
            tokens=self.tokens,
        )
