"""The scaling law L(N, T) = A/N^alpha + B/T^beta + E, of which A and alpha are fitted (arXiv 2404.07647, figure 1b).

N parameters, T tokens trained on, L in nats per token. B, beta and E are kept, by default at the values of Hoffmann
et al. 2022 (arXiv 2203.15556): a handful of models that all saw the same tokens cannot tell them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saturation.errors import InputError

B, BETA, E = 410.7, 0.28, 1.69
LEVEL = 0.95
Values = NDArray[np.float64]


def flops(parameters: ArrayLike, tokens: ArrayLike) -> Values:
    """Training compute by the usual estimate 6 N T (Kaplan et al. 2020): all weights, forward and backward."""
    return 6.0 * np.asarray(parameters, dtype=np.float64) * np.asarray(tokens, dtype=np.float64)


@dataclass(frozen=True)
class Law:
    """A fitted law. covariance: (2, 2), of log A and alpha; None where two models were met exactly."""

    a: float
    alpha: float
    b: float = B
    beta: float = BETA
    e: float = E
    models: int = 2
    covariance: tuple[tuple[float, float], tuple[float, float]] | None = None

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> Values:
        """Nats per token that the law gives for N parameters after T tokens."""
        return self._of_size(parameters) + _rest(tokens, self.b, self.beta, self.e)

    def distance(self, parameters: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Values:
        """How far a loss lies above the law, relative to it: 0.08 is 8 % above, negative is below."""
        return np.asarray(loss, dtype=np.float64) / self.loss(parameters, tokens) - 1.0

    @property
    def log_a_error(self) -> float | None:
        """Standard error of log A."""
        return None if self.covariance is None else float(np.sqrt(self.covariance[0][0]))

    @property
    def a_error(self) -> float | None:
        """Standard error of A, through that of log A."""
        return None if self.log_a_error is None else self.a * self.log_a_error

    @property
    def alpha_error(self) -> float | None:
        """Standard error of alpha."""
        return None if self.covariance is None else float(np.sqrt(self.covariance[1][1]))

    def a_interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Where A lies with that confidence: symmetric in log A, by Student's t with two degrees fewer than models."""
        if self.log_a_error is None:
            return None
        room = float(np.exp(self._quantile(level) * self.log_a_error))
        return self.a / room, self.a * room

    def alpha_interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Where alpha lies with that confidence."""
        if self.alpha_error is None:
            return None
        room = self._quantile(level) * self.alpha_error
        return self.alpha - room, self.alpha + room

    def band(self, parameters: ArrayLike, tokens: ArrayLike, level: float = LEVEL) -> tuple[Values, Values] | None:
        """Lower and upper loss between which the law lies with that confidence, point by point.

        By the delta method on log(A/N^alpha), which is linear in log A and alpha: the band never falls below what
        the kept terms leave.
        """
        if self.covariance is None:
            return None
        size = np.log(np.asarray(parameters, dtype=np.float64))
        (of_a, both), (_, of_alpha) = self.covariance
        spread = np.sqrt(np.maximum(of_a - 2 * size * both + size**2 * of_alpha, 0.0))
        room = np.exp(self._quantile(level) * spread)
        rest, of_size = _rest(tokens, self.b, self.beta, self.e), self._of_size(parameters)
        return rest + of_size / room, rest + of_size * room

    def _of_size(self, parameters: ArrayLike) -> Values:
        # A power of the logarithm's difference: A alone may overflow for a steep law of small models.
        return np.exp(np.log(self.a) - self.alpha * np.log(np.asarray(parameters, dtype=np.float64)))

    def _quantile(self, level: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.models - 2, (1 + level) / 2))


def fit(
    parameters: ArrayLike,
    tokens: ArrayLike,
    losses: ArrayLike,
    b: float = B,
    beta: float = BETA,
    e: float = E,
    names: Sequence[str] | None = None,
) -> Law:
    """The law's A and alpha by least squares on relative residuals, started from the log-linear solution.

    parameters, tokens, losses: (n,), one entry a model, n >= 2 of at least two sizes; losses in nats per token.
    With two models the law meets both and has no uncertainty. names: for errors.
    Raises InputError for fewer models, values that are not positive, and a loss that B/T^beta + E already exceeds.
    """
    size, seen, loss = (np.asarray(values, dtype=np.float64) for values in (parameters, tokens, losses))
    if not size.shape == seen.shape == loss.shape or size.ndim != 1:
        raise InputError("A scaling law needs as many parameter and token counts as losses, one of each a model.")
    if len(np.unique(size)) < 2:
        raise InputError(f"A scaling law needs models of at least two sizes; here there is {len(np.unique(size))}.")
    if not all(np.isfinite(values).all() and (values > 0).all() for values in (size, seen, loss)):
        raise InputError("A scaling law needs positive, finite parameter counts, token counts and losses.")
    rest = _rest(seen, b, beta, e)
    low = loss - rest <= 0
    if low.any():
        who = ", ".join(np.asarray(names or [f"{n:.3g} parameters" for n in size], dtype=object)[low])
        raise InputError(
            f"B/T^beta + E leaves nothing for the size of {who}, whose loss is not above it: lower B or E."
        )
    centre = float(np.log(size).mean())  # about it log A and alpha are nearly uncorrelated
    offset = np.log(size) - centre
    slope, level = np.polyfit(offset, np.log(loss - rest), 1)

    def residuals(x: Values) -> Values:
        return (np.exp(x[0] - x[1] * offset) + rest) / loss - 1.0

    def jacobian(x: Values) -> Values:
        of_size = np.exp(x[0] - x[1] * offset) / loss
        return np.stack([of_size, -offset * of_size], axis=1)

    from scipy.optimize import least_squares  # takes a second to import; only a fit needs it

    found = least_squares(residuals, [level, -slope], jacobian, xtol=1e-14, ftol=1e-14, gtol=1e-14, method="lm")
    alpha = float(found.x[1])
    covariance = None
    if len(size) > 2:
        gram = np.linalg.inv(found.jac.T @ found.jac) * (2 * found.cost / (len(size) - 2))
        to_log_a = np.array([[1.0, centre], [0.0, 1.0]])
        (of_a, both), (_, of_alpha) = to_log_a @ gram @ to_log_a.T
        covariance = ((float(of_a), float(both)), (float(both), float(of_alpha)))
    return Law(float(np.exp(found.x[0] + alpha * centre)), alpha, b, beta, e, len(size), covariance)


def _rest(tokens: ArrayLike, b: float, beta: float, e: float) -> Values:
    """B/T^beta + E: what is left of the loss for a model of any size."""
    return b / np.asarray(tokens, dtype=np.float64) ** beta + e
