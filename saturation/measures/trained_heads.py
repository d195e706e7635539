"""Rank-constrained heads W = A B trained on frozen last hidden states: what the rank of the head alone costs a model.

arXiv 2404.07647, section 5: A (vocab_size, r) and B (r, hidden_size) are drawn from N(0, 1) and trained with Adam; the
learning rate is swept from 1e-3 to 5e-2. Ours besides: the rate falls along a cosine to a tenth, the state of the least
validation loss is kept, and a head may start from the truncated one instead. There is no bias and no softcap.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from saturation.errors import InputError, NotFiniteError
from saturation.measures.head_loss import cross_entropy_gradients
from saturation.measures.loss import RunningLoss
from saturation.measures.truncated_heads import Factors

NORMAL, TRUNCATED = "normal", "truncated"
INITS = (NORMAL, TRUNCATED)
LOWEST_RATE, HIGHEST_RATE = 1e-3, 5e-2
LAST_SHARE = 0.1  # of the learning rate that is left at the end
BETAS = (0.9, 0.95)
DEPTH = 30.0  # nats below the largest logit: a probability of 1e-13, lost in float32
PIECE = 2**16  # states at a time when a head is scored


class States(NamedTuple):
    """Last hidden states (n, hidden_size), of any float dtype, and the tokens (n,) that follow them."""

    vectors: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True)
class Training:
    """How a head is trained.

    steps: at most; batch: tokens a step, drawn without replacement in the order that `seed` gives; check_every: steps
    between two looks at the validation loss, on at most validation_tokens; patience: looks without gain to stop at.
    """

    rank: int
    learning_rate: float
    seed: int = 0
    init: str = NORMAL
    steps: int = 2000
    batch: int = 1024
    check_every: int = 100
    patience: int = 8
    validation_tokens: int = 16384

    def __post_init__(self) -> None:
        for name in ("rank", "steps", "batch", "check_every", "patience", "validation_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, but it must be 1 or more.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"A learning rate of {self.learning_rate} cannot be used; it must be above 0.")
        if self.init not in INITS:
            raise InputError(f"A head cannot start from '{self.init}'; choose {' or '.join(INITS)}.")

    def rate_at(self, step: int) -> float:
        """The learning rate of update number `step`, the first being 1."""
        done = (step - 1) / max(self.steps - 1, 1)
        return self.learning_rate * (LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """A (vocab_size, r) and B (r, hidden_size) of the least validation loss (nats per token), and its step.

    steps: updates made until the end, of which those after best_step were in vain.
    """

    left: torch.Tensor
    right: torch.Tensor
    validation_nats: float
    best_step: int
    steps: int

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Logits (n, vocab_size) of states (n, hidden_size)."""
        return (states @ self.right.T) @ self.left.T


def learning_rates(count: int = 4) -> tuple[float, ...]:
    """The paper's range, 1e-3 to 5e-2, both ends included, in equal ratios. Raises InputError below one."""
    if count < 1:
        raise InputError(f"A sweep of {count} learning rates is none; take at least one.")
    if count == 1:
        return (math.sqrt(LOWEST_RATE * HIGHEST_RATE),)
    ratio = (HIGHEST_RATE / LOWEST_RATE) ** (1 / (count - 1))
    return tuple(float(f"{LOWEST_RATE * ratio**place:.4g}") for place in range(count))


def start(training: Training, vocab_size: int, hidden_size: int, factors: Factors | None) -> tuple[torch.Tensor, ...]:
    """A and B before the first update, on the CPU. factors: of the model's own head, for the truncated start.

    Raises InputError for a rank above the hidden size, or a truncated start without a head that is only a matrix.
    """
    rank = training.rank
    if rank > min(vocab_size, hidden_size):
        raise InputError(f"A head of rank {rank} on a hidden size of {hidden_size} is no constraint; take a lower one.")
    if training.init == NORMAL:
        generator = torch.Generator().manual_seed(training.seed)
        return torch.randn(vocab_size, rank, generator=generator), torch.randn(rank, hidden_size, generator=generator)
    if factors is None or factors.head.bias is not None or factors.head.softcap:
        raise InputError("The model's head has a bias or a softcap, which a trained head has not; use --init normal.")
    # Columns of W V have the singular values as norms: their roots on both sides let one learning rate fit both.
    columns = factors.columns[:, :rank].cpu()
    roots = columns.norm(dim=0).clamp_min(1e-12).sqrt()
    return columns / roots, factors.directions[:, :rank].cpu().T * roots[:, None]


def train_head(
    train: States,
    validation: States,
    vocab_size: int,
    training: Training,
    factors: Factors | None = None,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedHead:
    """Train one head. The states stay where they are; batches of them are moved to the device in float32.

    progress is called with (steps done, steps) after each look at the validation loss.
    Raises InputError as `Training` and `start` do, and for parts without states.
    """
    if not len(train.vectors) or not len(validation.vectors):
        raise InputError("There are no states to train a head on, or none to validate it with; take a longer text.")
    device = device or torch.device("cpu")
    first = start(training, vocab_size, train.vectors.shape[1], factors)
    # The fused optimizer goes through memory: a transposed parameter would silently take the wrong gradients.
    left, right = (part.to(device).contiguous() for part in first)
    optimizer = torch.optim.Adam([left, right], lr=training.learning_rate, betas=BETAS, fused=True)
    held_out = States(*(part[: training.validation_tokens].to(device) for part in validation))
    batch = min(training.batch, len(train.targets))
    buffer = torch.empty(batch, vocab_size, device=device)
    batches = _Batches(train, batch, training.seed)
    best = TrainedHead(left.clone(), right.clone(), score(TrainedHead(left, right, 0, 0, 0), held_out, device)[0], 0, 0)
    step, looks = 0, 0
    while step < training.steps and looks < training.patience:
        for _ in range(min(training.check_every, training.steps - step)):
            step += 1
            states, targets = (part.to(device) for part in batches.next())
            for group in optimizer.param_groups:
                group["lr"] = training.rate_at(step)
            narrow = states @ right.T
            found = cross_entropy_gradients(narrow, left, targets[:, None], buffer, DEPTH)
            left.grad, right.grad = found.weight.contiguous(), found.hidden.T @ states
            optimizer.step()
        nats = score(TrainedHead(left, right, 0, 0, 0), held_out, device)[0]
        looks = 0 if nats < best.validation_nats else looks + 1
        if looks == 0:
            best = TrainedHead(left.clone(), right.clone(), nats, step, step)
        if progress:
            progress(step, training.steps)
    if not math.isfinite(best.validation_nats):
        raise NotFiniteError(f"The head of rank {training.rank} did not train: its loss is not a number.")
    return TrainedHead(best.left, best.right, best.validation_nats, best.best_step, step)


class _Batches:
    """Random batches: one permutation after another, each from the same seed's generator."""

    def __init__(self, states: States, batch: int, seed: int) -> None:
        self._states, self._batch = states, batch
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)

    def next(self) -> States:
        if len(self._order) < self._batch:  # what is left over of a permutation is dropped
            self._order = torch.randperm(len(self._states.targets), generator=self._generator)
        rows, self._order = self._order[: self._batch], self._order[self._batch :]
        return States(self._states.vectors[rows].float(), self._states.targets[rows])


@torch.inference_mode()
def score(
    head: Callable[[torch.Tensor], torch.Tensor], states: States, device: torch.device | None = None
) -> tuple[float, float]:
    """Nats per token and top-1 accuracy of a head on states, moved to the device in float32 a piece at a time."""
    running, device = RunningLoss(), device or torch.device("cpu")
    for vectors, targets in zip(states.vectors.split(PIECE), states.targets.split(PIECE), strict=True):
        moved = vectors.to(device).float()
        running.update(moved, targets.to(device), head, head(moved[:1]).shape[1])
    return running.nats / running.tokens, running.correct / running.tokens
