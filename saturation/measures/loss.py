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
from saturation.measures.head import Head

# Logits of one chunk: 2^22 float32 values are 16 MiB, which the passes over them find in a processor's cache.
LOGITS_PER_CHUNK = 2**22
LOWEST = -1e30  # stands for minus infinity, whose difference with itself would be NaN
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

        logits: maps states (k, hidden_size) to float logits (k, vocab_size). A `Head` on the CPU is taken in pieces of
        the vocabulary, so that its weights are read once for all states; anything else in pieces of the states.
        """
        if isinstance(logits, Head) and states.device.type == "cpu":
            if len(states):
                self._by_vocabulary(states, targets, logits)
            return
        most = LOGITS_PER_CHUNK if states.device.type == "cpu" else LOGITS_PER_CHUNK_ON_GPU
        rows = max(1, most // vocab_size)
        for start in range(0, len(states), rows):
            wanted = targets[start : start + rows]
            scores = logits(states[start : start + rows]).float()
            picked, top = scores.gather(1, wanted[:, None])[:, 0], scores.amax(1)
            # argmax over everything would take longer than the losses; only ties need it.
            hits = torch.nonzero(picked == top)[:, 0]
            correct = int((scores[hits].argmax(1) == wanted[hits]).sum()) if len(hits) else 0
            self._add((scores - top[:, None]).exp_().sum(1).log_().sub_(picked - top), correct)

    def _by_vocabulary(self, states: torch.Tensor, targets: torch.Tensor, head: Head) -> None:
        """The largest logit of each state so far, and the sum of the exponentials of all less that one."""
        width = max(1, LOGITS_PER_CHUNK // len(states))
        top = torch.full((len(states),), LOWEST)
        total = torch.zeros(len(states), dtype=torch.float64)
        picked, leads = torch.zeros_like(top), torch.zeros(len(states), dtype=torch.bool)
        for first in range(0, len(head.weight), width):
            scores = head.piece(first, first + width)(states).float()
            largest = scores.amax(1)
            inside = torch.nonzero((targets >= first) & (targets < first + width))[:, 0]
            own = scores[inside, targets[inside] - first]
            picked[inside] = own
            # Of equal guesses the first counts: nothing before the target may be as large.
            hits = inside[(own == largest[inside]) & (own > top[inside])]
            leads[hits] = scores[hits].argmax(1) == targets[hits] - first
            above = torch.maximum(top, largest)
            total = total * (top - above).exp_() + scores.sub_(above[:, None]).exp_().sum(1)
            top = above
        self._add(total.log_() + (top - picked), int((leads & (picked == top)).sum()))

    def _add(self, losses: torch.Tensor, correct: int) -> None:
        self.nats += float(losses.sum(dtype=torch.float64))
        self.correct += correct
        self.tokens += len(losses)

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
