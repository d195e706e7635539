"""Loss and accuracy of a model whose head is cut to rank r by SVD, for many r in one pass over the last hidden states.

The cut head is W_r = W V_r V_r^T, V_r the r leading right singular vectors: the best rank-r head in Frobenius norm
(Eckart-Young-Mirsky; arXiv 2404.07647, section 5). It is never formed: states are projected on V once, and the logits
of a rank are those of the rank below plus (W V)[:, new] times the new coordinates. They exist for one tile of tokens
and vocabulary at a time, small enough to stay in the processor's cache; over tiles, only the largest logit and the
sum of exponentials are kept, for each rank and token.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from saturation.errors import InputError, NotFiniteError
from saturation.measures import spectrum
from saturation.measures.head import Head
from saturation.measures.loss import LOWEST

ROWS, COLUMNS = 1024, 512  # of a tile on the CPU: 2 MiB of logits
COLUMNS_ON_GPU = 16384
# exp(60) times any vocabulary is far from float32's end, and exp(-40) far from where it loses digits.
BARE = -40.0, 60.0


@dataclass(frozen=True)
class Truncated:
    """By rank, in the order asked for: nats per token, share of tokens that were the top guess, W-error."""

    ranks: tuple[int, ...]
    nats_per_token: list[float]
    accuracy: list[float]
    w_error: list[float]
    tokens: int


class Factors:
    """A head in the coordinates of its right singular vectors, largest singular value first.

    directions: V (hidden_size, k); columns: W V (vocab_size, k), both float32 from float64; w_error: k + 1 values, from
    rank 0 on. With `centred`, W is the head with its row mean removed, which gives the softmax the same probabilities.
    """

    def __init__(self, head: Head, centred: bool = False) -> None:
        """Raises InputError for a head that is zero or, centred, has a softcap; NotFiniteError for NaN."""
        if centred and head.softcap:
            raise InputError(
                "The model bounds its logits with a softcap, which does not ignore a shift of all logits; "
                "its head cannot be centred."
            )
        matrix = spectrum.as_matrix(head.weight)
        count = min(matrix.shape)
        moments = spectrum.moments(matrix)
        shift = moments.mean if centred else None
        products = moments.centred(len(matrix)) if centred else moments.products
        directions = spectrum.right_vectors(matrix, products, moments.scale(), count, shift)
        columns = np.empty((len(matrix), count), dtype=np.float32)
        squares = np.zeros(count)
        for start in range(0, len(matrix), spectrum.ROWS_PER_CHUNK):
            block = spectrum.chunk(matrix, start, spectrum.ROWS_PER_CHUNK, shift) @ directions
            columns[start : start + len(block)] = block
            squares += np.square(block).sum(axis=0)
        device = head.weight.device
        self.head = head
        self.directions = torch.from_numpy(np.ascontiguousarray(directions, dtype=np.float32)).to(device)
        self.columns = torch.from_numpy(columns).to(device)
        # A head whose rows are all equal has nothing left when centred: every rank is then exact.
        total = float(squares.sum())
        tails = np.append(np.cumsum(squares[::-1])[::-1], 0.0)
        self.w_error: list[float] = (np.sqrt(tails / total) if total > 0 else 0 * tails).tolist()


class RunningTruncatedHeads:
    """Sums over chunks of states of the loss and the correct guesses of heads cut to each of some ranks.

    A token is guessed right when its logit is above that of every other token.
    """

    def __init__(self, head: Head, ranks: Sequence[int], centred: bool = False) -> None:
        """Factors the head. Raises InputError for ranks outside 1 ... min(head.weight.shape), and as `Factors` does."""
        self.factors = Factors(head, centred)
        self.ranks = check_ranks(ranks, self.factors.directions.shape[1])
        self.tokens = 0
        self._nats = np.zeros(len(self.ranks))
        self._correct = np.zeros(len(self.ranks), dtype=np.int64)

    @torch.inference_mode()
    def update(self, states: torch.Tensor, targets: torch.Tensor) -> None:
        """Score the states (n, hidden_size), of any float dtype, against the targets (n,)."""
        for start in range(0, len(states), ROWS):
            self._rows(states[start : start + ROWS].float(), targets[start : start + ROWS])
        self.tokens += len(targets)

    def _rows(self, states: torch.Tensor, targets: torch.Tensor) -> None:
        columns, bias = self.factors.columns, self.factors.head.bias
        count, vocab_size = len(states), len(columns)
        projected = states @ self.factors.directions[:, : max(self.ranks)]
        width = min(vocab_size, COLUMNS if states.device.type == "cpu" else COLUMNS_ON_GPU)
        space, scratch = (states.new_empty(count * width) for _ in range(2))
        sums = _OtherTokens(len(self.ranks), states)
        for first in range(0, vocab_size, width):
            tile = columns[first : first + width]
            logits = space[: count * len(tile)].view(count, len(tile))
            free = scratch[: count * len(tile)].view(count, len(tile))
            inside = ((targets >= first) & (targets < first + len(tile))).nonzero()[:, 0]
            wanted = targets[inside] - first
            if bias is not None:
                logits.copy_(bias[first : first + len(tile)].float().expand_as(logits))
            below = 0
            for place, rank in enumerate(self.ranks):
                known = below > 0 or bias is not None
                logits.addmm_(projected[:, below:rank], tile[:, below:rank].T, beta=float(known))
                sums.add(place, logits, free, inside, wanted, self.factors.head)
                below = rank
        self._nats += sums.nats().sum(dim=1, dtype=torch.float64).cpu().numpy()
        self._correct += sums.correct().sum(dim=1).cpu().numpy()

    def value(self) -> Truncated:
        """What was summed up. Raises InputError when nothing was scored, NotFiniteError for NaN."""
        if self.tokens == 0:
            raise InputError("No token was scored; give a text of at least two tokens.")
        if not all(map(math.isfinite, self._nats)):
            raise NotFiniteError("The loss of a truncated head is not a number; the head or its states overflow.")
        return Truncated(
            ranks=self.ranks,
            nats_per_token=(self._nats / self.tokens).tolist(),
            accuracy=(self._correct / self.tokens).tolist(),
            w_error=[self.factors.w_error[rank] for rank in self.ranks],
            tokens=self.tokens,
        )


class _OtherTokens:
    """By rank and token: the logit of the target, and of all other tokens the largest and the sum of exponentials.

    The exponentials are those of logits less the largest, so that none overflows; while the largest of every token are
    within `BARE`, those of the logits themselves, which saves a fifth of the time on a CPU.
    """

    def __init__(self, ranks: int, states: torch.Tensor) -> None:
        self._bare = [states.device.type == "cpu"] * ranks  # a GPU would have to tell the largest at every step
        self.target = states.new_zeros(ranks, len(states))
        self.largest = torch.full_like(self.target, LOWEST)
        self.total = states.new_zeros(ranks, len(states))

    def add(
        self,
        place: int,
        scores: torch.Tensor,
        free: torch.Tensor,
        inside: torch.Tensor,
        wanted: torch.Tensor,
        head: Head,
    ) -> None:
        """Take in a tile of scores (n, width) before the softcap; free: as large, overwritten.

        inside: rows whose target lies in the tile; wanted: its column there.
        """
        logits = scores
        if head.softcap:
            logits = torch.div(scores, head.softcap, out=free).tanh_().mul_(head.softcap)
        own = logits[inside, wanted]
        self.target[place, inside] = own
        logits[inside, wanted] = -math.inf
        largest = torch.maximum(self.largest[place], logits.amax(dim=1))
        if self._bare[place] and not _within(largest):
            self._bare[place] = False
            self.total[place] *= (-self.largest[place]).clamp_(max=-BARE[0]).exp_()  # nothing yet: 0 stays 0
        if self._bare[place]:
            self.total[place] += torch.exp(logits, out=free).sum(dim=1)
        else:
            added = torch.sub(logits, largest[:, None], out=free).exp_().sum(dim=1)
            self.total[place] = self.total[place] * (self.largest[place] - largest).exp_() + added
        if logits is scores:
            logits[inside, wanted] = own
        self.largest[place] = largest

    def nats(self) -> torch.Tensor:
        """-log p(target) = log(1 + exp(log-sum-exp of the others - target)), (ranks, n)."""
        bare = torch.tensor(self._bare, device=self.total.device)[:, None]
        others = self.total.log() + self.largest.masked_fill(bare, 0.0)
        return torch.nn.functional.softplus(others - self.target, threshold=80)

    def correct(self) -> torch.Tensor:
        return self.target > self.largest


def _within(largest: torch.Tensor) -> bool:
    """Whether exponentials of logits with these largest values can be summed in float32 as they are; not for NaN."""
    low, high = largest.aminmax()
    return bool(low >= BARE[0]) and bool(high <= BARE[1])


def check_ranks(ranks: Sequence[int], hidden_size: int) -> tuple[int, ...]:
    """The ranks in ascending order, each once. Raises InputError for none, or one outside 1 ... hidden_size."""
    if not ranks:
        raise InputError("No rank was given; name at least one.")
    wrong = [rank for rank in ranks if not 1 <= rank <= hidden_size]
    if wrong:
        raise InputError(f"A head of rank {wrong[0]} cannot be cut from this one; ranks go from 1 to {hidden_size}.")
    return tuple(sorted(set(ranks)))


def default_ranks(hidden_size: int) -> tuple[int, ...]:
    """Powers of two below the hidden size, and the hidden size."""
    return (*(2**power for power in range(hidden_size.bit_length()) if 2**power < hidden_size), hidden_size)
