"""The output head of a model: what turns last hidden states into logits, in pieces that can be exchanged."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Head:
    """logits = finish(states weight^T + bias).

    weight: (vocab_size, hidden_size). bias: (vocab_size,) or None. softcap: None, or the c of c tanh(logits / c), with
    which some models bound their logits.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    softcap: float | None = None

    def finish(self, scores: torch.Tensor) -> torch.Tensor:
        """What follows the linear map, on scores of any shape."""
        return self.softcap * torch.tanh(scores / self.softcap) if self.softcap else scores

    def piece(self, first: int, last: int) -> "Head":
        """The head of the tokens from `first` up to, not including, `last`; shares the weights."""
        bias = None if self.bias is None else self.bias[first:last]
        return Head(self.weight[first:last], bias, self.softcap)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Logits (n, vocab_size) of states (n, hidden_size)."""
        return self.finish(torch.nn.functional.linear(states, self.weight, self.bias))
