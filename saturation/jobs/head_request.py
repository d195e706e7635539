"""What is asked of `heads`. Imports no torch, so that the dashboard can make requests."""

from dataclasses import dataclass

from saturation.errors import InputError

BOTH = "both"
STARTS = ("normal", "truncated")
RATES = 4  # learning rates that are tried by default


@dataclass(frozen=True)
class HeadsRequest:
    """Heads of which ranks, and whether trained ones too.

    ranks: empty for powers of two below the hidden size, and the hidden size. learning_rates: empty for the paper's
    range. seeds: how many heads for each rank, rate and start. init: normal (as in the paper), truncated (the head cut
    by SVD) or both, of which the validation loss chooses.
    """

    ranks: tuple[int, ...] = ()
    train: bool = True
    learning_rates: tuple[float, ...] = ()
    seeds: int = 1
    init: str = BOTH

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds train no head; take at least one.")
        wrong = [rate for rate in self.learning_rates if not 0 < rate < float("inf")]
        if wrong:
            raise InputError(f"A learning rate of {wrong[0]} cannot be used; it must be above 0.")
        if self.init not in (BOTH, *STARTS):
            raise InputError(f"A head cannot start from '{self.init}'; choose {BOTH}, {' or '.join(STARTS)}.")
        low = [rank for rank in self.ranks if rank < 1]
        if low:
            raise InputError(f"A head of rank {low[0]} cannot be made; ranks start at 1.")

    @property
    def starts(self) -> tuple[str, ...]:
        return STARTS if self.init == BOTH else (self.init,)


def default_count(hidden_size: int) -> int:
    """How many heads are trained by default: ranks of powers of two below the width and itself, each rate and start."""
    return ((hidden_size - 1).bit_length() + 1) * RATES * len(STARTS)
