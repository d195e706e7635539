"""Anisotropy: the mean cosine similarity over all ordered pairs of n vectors (arXiv 2404.07647, section 3).

With unit vectors u_i it is (||sum u_i||^2 - n) / (n^2 - n): a running sum, no pair is ever formed.
A zero vector has no direction: its cosine with every vector counts as 0, as in scikit-learn.

Mean-centred anisotropy does the same for h_i - m, m the mean of all h: with f(m) = sum (h_i - m) / ||h_i - m||
it is (||f(m)||^2 - n) / (n^2 - n). The mean is known only at the end, so each block of vectors is expanded around
the mean so far, c: u(h, m) = v + J (c - m) + second order, with v = (h - c) / r, r = ||h - c|| and
J = (I - v v^T) / r. Sums of v, J c and J are kept (O(d^2), whatever n is); the second-order rest is evaluated on
an evenly spaced sample of the vectors. Up to `SAMPLE` vectors the sample is everything and the result is exact;
beyond, its error is that of a mean over the sample of a term of order (||c - m|| / r)^2: below 1e-6 for hidden states
(2e-7 at most on the lab's models), more where vectors many times nearer to the mean than it wanders are common.
"""

import math
from collections.abc import Iterator

import torch

from saturation.errors import InputError, NotFiniteError

SAMPLE = 8192
ROWS_PER_SUM = 256
SAFE_NORMS = 1e-12, 1e15  # between them neither float32 squares nor powers of the inverse over- or underflow


def _check(vectors: torch.Tensor) -> torch.Tensor:
    if vectors.ndim != 2:
        raise InputError(f"Anisotropy needs vectors of shape (n, hidden_size); got {tuple(vectors.shape)}.")
    return vectors.detach()


def _mean_cosine(total: torch.Tensor, count: int, zeros: int) -> float:
    """The mean cosine from the sum of `count` unit vectors, of which `zeros` are zero: those have no self-product."""
    if count < 2:
        raise InputError("Anisotropy needs at least two vectors.")
    value = (float(total.double() @ total.double()) - (count - zeros)) / (count * (count - 1))
    if not math.isfinite(value):
        raise NotFiniteError("The representations hold NaN or infinite values; the checkpoint cannot be measured.")
    return min(1.0, value)


def _inverse_norms(vectors: torch.Tensor) -> torch.Tensor:
    """1 / ||v|| of shape (n, 1), 0 for a zero vector; in float64, where no float32 squared over- or underflows."""
    inverse = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=torch.float64).reciprocal()
    return inverse.masked_fill(inverse.isinf(), 0.0)


def _sum_of_units(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of the unit vectors in float64, and how many vectors are zero; the arithmetic of the vectors' dtype.

    Both stay on the device: a GPU that had to tell each number would wait for the processor at every layer.
    """
    inverse = _quick_inverse_norms(vectors)
    return _weighted_sum(inverse, vectors), (inverse == 0).sum()


def _quick_inverse_norms(vectors: torch.Tensor) -> torch.Tensor:
    """1 / ||v|| (n, 1) in the vectors' dtype, by way of float64 where squares in that dtype could not be told.

    On a GPU always: there float64 costs less than asking for it.
    """
    if vectors.device.type != "cpu":
        return _inverse_norms(vectors).to(vectors.dtype)
    norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    if len(norms) and not bool(((norms > SAFE_NORMS[0]) & (norms < SAFE_NORMS[1])).all()):
        return _inverse_norms(vectors).to(vectors.dtype)
    return norms.reciprocal_()


def _weighted_sum(weights: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """sum w_i v_i in float64 of weights (n, 1) and vectors (n, hidden_size), by short sums in the vectors' dtype.

    Without a copy of the vectors in float64. The rounding of a short float32 sum of unit vectors, 1e-6 at most, is
    random from sum to sum: below 1e-9 in the mean of 50,000.
    """
    whole = len(vectors) // ROWS_PER_SUM * ROWS_PER_SUM
    width = vectors.shape[1]
    sums = torch.bmm(
        weights[:whole].reshape(-1, 1, ROWS_PER_SUM), vectors[:whole].reshape(-1, ROWS_PER_SUM, width)
    ).sum(dim=(0, 1), dtype=torch.float64)
    return sums + (weights[whole:].T @ vectors[whole:])[0].double()


def _products(rows: torch.Tensor) -> torch.Tensor:
    """rows^T rows in float64, from its upper triangle: for two halves of the columns, three quarters of the work."""
    half = rows.shape[1] // 2
    left, right = rows[:, :half], rows[:, half:]
    above = torch.cat([left.T @ left, left.T @ right], dim=1)
    below = torch.cat([above[:, half:].T, right.T @ right], dim=1)
    return torch.cat([above, below]).double()


class RunningAnisotropy:
    """Anisotropy of vectors that arrive in blocks; memory O(hidden_size)."""

    def __init__(self) -> None:
        self.count = 0
        self._zeros: int | torch.Tensor = 0
        self._total: torch.Tensor | None = None

    def update(self, vectors: torch.Tensor) -> None:
        """Add a block of shape (n, hidden_size)."""
        vectors = _check(vectors).float()
        total, zeros = _sum_of_units(vectors)
        self._total = total if self._total is None else self._total + total
        self._zeros = self._zeros + zeros
        self.count += len(vectors)

    def value(self) -> float:
        """Mean cosine over all ordered pairs, in [-1 / (n - 1), 1]. Raises InputError below two vectors."""
        if self._total is None:
            raise InputError("Anisotropy needs at least two vectors.")
        return _mean_cosine(self._total, self.count, int(self._zeros))


class _Sample:
    """Vectors kept with the centre they were expanded around, in one place that is taken at once.

    Small pieces that stay, one a block, would lie between the large ones that come and go: the allocator then finds
    no room for the next large one, and memory grows with the text (by 150 MB from 50,000 to 500,000 tokens).
    """

    def __init__(self, room: int) -> None:
        self.count = 0
        self._room = room
        self._rows: torch.Tensor | None = None
        self._starts: list[tuple[int, int]] = []  # the first row, and the centre of the rows from there on

    def add(self, vectors: torch.Tensor, centre: int) -> None:
        """Keep vectors of shape (n, hidden_size), expanded around the centre of this number."""
        end = self.count + len(vectors)
        if self._rows is None:
            self._rows = vectors.new_empty(max(self._room, end), vectors.shape[1])
        elif end > len(self._rows):
            self._rows = torch.cat([self._rows, self._rows.new_empty(end, vectors.shape[1])])  # at least doubled
        self._rows[self.count : end] = vectors
        if not self._starts or self._starts[-1][1] != centre:
            self._starts.append((self.count, centre))
        self.count = end

    def by_centre(self) -> Iterator[tuple[torch.Tensor, int]]:
        """(vectors, the number of their centre), centre by centre."""
        if self._rows is None:
            return
        ends = [start for start, _ in self._starts[1:]] + [self.count]
        for (start, centre), end in zip(self._starts, ends, strict=True):
            yield self._rows[start:end], centre


class RunningCentredAnisotropy:
    """Anisotropy of mean-centred vectors that arrive in blocks; memory O(hidden_size^2 + sample * hidden_size).

    expected: how many vectors will come, to space the sample evenly (more may come; the sample then grows).
    Blocks should come from all over the text early on, so that the mean so far is close to the last one.
    """

    def __init__(self, expected: int, sample: int = SAMPLE) -> None:
        self.count = 0
        self._sample = sample
        self._stride = max(1, math.ceil(expected / sample))
        self._sum: torch.Tensor | None = None
        self._held: list[torch.Tensor] = []  # the first `sample` vectors, until their mean is known
        self._expanded = 0
        self._linear: torch.Tensor | None = None  # sum of v + J c
        self._jacobian: torch.Tensor | None = None  # sum of J, (hidden_size, hidden_size)
        self._centres: list[torch.Tensor] = []
        self._centre_count = 0
        self._sampled = _Sample(math.ceil(expected / self._stride))

    def update(self, vectors: torch.Tensor) -> None:
        """Add a block of shape (n, hidden_size)."""
        vectors = _check(vectors).float()
        block_sum = vectors.sum(dim=0, dtype=torch.float64)
        self._sum = block_sum if self._sum is None else self._sum + block_sum
        self.count += len(vectors)
        if not self._centres:
            self._held.append(vectors.clone())
            if self._stride == 1 or self.count < self._sample:
                return
        mean = self._sum / self.count
        if self.count >= 2 * self._centre_count:
            self._centres.append(mean.float().double())  # exactly the point that `_expand` subtracts in float32
            self._centre_count = self.count
        for block in self._held or [vectors]:
            self._expand(block)
        self._held = []

    def _expand(self, vectors: torch.Tensor) -> None:
        centre = self._centres[-1]
        self._sampled.add(vectors[-self._expanded % self._stride :: self._stride], len(self._centres) - 1)
        self._expanded += len(vectors)
        shifted = vectors - centre.float()
        inverse = _quick_inverse_norms(shifted)
        total = _weighted_sum(inverse, shifted)
        # With b = r^-3/2 (h - c), v v^T / r = b b^T and 1 / r = |b|^2: J v is then nothing, whatever rounding did to b.
        jacobian = -_products(shifted.mul_(inverse * inverse.sqrt()))
        jacobian.diagonal().sub_(jacobian.trace())
        linear = total + jacobian @ centre
        self._jacobian = jacobian if self._jacobian is None else self._jacobian + jacobian
        self._linear = linear if self._linear is None else self._linear + linear

    def value(self) -> float:
        """Mean cosine over all ordered pairs of h_i - mean(h). Raises InputError below two vectors."""
        if self._sum is None:
            raise InputError("Anisotropy needs at least two vectors.")
        mean = self._sum / self.count
        exact, zeros = torch.zeros_like(mean), 0
        for block in self._held:  # a short text: nothing was expanded, every vector is here
            total, none = _sum_of_units(block.double() - mean)
            exact, zeros = exact + total, zeros + int(none)
        if self._jacobian is None or self._linear is None:
            return _mean_cosine(exact, self.count, zeros)
        rest = torch.zeros_like(mean)
        for block, index in self._sampled.by_centre():
            total, none = _sum_of_units(block.double() - mean)
            rest += total - _linearised(block.double(), self._centres[index], mean)
            zeros += int(none)
        share = self._expanded / self._sampled.count
        total = self._linear - self._jacobian @ mean + rest * share
        return _mean_cosine(total, self.count, round(zeros * share))


def _linearised(vectors: torch.Tensor, centre: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Sum over the vectors of v + J (c - m)."""
    shifted = vectors - centre
    inverse = _inverse_norms(shifted)
    unit = shifted * inverse
    step = (centre - mean)[None, :]
    return (unit + (step - unit * (unit @ (centre - mean))[:, None]) * inverse).sum(dim=0)


def anisotropy(vectors: torch.Tensor, centred: bool = False) -> float:
    """Mean cosine similarity over all ordered pairs of the rows of a tensor of shape (n, hidden_size).

    centred: subtract the mean of the rows first. Float64 throughout.
    Raises InputError below two vectors, NotFiniteError for NaN or infinite values.
    """
    rows = _check(torch.as_tensor(vectors)).double()
    if centred:
        rows = rows - rows.mean(dim=0)
    total, zeros = _sum_of_units(rows)
    return _mean_cosine(total, len(rows), int(zeros))
