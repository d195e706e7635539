"""One forward pass over a text: loss and anisotropy of every layer, from running sums.

Protocol (the LM Evaluation Harness's rolling log-likelihood with a context of one): each token is scored exactly
once, in windows of the context length; a window's input starts with the token before it, the first one with the
model's end-of-text token. Hidden states are those at the input positions: as many as tokens scored.
Memory does not depend on the length of the text: no hidden state outlives its batch but for a bounded sample,
no pair is formed, logits exist one chunk at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from saturation.errors import InputError, NotFiniteError, TextError
from saturation.measures.anisotropy import RunningAnisotropy, RunningCentredAnisotropy
from saturation.measures.head import Head
from saturation.measures.loss import Loss, RunningLoss

TOKENS_PER_BATCH = 4096
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Parts:
    """What a pass needs of a model.

    base: input ids (batch, length) -> the states (batch, length, hidden_size) that the head reads.
    blocks: the transformer blocks in order.
    logits: states (n, hidden_size) -> logits (n, vocab_size), with all that follows the head.
    head: the same map in pieces, where another head is to take its place.
    """

    base: Callable[[torch.Tensor], torch.Tensor]
    blocks: tuple[torch.nn.Module, ...]
    logits: Callable[[torch.Tensor], torch.Tensor]
    vocab_size: int
    device: torch.device
    head: Head | None = None


@dataclass(frozen=True)
class Anisotropy:
    """Anisotropy by layer, 0 (embedding output) to the number of layers (what the head reads, after the norm)."""

    layers: list[float]
    centred_layers: list[float]
    last_before_norm: float
    centred_last_before_norm: float
    tokens: int


@dataclass(frozen=True)
class TextMeasures:
    loss: Loss | None
    anisotropy: Anisotropy | None


def window_batches(
    tokens: torch.Tensor, first_token: int, context_length: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of (inputs, targets), each (windows, length); every token is a target exactly once.

    tokens: (n,) ids of the whole text, without special tokens. Windows come in an order that is spread over the
    text (a golden-ratio sequence), so that running means settle early; the last, shorter window comes last.
    """
    inputs = torch.cat([tokens.new_tensor([first_token]), tokens[:-1]])
    full = len(tokens) // context_length
    cut = full * context_length
    if full:
        order = torch.argsort(torch.argsort(torch.arange(1, full + 1, dtype=torch.float64) * GOLDEN % 1))
        input_windows = inputs[:cut].view(full, context_length)
        target_windows = tokens[:cut].view(full, context_length)
        for chosen in order.split(max(1, TOKENS_PER_BATCH // context_length)):
            yield input_windows[chosen], target_windows[chosen]
    if cut < len(tokens):
        yield inputs[None, cut:], tokens[None, cut:]


@torch.inference_mode()
def state_batches(
    parts: Parts, tokens: torch.Tensor, first_token: int, context_length: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of (states (n, hidden_size) that the head reads, targets (n,)) of a text in the protocol's windows.

    tokens: (n,) ids without special tokens. Both are on the model's device.
    Raises TextError below two tokens, InputError for ids outside the vocabulary, NotFiniteError for NaN.
    """
    if len(tokens) < 2:
        raise TextError(f"The text has {len(tokens)} token(s); at least two are needed to measure a loss.")
    if int(tokens.max()) >= parts.vocab_size or int(tokens.min()) < 0:
        raise InputError(
            f"The tokenizer gives token {int(tokens.max())}, but the model's vocabulary ends at "
            f"{parts.vocab_size - 1}; use the tokenizer that the model was trained with."
        )
    for inputs, targets in window_batches(tokens, first_token, context_length):
        states = parts.base(inputs.to(parts.device))
        if not torch.isfinite(states.sum()) and not torch.isfinite(states).all():
            raise NotFiniteError("The model's hidden states overflow to NaN or infinity; try --dtype float32.")
        yield states.reshape(-1, states.shape[-1]), targets.reshape(-1).to(parts.device)


class _LayerSums:
    """Running anisotropy, plain and centred, of one layer."""

    def __init__(self, expected: int) -> None:
        self.plain = RunningAnisotropy()
        self.centred = RunningCentredAnisotropy(expected)

    def update(self, states: torch.Tensor) -> None:
        vectors = states.reshape(-1, states.shape[-1])
        self.plain.update(vectors)
        self.centred.update(vectors)


class _Hooks:
    """Feeds what enters each block, and what leaves the last one, to running sums."""

    def __init__(self, blocks: tuple[torch.nn.Module, ...], expected: int) -> None:
        self.inputs = [_LayerSums(expected) for _ in blocks]
        self.before_norm = _LayerSums(expected)
        self._handles = [
            block.register_forward_pre_hook(self._reader(sums), with_kwargs=True)
            for block, sums in zip(blocks, self.inputs, strict=True)
        ]
        self._handles.append(blocks[-1].register_forward_hook(self._last))

    @staticmethod
    def _reader(sums: _LayerSums) -> Callable[..., None]:
        def read(module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
            sums.update(args[0] if args else kwargs["hidden_states"])

        return read

    def _last(self, module: torch.nn.Module, args: tuple, output: torch.Tensor | tuple) -> None:
        self.before_norm.update(output if isinstance(output, torch.Tensor) else output[0])

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


@torch.inference_mode()
def measure_text(
    parts: Parts,
    tokens: torch.Tensor,
    first_token: int,
    context_length: int,
    *,
    words: int,
    utf8_bytes: int,
    loss: bool = True,
    anisotropy: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> TextMeasures:
    """Loss and anisotropy of a tokenized text of n tokens under one model.

    tokens: (n,) ids without special tokens; words and utf8_bytes: of the text that these tokens spell.
    progress is called with (tokens done, n) after each batch.
    Raises TextError below two tokens, InputError for ids outside the vocabulary, NotFiniteError for NaN.
    """
    total = len(tokens)
    hooks = _Hooks(parts.blocks, total) if anisotropy else None
    head_input, running = _LayerSums(total), RunningLoss()
    done = 0
    try:
        for states, targets in state_batches(parts, tokens, first_token, context_length):
            if anisotropy:
                head_input.update(states)
            if loss:
                running.update(states, targets, parts.logits, parts.vocab_size)
            done += targets.numel()
            if progress:
                progress(done, total)
    finally:
        if hooks:
            hooks.remove()
    return TextMeasures(
        loss=running.value(words, utf8_bytes) if loss else None,
        anisotropy=_collect(hooks, head_input, total) if hooks else None,
    )


def _collect(hooks: _Hooks, head_input: _LayerSums, tokens: int) -> Anisotropy:
    layers = [*hooks.inputs, head_input]
    return Anisotropy(
        layers=[sums.plain.value() for sums in layers],
        centred_layers=[sums.centred.value() for sums in layers],
        last_before_norm=hooks.before_norm.plain.value(),
        centred_last_before_norm=hooks.before_norm.centred.value(),
        tokens=tokens,
    )
