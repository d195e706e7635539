"""Measures a model while it is trained, and leaves it exactly as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from saturation.checkpoints.load import parts_of
from saturation.errors import InputError, NoHeadError
from saturation.measures.forward_pass import Anisotropy, Parts, measure_text
from saturation.measures.loss import Loss
from saturation.measures.spectrum import HeadSpectra, head_spectra


class Measured(NamedTuple):
    spectra: HeadSpectra
    anisotropy: Anisotropy | None
    loss: Loss | None


def unwrapped(model: Any) -> Any:
    """The model inside DistributedDataParallel, DataParallel or torch.compile."""
    while True:
        inner = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
        if not isinstance(inner, torch.nn.Module):
            return model
        model = inner


@contextmanager
def at_rest(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards every module is in the mode that it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


class Probe:
    """A model's head, and where there is a batch its layers and its loss on it.

    model: a causal language model of transformers, or any module with `parts` given.
    batch: token ids (n,) or (rows, length), read as one text in windows of a row's length; None for the head alone.
    head: the head's weight (vocab_size, hidden_size), where the model does not tell. Raises InputError, NoHeadError.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        batch: torch.Tensor | None = None,
        head: torch.Tensor | None = None,
        parts: Parts | None = None,
    ) -> None:
        self.model = unwrapped(model)
        self.head = _head(self.model) if head is None else head
        self.tokens, self.context_length, self.first_token = None, 0, 0
        self.parts = parts
        if batch is None:
            return
        self.tokens = torch.as_tensor(batch).detach().cpu().long().reshape(-1)
        if len(self.tokens) < 2:
            raise InputError("The batch has fewer than two tokens; give token ids of shape (rows, length).")
        config = getattr(self.model, "config", None)
        longest = getattr(config, "max_position_embeddings", None) or len(self.tokens)
        self.context_length = min(torch.as_tensor(batch).shape[-1], longest)
        end = getattr(config, "eos_token_id", None)
        self.first_token = end if isinstance(end, int) and 0 <= end < len(self.head) else int(self.tokens[0])
        if parts is None:
            with at_rest(self.model):
                self.parts = parts_of(self.model, type(self.model).__name__)

    def measure(self) -> Measured:
        """Everything, now. Draws no random number and touches no gradient. Raises SaturationError."""
        spectra = head_spectra(self.head.detach())
        if self.parts is None or self.tokens is None:
            return Measured(spectra, None, None)
        with at_rest(self.model):
            found = measure_text(self.parts, self.tokens, self.first_token, self.context_length, words=1, utf8_bytes=1)
        return Measured(spectra, found.anisotropy, found.loss)


def _head(model: Any) -> torch.Tensor:
    linear = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if linear is None:
        raise NoHeadError(
            f"{type(model).__name__} does not tell its output head; give its weight (vocab_size, hidden_size) as head=."
        )
    return linear.weight
