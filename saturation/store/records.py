"""What is written: a checkpoint, a text, and measurements with their provenance. Frozen, with computed ids."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from saturation.errors import NotFiniteError


def _digest(*parts: object) -> str:
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class CheckpointRow:
    """A set of weights. content_id names the weights themselves: the same folder with new weights is a new row.

    weight_bytes: size of all weight files, whatever part of them was read.
    """

    family: str
    model: str
    step: int | None
    source: str
    revision: str | None
    content_id: str
    hidden_size: int
    layers: int | None
    vocab_size: int
    parameters: int | None
    commit_sha: str | None = None
    weight_bytes: int | None = None

    @property
    def checkpoint_id(self) -> str:
        return _digest(self.family, self.model, self.step, self.source, self.content_id)


@dataclass(frozen=True)
class TextRow:
    """An evaluation text; text_id is the hash of its bytes. Words are counted as the LM Evaluation Harness does."""

    text_id: str
    name: str
    source: str
    utf8_bytes: int
    words: int


@dataclass(frozen=True)
class Measurement:
    """One measure of one checkpoint: its numbers and all that they depend on.

    inputs: what was read besides the weights' content: the head's tensor, or a hash of tokens and configuration.
    scalars: name -> value; series: name -> values in the measure's own order; labels: name -> words in that order.
    Raises NotFiniteError for NaN.
    """

    checkpoint: CheckpointRow
    measure: str
    version: int
    dtype: str
    device: str
    measured_at: datetime
    seconds: float
    bytes_read: int
    software: str
    text: TextRow | None = None
    tokens: int | None = None
    context_length: int | None = None
    inputs: str | None = None
    scalars: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Sequence[float]] = field(default_factory=dict)
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bad = [name for name, value in self.scalars.items() if math.isnan(value)]
        bad += [name for name, values in self.series.items() if any(math.isnan(value) for value in values)]
        if bad:
            raise NotFiniteError(f"The measure {self.measure} gave no number for {', '.join(bad)}; it was not stored.")

    @property
    def measurement_id(self) -> str:
        return measurement_id(
            self.checkpoint.checkpoint_id,
            self.measure,
            self.version,
            self.text.text_id if self.text else None,
            self.dtype,
            self.tokens,
            self.context_length,
            self.inputs,
        )


@dataclass(frozen=True)
class Evaluation:
    """One number of an evaluation harness: of a task, at a step of a model. Known by its name, not by the weights.

    shots: examples in the prompt. stderr: the harness's own standard error. higher_is_better: None where unknown.
    harness: format or version that wrote it. source: the file's name; content_id: hash of its bytes.
    """

    family: str
    model: str
    step: int
    task: str
    metric: str
    value: float
    harness: str
    source: str
    content_id: str
    imported_at: datetime
    shots: int = 0
    stderr: float | None = None
    higher_is_better: bool | None = None
    task_version: str | None = None
    evaluated_at: datetime | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.value):
            raise NotFiniteError(f"{self.task}/{self.metric} in {self.source} is not a number; it was not stored.")


@dataclass(frozen=True)
class NgramCurve:
    """W-error of the n-gram matrix of a corpus under a tokenizer, by rank (arXiv 2404.07647, section 5).

    corpus_id, tokenizer_id: hashes of their contents. gram_order: n; contexts are of n - 1 tokens. method: exact or
    stochastic. vocabulary: size of the tokenizer's; tokens_seen: how many of it the corpus holds. rank_at_half: the
    rank whose W-error is nearest to a half. w_error_low and w_error_high: the band of a stochastic estimate, equal to
    w_error where it is exact; all by `ranks`, ascending.
    """

    corpus_id: str
    corpus: str
    corpus_source: str
    tokenizer_id: str
    tokenizer: str
    gram_order: int
    method: str
    version: int
    tokens: int
    contexts: int
    vocabulary: int
    tokens_seen: int
    frobenius_norm: float
    rank_at_half: int
    ranks: Sequence[int]
    w_error: Sequence[float]
    w_error_low: Sequence[float]
    w_error_high: Sequence[float]
    seconds: float
    measured_at: datetime
    software: str

    def __post_init__(self) -> None:
        _finite(f"The n-gram matrix of {self.corpus}", [*self.w_error, *self.w_error_low, *self.w_error_high])

    @property
    def curve_id(self) -> str:
        return _digest(self.corpus_id, self.tokenizer_id, self.gram_order, self.method, self.version)


@dataclass(frozen=True)
class PlaygroundRow:
    """One width trained on a language whose logits have a known rank. gap: loss above the exact entropy, in nats."""

    rank: int
    vocab_size: int
    contexts: int
    zipf_exponent: float
    logit_scale: float
    seed: int
    width: int
    version: int
    gap: float
    entropy: float
    w_error: float
    tail: float
    train_steps: int
    seconds: float
    measured_at: datetime
    software: str

    def __post_init__(self) -> None:
        _finite(f"The playground's width {self.width}", [self.gap, self.entropy, self.w_error, self.tail])

    @property
    def row_id(self) -> str:
        return _digest(
            *(self.rank, self.vocab_size, self.contexts, float(self.zipf_exponent), float(self.logit_scale)),
            *(self.seed, self.width, self.version),
        )


def _finite(what: str, values: Sequence[float]) -> None:
    if any(math.isnan(value) for value in values):
        raise NotFiniteError(f"{what} gave no number; it was not stored.")


def measurement_id(
    checkpoint_id: str,
    measure: str,
    version: int,
    text_id: str | None,
    dtype: str,
    tokens: int | None,
    context_length: int | None,
    inputs: str | None,
) -> str:
    """The id of a measurement: everything its value depends on, but for the device."""
    return _digest(checkpoint_id, measure, version, text_id, dtype, tokens, context_length, inputs)
