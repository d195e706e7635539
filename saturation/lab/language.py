"""A synthetic language whose best possible loss, and the rank of whose logits, are known exactly.

Every token has a class. The next token depends on the classes of the two tokens before it, through logits
L = U E^T of shape (contexts, vocab_size) and of exactly the rank asked for, so that the softmax bottleneck
(Yang et al. 2018, arXiv 1711.03953; Godey et al. 2024, arXiv 2404.07647) has a known width. All answers are
computed in float64 from the tables, never sampled. Losses and entropies are in nats per token.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from saturation.errors import InputError
from saturation.lab.alias import AliasTables, build_alias_tables
from saturation.lab.words import pseudo_words

TEXT_STREAM = 1  # keeps the random numbers of texts apart from those that draw the language itself


@dataclass(frozen=True)
class Language:
    """A second-order language over `vocab_size` tokens in `classes` classes.

    A context is the pair (class of token t-2, class of token t-1), numbered `older * classes + newer`. The
    first component of the logits is the logarithm of Zipf's law with `zipf_exponent`, the same in every
    context; the other `rank - 1` are Gaussian, and `logit_scale` is the standard deviation of their sum.
    """

    vocab_size: int = 1024
    classes: int = 16
    rank: int = 128
    zipf_exponent: float = 1.0
    logit_scale: float = 1.9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.vocab_size < 2:
            raise InputError(f"vocab_size is {self.vocab_size}, but a language needs at least 2 tokens.")
        if not 1 <= self.classes <= self.vocab_size:
            raise InputError(
                f"classes is {self.classes}, but it must lie between 1 and vocab_size ({self.vocab_size})."
            )
        largest = min(self.contexts, self.vocab_size)
        if not 1 <= self.rank <= largest:
            raise InputError(
                f"rank is {self.rank}, but logits of {self.contexts} contexts by {self.vocab_size} tokens"
                f" can only have a rank between 1 and {largest}."
            )
        if not 0.0 < self.zipf_exponent <= 10.0:
            raise InputError(f"zipf_exponent is {self.zipf_exponent}, but it must lie above 0 and at most at 10.")
        # Outside these bounds the rank is lost in rounding, or probabilities come out as zero.
        if not 1e-3 <= self.logit_scale <= 50.0:
            raise InputError(f"logit_scale is {self.logit_scale}, but it must lie between 0.001 and 50.")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, but it must be 0 or a positive whole number.")

    def settings(self) -> dict[str, Any]:
        """What decides the tokens."""
        return {"kind": "language", **asdict(self)}

    def describe(self, context_length: int) -> dict[str, Any]:
        """Its entropies in nats per token, and the best possible loss in windows of `context_length`."""
        return {
            "entropy_rate": self.entropy_rate,
            "first_order_entropy": self.first_order_entropy,
            "window_floor": self.window_floor(context_length),
        }

    def save_tokenizer(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` into `folder`, which must exist."""
        from saturation.lab.tokenizer import save_tokenizer

        save_tokenizer(self, folder)

    @property
    def contexts(self) -> int:
        """The number of contexts: `classes` squared."""
        return self.classes**2

    @cached_property
    def token_classes(self) -> np.ndarray:
        """The class of each token, of shape (vocab_size,).

        Every run of `classes` tokens, in the order of frequency, holds each class once, so that no class
        gathers all the frequent tokens.
        """
        generator = np.random.default_rng([self.seed, 10])
        rounds = -(-self.vocab_size // self.classes)
        return np.concatenate([generator.permutation(self.classes) for _ in range(rounds)])[: self.vocab_size]

    @cached_property
    def logits(self) -> np.ndarray:
        """Next-token logits L = U E^T of shape (contexts, vocab_size) and of rank `rank`."""
        generator = np.random.default_rng([self.seed, 11])
        context_factors = generator.standard_normal((self.contexts, self.rank))
        token_factors = generator.standard_normal((self.vocab_size, self.rank))
        token_factors *= self.logit_scale / math.sqrt(max(self.rank - 1, 1))
        zipf = np.arange(1, self.vocab_size + 1, dtype=np.float64) ** -self.zipf_exponent
        context_factors[:, 0] = 1.0
        token_factors[:, 0] = np.log(zipf / zipf.sum())
        return context_factors @ token_factors.T

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        """Logarithms of `probabilities`, of shape (contexts, vocab_size)."""
        shifted = self.logits - self.logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The true contextual distribution of the next token, of shape (contexts, vocab_size)."""
        return np.exp(self.log_probabilities)

    @cached_property
    def context_entropies(self) -> np.ndarray:
        """The entropy of the next token in each context, of shape (contexts,), in nats."""
        return -(self.probabilities * self.log_probabilities).sum(axis=1)

    @cached_property
    def class_probabilities(self) -> np.ndarray:
        """The probability of the next token's class in each context, of shape (contexts, classes)."""
        members = np.zeros((self.vocab_size, self.classes))
        members[np.arange(self.vocab_size), self.token_classes] = 1.0
        return self.probabilities @ members

    def advance(self, distribution: np.ndarray) -> np.ndarray:
        """The distribution over contexts one token later; both of shape (contexts,).

        From (older, newer) a token of class c leads to (newer, c).
        """
        joint = distribution[:, None] * self.class_probabilities
        return joint.reshape(self.classes, self.classes, self.classes).sum(axis=0).ravel()

    @cached_property
    def stationary(self) -> np.ndarray:
        """The stationary distribution over contexts, of shape (contexts,), from pi (P - I) = 0 and sum pi = 1."""
        transitions = np.zeros((self.contexts, self.contexts))
        for context in range(self.contexts):
            newer = context % self.classes
            transitions[context, newer * self.classes : (newer + 1) * self.classes] = self.class_probabilities[context]
        system = transitions.T - np.eye(self.contexts)
        system[-1] = 1.0  # one balance equation is redundant: the sum of pi takes its place
        right = np.zeros(self.contexts)
        right[-1] = 1.0
        solution = np.clip(np.linalg.solve(system, right), 0.0, None)
        return solution / solution.sum()

    @cached_property
    def unigram(self) -> np.ndarray:
        """The frequency of each token in the long run, of shape (vocab_size,)."""
        return self.stationary @ self.probabilities

    @cached_property
    def entropy_rate(self) -> float:
        """The best possible loss when at least the two previous tokens are seen, in nats per token."""
        return float(self.stationary @ self.context_entropies)

    def _older_and_token(self, distribution: np.ndarray) -> np.ndarray:
        """The joint distribution of (the class before a token, that token), of shape (classes, vocab_size).

        `distribution`, of shape (contexts,), is that of the context in which the token is drawn.
        """
        by_context = distribution[:, None] * self.probabilities
        return by_context.reshape(self.classes, self.classes, self.vocab_size).sum(axis=0)

    @cached_property
    def older_given_token(self) -> np.ndarray:
        """P(class of token t-2 | token t-1) in the long run, of shape (classes, vocab_size); columns sum to 1.

        It depends on the token and not only on its class: which word was chosen says something about the
        context it was chosen in.
        """
        return self._older_and_token(self.stationary) / self.unigram

    @cached_property
    def first_order_losses(self) -> np.ndarray:
        """Expected loss of the best predictor that sees only token t-1, of shape (classes, vocab_size).

        Row: the class of token t-2, hidden from the predictor. Column: token t-1. The predictor mixes the
        contexts by `older_given_token`; the next token comes from the true context.
        """
        losses = np.empty((self.classes, self.vocab_size))
        by_context = self.probabilities.reshape(self.classes, self.classes, self.vocab_size)
        for newer in range(self.classes):
            tokens = np.flatnonzero(self.token_classes == newer)
            true = by_context[:, newer]  # (classes, vocab_size)
            mixtures = self.older_given_token[:, tokens].T @ true  # (tokens, vocab_size)
            losses[:, tokens] = -true @ np.log(mixtures).T
        return losses

    @cached_property
    def first_order_entropy(self) -> float:
        """The best possible loss when only the previous token is seen, in nats per token."""
        return float((self._older_and_token(self.stationary) * self.first_order_losses).sum())

    @cached_property
    def _context_after_start(self) -> np.ndarray:
        """The distribution of the context right after the end-of-text token, of shape (contexts,)."""
        start = np.zeros((self.classes, self.classes))
        start[:, self.token_classes[0]] = self.older_given_token[:, 0]
        return start.ravel()

    def floor(self, tokens: int, context_length: int) -> float:
        """The expected loss, in nats per token, of the best model on a text of `tokens` tokens under our protocol.

        The text (`sample_text_tokens`) continues the end-of-text token and is scored in windows of
        `context_length`. A window's input begins with the one token before it, so its first token is
        predicted from one token, and every later one from two or more. The text starts from token 0 and not
        from stationarity: its first tokens are followed exactly, until the context's distribution is
        stationary to rounding.
        """
        if tokens < 1 or context_length < 1:
            raise InputError(
                f"The floor of {tokens} tokens in windows of {context_length} does not exist: both must be 1 or more."
            )
        context = self._context_after_start
        total = float(self.older_given_token[:, 0] @ self.first_order_losses[:, 0])
        for position in range(1, tokens):
            joint = self._older_and_token(context)
            context = self.advance(context)
            if np.abs(context - self.stationary).max() < 1e-14:
                rest = tokens - position
                starts = -(-tokens // context_length) - -(-position // context_length)
                total += starts * self.first_order_entropy + (rest - starts) * self.entropy_rate
                break
            if position % context_length == 0:
                total += float((joint * self.first_order_losses).sum())
            else:
                total += float(context @ self.context_entropies)
        return total / tokens

    def window_floor(self, context_length: int) -> float:
        """The best possible loss on windows of `context_length` drawn from stationarity, as in training."""
        if context_length < 1:
            raise InputError(f"context_length is {context_length}, but it must be 1 or more.")
        return (self.first_order_entropy + (context_length - 1) * self.entropy_rate) / context_length

    def spectrum(self, weighted: bool = False) -> np.ndarray:
        """Singular values, in descending order, of the true contextual probability matrix (contexts, vocab_size).

        With `weighted` each row is first multiplied by the square root of its context's stationary
        probability, so that squared errors count as often as the context occurs.
        """
        matrix = self.probabilities
        if weighted:
            matrix = np.sqrt(self.stationary)[:, None] * matrix
        return np.linalg.svd(matrix, compute_uv=False)

    def w_error(self, weighted: bool = False) -> np.ndarray:
        """W-error of the probability matrix at every rank from 0 on: ||sigma_{d+1:}||_2 / ||W||_F (2404.07647)."""
        squares = self.spectrum(weighted) ** 2
        tails = np.append(np.cumsum(squares[::-1])[::-1], 0.0)
        return np.sqrt(tails / tails[0])

    @cached_property
    def alias_tables(self) -> AliasTables:
        """Alias tables of `probabilities`."""
        return build_alias_tables(self.probabilities)

    def sample(self, sequences: int, length: int, generator: np.random.Generator) -> np.ndarray:
        """Independent sequences from stationarity, int64 of shape (sequences, length)."""
        cumulative = np.cumsum(self.stationary)
        context = np.searchsorted(cumulative, generator.random(sequences) * cumulative[-1], side="right")
        tokens = np.empty((length, sequences), dtype=np.int64)
        newer = context % self.classes
        for position in range(length):
            tokens[position] = self.alias_tables.draw(context, generator.random(sequences))
            older, newer = newer, self.token_classes[tokens[position]]
            context = older * self.classes + newer
        return np.ascontiguousarray(tokens.T)

    def sample_text_tokens(self, tokens: int, seed: int) -> np.ndarray:
        """One stream that continues the end-of-text token (not included), int64 of shape (tokens,)."""
        if tokens < 1:
            raise InputError(f"A text of {tokens} tokens cannot be drawn: ask for 1 or more.")
        generator = np.random.default_rng([self.seed, TEXT_STREAM, seed])
        older = int(generator.choice(self.classes, p=self.older_given_token[:, 0]))
        newer = int(self.token_classes[0])
        # Plain lists: one token at a time, they are several times faster than arrays.
        scaled = generator.random(tokens) * self.vocab_size
        columns = scaled.astype(np.int64)
        keep, alias = self.alias_tables.keep.ravel().tolist(), self.alias_tables.alias.ravel().tolist()
        classes_of = self.token_classes.tolist()
        stream = []
        for column, share in zip(columns.tolist(), (scaled - columns).tolist(), strict=True):
            cell = (older * self.classes + newer) * self.vocab_size + column
            token = column if share < keep[cell] else alias[cell]
            stream.append(token)
            older, newer = newer, classes_of[token]
        return np.array(stream, dtype=np.int64)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The word of each token; token 0, the end-of-text token, is a full stop."""
        return pseudo_words(self.vocab_size, self.seed)

    @cached_property
    def _token_of_word(self) -> dict[str, int]:
        return {word: token for token, word in enumerate(self.words)}

    def decode(self, tokens: Iterable[int]) -> str:
        """The words of `tokens`, joined by single spaces."""
        ids = [int(token) for token in tokens]
        wrong = next((token for token in ids if not 0 <= token < self.vocab_size), None)
        if wrong is not None:
            raise InputError(f"Token {wrong} does not exist: the language has {self.vocab_size} tokens, from 0 on.")
        return " ".join(self.words[token] for token in ids)

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text of this language, int64 of shape (words,)."""
        words = text.split()
        wrong = next((word for word in words if word not in self._token_of_word), None)
        if wrong is not None:
            raise InputError(f"{wrong!r} is not a word of this language.")
        return np.array([self._token_of_word[word] for word in words], dtype=np.int64)

    def text(self, tokens: int, seed: int) -> str:
        """A text of `tokens` words, from `sample_text_tokens`."""
        return self.decode(self.sample_text_tokens(tokens, seed))
