"""What a run minimises: the cross-entropy of its head, and a penalty where it has one."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import GPTNeoXForCausalLM

from saturation.lab.config import RunConfig
from saturation.lab.precision import FORMATS, RoundedHeadLoss
from saturation.measures.head_loss import HeadLoss

Objective = Callable[[torch.Tensor, torch.Tensor, float], tuple[torch.Tensor, torch.Tensor]]
"""Last states (tokens, hidden_size), targets (tokens, 1), loss scale -> cross-entropy, and what is to be minimised."""


def build_objective(config: RunConfig, model: GPTNeoXForCausalLM) -> Objective:
    """The objective of a run. Buffers are made once, so it serves one step at a time."""
    weight = model.get_output_embeddings().weight
    cross_entropy = _cross_entropy(config, model, weight)

    def objective(hidden: torch.Tensor, targets: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        loss = cross_entropy(hidden, targets, scale)
        if not config.cosine_penalty:
            return loss, loss
        return loss, loss + config.cosine_penalty * mean_cosine(weight)

    return objective


def _cross_entropy(
    config: RunConfig, model: GPTNeoXForCausalLM, weight: torch.Tensor
) -> Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]:
    tokens, vocab_size = config.tokens_per_step, config.corpus.vocab_size
    if config.softmaxes > 1:
        mixture = MixtureLoss(tokens * config.softmaxes, vocab_size)

        def mixed(hidden: torch.Tensor, targets: torch.Tensor, _scale: float) -> torch.Tensor:
            priors, latent = model.mixture(hidden)
            return mixture(priors, latent, weight, targets)

        return mixed
    if config.precision != "float32":
        half = RoundedHeadLoss(tokens, vocab_size, FORMATS[config.precision])
        return lambda hidden, targets, scale: half(hidden, weight, targets, scale)
    plain = HeadLoss(tokens, vocab_size)
    return lambda hidden, targets, _scale: plain(hidden, weight, targets)


def mean_cosine(rows: torch.Tensor) -> torch.Tensor:
    """Mean cosine over ordered pairs of different rows of (n, d): the regulariser of Gao et al. 2019 (1907.12009)."""
    total = torch.nn.functional.normalize(rows, dim=1).sum(0)
    n = len(rows)
    return (total @ total - n) / (n * n - n)


class _PickedLogSoftmax(torch.autograd.Function):
    """The log-probability of each row's target. The buffer keeps what the backward pass needs: one call at a time."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, buffer: torch.Tensor
    ) -> torch.Tensor:
        torch.mm(hidden, weight.T, out=buffer)
        found = buffer.gather(1, targets) - buffer.logsumexp(1, keepdim=True)
        torch.softmax(buffer, 1, out=buffer)
        buffer.scatter_add_(1, targets, torch.full_like(found, -1.0))
        ctx.save_for_backward(hidden, weight)
        ctx.buffer = buffer
        return found[:, 0]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        hidden, weight = ctx.saved_tensors
        minus = -gradient[:, None]
        return (ctx.buffer @ weight).mul_(minus), ((hidden * minus).T @ ctx.buffer).T, None, None


class MixtureLoss:
    """Mean cross-entropy in nats of a mixture of softmaxes, with one buffer for all of them."""

    def __init__(self, rows: int, vocab_size: int) -> None:
        self._buffer = torch.empty(rows, vocab_size)

    def __call__(
        self, priors: torch.Tensor, latent: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """priors: (tokens, K) logarithms; latent: (tokens, K, hidden_size); weight; targets: (tokens, 1)."""
        tokens, softmaxes = priors.shape
        repeated = targets.expand(tokens, softmaxes).reshape(-1, 1)
        picked = _PickedLogSoftmax.apply(latent.reshape(-1, latent.shape[2]), weight, repeated, self._buffer)
        return -torch.logsumexp(priors + picked.view(tokens, softmaxes), dim=1).mean()
