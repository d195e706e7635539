"""The optimizer of a run: AdamW as Pythia used it, and Coupled Adam for vocabularies."""

from typing import Any

import torch
from torch.optim import AdamW, Optimizer
from transformers import GPTNeoXForCausalLM

from saturation.lab.config import RunConfig


class CoupledAdamW(Optimizer):
    """AdamW for matrices of one row per token, with one second moment for all rows (Coupled Adam, arXiv 2502.08441).

    The average of squared gradients is taken over the vocabulary, so that a rare token's row no longer takes steps as
    long as a frequent one's, all in the same direction.
    """

    def __init__(
        self, params: list[Any], lr: float, betas: tuple[float, float], weight_decay: float = 0.0, eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            (first, second), rate = group["betas"], group["lr"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter[:1])
                state["step"] += 1
                done = int(state["step"])
                state["exp_avg"].lerp_(parameter.grad, 1 - first)
                state["exp_avg_sq"].lerp_(parameter.grad.square().mean(0, keepdim=True), 1 - second)
                spread = (state["exp_avg_sq"] / (1 - second**done)).sqrt_().add_(group["eps"])
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.addcdiv_(state["exp_avg"], spread.expand_as(parameter), value=-rate / (1 - first**done))


class Optimizers:
    """One or two optimizers that act as one."""

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next update."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate

    def step(self) -> None:
        """One update."""
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()

    def state(self) -> list[dict[str, Any]]:
        """All that a resumed run needs."""
        return [part.state_dict() for part in self.parts]

    def load(self, states: list[dict[str, Any]]) -> None:
        """Go on from `state()`."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def build_optimizer(model: GPTNeoXForCausalLM, config: RunConfig) -> Optimizers:
    """AdamW that decays matrices only, as in Pythia's training; the head and the vocabulary as the run asks."""
    head = model.get_output_embeddings().weight
    vocabulary = {id(head), id(model.get_input_embeddings().weight)} if config.coupled_adam else set()
    decay = config.weight_decay
    own_decay = decay if config.head_weight_decay is None else config.head_weight_decay
    parameters = list(model.parameters())
    matrices = [each for each in parameters if each.ndim >= 2 and id(each) not in vocabulary]
    groups = [
        {"params": [each for each in matrices if own_decay == decay or each is not head], "weight_decay": decay},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]
    if own_decay != decay and id(head) not in vocabulary:
        groups.append({"params": [head], "weight_decay": own_decay})
    adam = AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
    if not vocabulary:
        return Optimizers(adam)
    rows = [
        {"params": [each], "weight_decay": own_decay if each is head else decay}
        for each in parameters
        if id(each) in vocabulary
    ]
    return Optimizers(adam, CoupledAdamW(rows, config.learning_rate, config.betas))
