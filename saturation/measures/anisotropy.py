"""Anisotropy: the mean cosine similarity over all ordered pairs of n vectors (arXiv 2404.07647, section 3).

With unit vectors u_i it is (||sum u_i||^2 - n) / (n^2 - n): a running sum, no pair is ever formed.

Mean-centred anisotropy does the same for h_i - m, m the mean of all h: with f(m) = sum (h_i - m) / ||h_i - m||
it is (||f(m)||^2 - n) / (n^2 - n). The mean is known only at the end, so each block of vectors is expanded around
the mean so far, c: u(h, m) = v + J (c - m) + second order, with v = (h - c) / r, r = ||h - c|| and
J = (I - v v^T) / r. Sums of v, J c and J are kept (O(d^2), whatever n is); the second-order rest is evaluated on
an evenly spaced sample of the vectors. Up to `SAMPLE` vectors the sample is everything and the result is exact;
beyond, its error is that of a mean over the sample of a term of order (||c - m|| / r)^2, far below 1e-6.
"""

import math

import torch

from saturation.errors import InputError, NotFiniteError

SAMPLE = 8192
TINY = torch.finfo(torch.float32).tiny


def _check(vectors: torch.Tensor) -> torch.Tensor:
    if vectors.ndim != 2:
        raise InputError(f"Anisotropy needs vectors of shape (n, hidden_size); got {tuple(vectors.shape)}.")
    return vectors.detach()


def _mean_cosine(total: torch.Tensor, count: int) -> float:
    if count < 2:
        raise InputError("Anisotropy needs at least two vectors.")
    value = (float(total.double() @ total.double()) - count) / (count * (count - 1))
    if not math.isfinite(value):
        raise NotFiniteError("The representations hold NaN or infinite values; the checkpoint cannot be measured.")
    return min(1.0, value)


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    # A zero vector has no direction: it counts as orthogonal to all others, as in scikit-learn.
    return vectors / norms.clamp_min(TINY)


class RunningAnisotropy:
    """Anisotropy of vectors that arrive in blocks; memory O(hidden_size)."""

    def __init__(self) -> None:
        self.count = 0
        self._total: torch.Tensor | None = None

    def update(self, vectors: torch.Tensor) -> None:
        """Add a block of shape (n, hidden_size)."""
        vectors = _check(vectors).float()
        total = _unit(vectors).sum(dim=0, dtype=torch.float64)
        self._total = total if self._total is None else self._total + total
        self.count += len(vectors)

    def value(self) -> float:
        """Mean cosine over all ordered pairs, in [-1 / (n - 1), 1]. Raises InputError below two vectors."""
        if self._total is None:
            raise InputError("Anisotropy needs at least two vectors.")
        return _mean_cosine(self._total, self.count)


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
        self._sampled: list[tuple[torch.Tensor, int]] = []  # vectors, index of the centre they were expanded around

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
            self._centres.append(mean)
            self._centre_count = self.count
        for block in self._held or [vectors]:
            self._expand(block)
        self._held = []

    def _expand(self, vectors: torch.Tensor) -> None:
        centre = self._centres[-1]
        first = -self._expanded % self._stride
        self._sampled.append((vectors[first :: self._stride].clone(), len(self._centres) - 1))
        self._expanded += len(vectors)
        shifted = vectors - centre.float()
        inverse = 1.0 / torch.linalg.vector_norm(shifted, dim=1).clamp_min(TINY)
        unit = shifted * inverse[:, None]
        jacobian = -((unit * inverse[:, None]).T @ unit).double()
        jacobian.diagonal().add_(inverse.sum(dtype=torch.float64))
        linear = unit.sum(dim=0, dtype=torch.float64) + jacobian @ centre
        self._jacobian = jacobian if self._jacobian is None else self._jacobian + jacobian
        self._linear = linear if self._linear is None else self._linear + linear

    def value(self) -> float:
        """Mean cosine over all ordered pairs of h_i - mean(h). Raises InputError below two vectors."""
        if self._sum is None:
            raise InputError("Anisotropy needs at least two vectors.")
        mean = self._sum / self.count
        exact = torch.zeros_like(mean)
        for block in self._held:  # a short text: nothing was expanded, every vector is here
            exact += _unit(block.double() - mean).sum(dim=0)
        if self._jacobian is None or self._linear is None:
            return _mean_cosine(exact, self.count)
        rest = torch.zeros_like(mean)
        for block, index in self._sampled:
            rest += _unit(block.double() - mean).sum(dim=0)
            rest -= _linearised(block.double(), self._centres[index], mean)
        sampled = sum(len(block) for block, _ in self._sampled)
        total = self._linear - self._jacobian @ mean + rest * (self._expanded / sampled)
        return _mean_cosine(total, self.count)


def _linearised(vectors: torch.Tensor, centre: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Sum over the vectors of v + J (c - m)."""
    shifted = vectors - centre
    norms = torch.linalg.vector_norm(shifted, dim=1, keepdim=True).clamp_min(TINY)
    unit = shifted / norms
    step = (centre - mean)[None, :]
    return (unit + (step - unit * (unit @ (centre - mean))[:, None]) / norms).sum(dim=0)


def anisotropy(vectors: torch.Tensor, centred: bool = False) -> float:
    """Mean cosine similarity over all ordered pairs of the rows of a tensor of shape (n, hidden_size).

    centred: subtract the mean of the rows first. Float64 throughout.
    Raises InputError below two vectors, NotFiniteError for NaN or infinite values.
    """
    rows = _check(torch.as_tensor(vectors)).double()
    if centred:
        rows = rows - rows.mean(dim=0)
    return _mean_cosine(_unit(rows).sum(dim=0), len(rows))
