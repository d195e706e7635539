"""Free context vectors and a linear head, trained on a language whose probabilities are known.

The loss is the expected cross-entropy itself: no tokens are sampled, every step sees all contexts. Adam with a cosine
schedule: on 512 contexts by 512 tokens it ends as low as L-BFGS in about the same time, and L-BFGS in float32 stops
early in its line search at some widths.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from saturation.errors import InputError
from saturation.measures.playground import conditional_entropy, loss_gap

STEPS = 1000
LEARNING_RATE = 0.1
BETAS = (0.9, 0.99)
INITIAL_SCALE = 0.1
# A head of two or three directions may stay where tokens are caught on the wrong side of others (15 of 192 starts at
# ranks 2 to 4, none with this). So it begins with a few more, and the weakest of what it has learnt are dropped.
EXTRA_DIRECTIONS = 4
WIDE_SHARE = 0.3  # of the steps
POINTS = 200  # of the curve
SMALL_TABLE = (
    2**20
)  # probabilities: below, a second thread costs more than it gives, on a busy machine several times over

Report = Callable[[int, int], None]


class TrainedWidth(NamedTuple):
    """gap: expected loss less the exact entropy in nats, in float64; `curve_steps`, `curve_gaps`: along training."""

    gap: float
    steps: int
    curve_steps: NDArray[np.int64]
    curve_gaps: NDArray[np.float64]


class _Task:
    """Loss and gradients for a table of probabilities (contexts, vocab_size), in one buffer of its size."""

    def __init__(self, log_probabilities: NDArray[np.float64]) -> None:
        self.entropy = conditional_entropy(log_probabilities)
        self.probabilities = torch.from_numpy(np.exp(log_probabilities).astype(np.float32))
        self._buffer = torch.empty_like(self.probabilities)

    def __call__(self, hidden: torch.Tensor, head: torch.Tensor) -> tuple[float, torch.Tensor, torch.Tensor]:
        """Gap in nats, and its gradients for `hidden` (contexts, width) and `head` (vocab_size, width)."""
        logits = torch.mm(hidden, head.T, out=self._buffer)
        expected = (self.probabilities * logits).sum(1)
        normaliser = torch.logsumexp(logits, 1)
        gap = float((normaliser - expected).double().mean()) - self.entropy
        # d loss / d logits = model - truth, for each context; the mean's 1 / contexts is applied to the small products.
        errors = logits.sub_(normaliser[:, None]).exp_().sub_(self.probabilities)
        return gap, (errors @ head) / len(hidden), (errors.T @ hidden) / len(hidden)


class _Adam:
    """Adam (Kingma & Ba 2015) with a cosine schedule to zero over `steps`."""

    def __init__(self, parameters: tuple[torch.Tensor, torch.Tensor], steps: int, learning_rate: float) -> None:
        self.parameters, self.steps, self.learning_rate, self.done = parameters, steps, learning_rate, 0
        self.moments = [(torch.zeros_like(values), torch.zeros_like(values)) for values in parameters]

    def step(self, *gradients: torch.Tensor) -> None:
        self.done += 1
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * self.done / self.steps))
        first, second = (1 - beta**self.done for beta in BETAS)
        for values, gradient, (mean, square) in zip(self.parameters, gradients, self.moments, strict=True):
            mean.lerp_(gradient, 1 - BETAS[0])
            square.lerp_(gradient * gradient, 1 - BETAS[1])
            values.addcdiv_(mean, (square / second).sqrt_().add_(1e-12), value=-rate / first)


def train_width(
    log_probabilities: NDArray[np.float64],
    width: int,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
    report: Report | None = None,
) -> TrainedWidth:
    """Train context vectors (contexts, width) and a head (vocab_size, width) from small random values.

    log_probabilities: of the true next token, (contexts, vocab_size), float64; contexts count equally. Nothing else of
    the language is known to the training. report(done, steps) is called at the points of the curve, which begins where
    the head has its final width. Raises InputError for a wrong table, width, number of steps or rate.
    """
    _check(log_probabilities, width, steps, learning_rate)
    with _threads_for(log_probabilities.size):
        return _train(log_probabilities, width, steps, learning_rate, seed, report)


@contextmanager
def _threads_for(size: int) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if size < SMALL_TABLE else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train(
    log_probabilities: NDArray[np.float64],
    width: int,
    steps: int,
    learning_rate: float,
    seed: int,
    report: Report | None,
) -> TrainedWidth:
    task, generator = _Task(log_probabilities), torch.Generator().manual_seed(seed)
    contexts, vocab_size = log_probabilities.shape
    first = int(steps * WIDE_SHARE)
    wide = width + EXTRA_DIRECTIONS if first else width
    hidden, head = (torch.randn(rows, wide, generator=generator) * INITIAL_SCALE for rows in (contexts, vocab_size))
    seen: list[tuple[int, float]] = []
    every = max(1, steps // POINTS)
    optimiser = _Adam((hidden, head), max(first, 1), learning_rate)
    for step in range(steps):
        if step == first:
            hidden, head = _strongest(hidden, head, width) if first else (hidden, head)
            optimiser = _Adam((hidden, head), steps - first, learning_rate)
        gap, *gradients = task(hidden, head)
        optimiser.step(*gradients)
        if step % every == 0:
            if step >= first:
                seen.append((step, max(gap, 0.0)))
            if report:
                report(step, steps)
    final = loss_gap(log_probabilities, hidden.double().numpy() @ head.double().numpy().T)
    if not math.isfinite(final):
        raise InputError(f"Training at the rate {learning_rate:g} diverged; choose a lower one.")
    seen.append((steps, final))
    places, gaps = zip(*seen, strict=True)
    return TrainedWidth(final, steps, np.array(places, dtype=np.int64), np.array(gaps, dtype=np.float64))


def _strongest(hidden: torch.Tensor, head: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best approximation of `width` to the logits learnt so far, as the softmax sees them, split evenly."""
    left, small_left = torch.linalg.qr(hidden)
    right, small_right = torch.linalg.qr(head - head.mean(0))
    u, values, v = torch.linalg.svd(small_left @ small_right.T)
    roots = values[:width].sqrt()
    return (left @ u[:, :width]) * roots, (right @ v[:width].T) * roots


def _check(log_probabilities: NDArray[np.float64], width: int, steps: int, learning_rate: float) -> None:
    if log_probabilities.ndim != 2 or 0 in log_probabilities.shape:
        raise InputError(
            f"The probabilities must be a table (contexts, vocab_size); got the shape {log_probabilities.shape}."
        )
    if not np.allclose(np.exp(log_probabilities).sum(axis=1), 1.0, atol=1e-6):
        raise InputError("The probabilities of a context do not add up to 1; give the logarithms of probabilities.")
    if width < 1:
        raise InputError(f"A head of width {width} does not exist; widths are 1 or more.")
    if steps < 1 or not learning_rate > 0:
        raise InputError(f"{steps} steps at the rate {learning_rate:g} do not train; both must be above 0.")
