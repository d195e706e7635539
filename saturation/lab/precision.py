"""Half precision as in mixed-precision training, imitated on a CPU.

What a GPU would hold in half precision is rounded to it: operands and results of every matrix product, embeddings,
norms, residual sums, and all of their gradients. Sums inside a product are float32, as in tensor cores, and so are the
softmax, the loss and the weights that the optimizer updates (Micikevicius et al. 2018, arXiv 1710.03740).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from saturation.errors import NotFiniteError

FORMATS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# GPT-NeoX's and DeepSpeed's rule; the start is where the rule itself soon arrives at these sizes.
FIRST_SCALE = 2.0**16
WINDOW = 1000  # updates without overflow after which the scale doubles
LARGEST_SCALE = 2.0**24


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        ctx.dtype = dtype
        return values.to(dtype).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient.to(ctx.dtype).to(gradient.dtype), None


def rounded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`values` rounded to `dtype` and back, and on the way back their gradient too."""
    return _Rounded.apply(values, dtype)


def round_inside(model: nn.Module, blocks: Iterable[nn.Module], dtype: torch.dtype) -> None:
    """Let every linear map, norm and embedding of the model, and the sum after each of its blocks, work in `dtype`."""

    def after(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return rounded(output, dtype)

    for block in blocks:
        block.register_forward_hook(after)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.forward = _linear(module, dtype)  # type: ignore[method-assign]
        elif isinstance(module, (nn.LayerNorm, nn.Embedding)):
            module.register_forward_hook(after)


def _linear(module: nn.Linear, dtype: torch.dtype) -> Any:
    def forward(inputs: torch.Tensor) -> torch.Tensor:
        bias = None if module.bias is None else rounded(module.bias, dtype)
        outputs = nn.functional.linear(rounded(inputs, dtype), rounded(module.weight, dtype), bias)
        return rounded(outputs, dtype)

    return forward


class _RoundedHeadLoss(torch.autograd.Function):
    """Cross-entropy whose logits, and whose gradients times `scale`, are rounded to the dtype of `half`."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        logits: torch.Tensor,
        half: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        dtype = half.dtype
        hidden, weight = hidden.to(dtype).float(), weight.to(dtype).float()
        torch.mm(hidden, weight.T, out=logits)
        logits.copy_(half.copy_(logits))
        loss = nn.functional.cross_entropy(logits, targets[:, 0])
        torch.softmax(logits, 1, out=logits)
        logits.scatter_add_(1, targets, torch.full_like(logits[:, :1], -1.0))
        logits.mul_(scale / len(targets))
        logits.copy_(half.copy_(logits))
        ctx.save_for_backward((logits @ weight).to(dtype).float(), (hidden.T @ logits).T.to(dtype).float())
        ctx.scale = scale
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        for_hidden, for_weight = ctx.saved_tensors
        # The gradient that arrives is the scale; where it is a power of two, this division is exact.
        return for_hidden * (gradient / ctx.scale), for_weight * (gradient / ctx.scale), None, None, None, None


class RoundedHeadLoss:
    """Mean cross-entropy in nats of `softmax(hidden weight^T)`, for `tokens` tokens at a time, in half precision."""

    def __init__(self, tokens: int, vocab_size: int, dtype: torch.dtype) -> None:
        self._logits = torch.empty(tokens, vocab_size)
        self._half = torch.empty(tokens, vocab_size, dtype=dtype)

    def __call__(self, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, scale: float) -> torch.Tensor:
        """The loss, from `hidden` (tokens, hidden_size), `weight` (vocab_size, hidden_size), `targets` (tokens, 1).

        scale: what the loss is multiplied by before its gradients are taken.
        """
        return _RoundedHeadLoss.apply(hidden, weight, targets, self._logits, self._half, scale)


@dataclass
class LossScale:
    """What the loss is multiplied by so that its gradients do not vanish in float16.

    Dynamic: halved where a gradient overflows, and that update is left out; doubled after `WINDOW` good ones.
    """

    value: float = 1.0
    dynamic: bool = False
    good: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, precision: str, fixed: float | None) -> "LossScale":
        """The scale that a run starts with."""
        if precision != "float16":
            return cls()
        return cls(FIRST_SCALE, dynamic=True) if fixed is None else cls(fixed)

    def unscale(self, parameters: list[nn.Parameter]) -> bool:
        """Divide the gradients by the scale; False where one has overflowed and the update must be left out.

        Raises NotFiniteError where the smallest dynamic scale, 1, overflows too.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        total = torch.stack(torch._foreach_norm(gradients)).sum()
        if torch.isfinite(total):
            if self.value != 1.0:
                torch._foreach_div_(gradients, self.value)
            self.good += 1
            if self.dynamic and self.good == WINDOW:
                self.value, self.good = min(2 * self.value, LARGEST_SCALE), 0
            return True
        if self.value <= 1.0 and self.dynamic:
            raise NotFiniteError("gradients overflow float16 even without a loss scale")
        self.skipped, self.good = self.skipped + 1, 0
        if self.dynamic:
            self.value /= 2
        return False
