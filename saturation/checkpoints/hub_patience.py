"""How long the hub is waited for."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from saturation.errors import InputError


@dataclass(frozen=True)
class Patience:
    """Bounds on waiting for the hub.

    tries, seconds: bounds on a series of attempts that bring next to nothing, waits included.
    first_wait: seconds before the second attempt, doubled each time. longest_wait: the longest Retry-After obeyed.
    timeout: seconds without a byte. slowest: bytes per second, over `window` seconds, below which an attempt ends.
    skip: bytes read in vain at most where a server ignores ranges.
    """

    tries: int = 5
    seconds: float = 120.0
    first_wait: float = 0.5
    longest_wait: float = 60.0
    timeout: float = 20.0
    slowest: float = 10_000.0
    window: float = 20.0
    skip: int = 64_000_000
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def from_environment(cls) -> "Patience":
        """The defaults, shortened to SATURATION_HUB_SECONDS where that is set. Raises InputError."""
        given = os.environ.get("SATURATION_HUB_SECONDS")
        if not given:
            return cls()
        try:
            seconds = float(given)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < 1e6:
            raise InputError(f"SATURATION_HUB_SECONDS is '{given}'; set it to a number of seconds above 0.")
        return cls(seconds=seconds).at_most(seconds)

    def at_most(self, seconds: float) -> "Patience":
        """The same, shortened to so many seconds in all."""
        return replace(
            self,
            seconds=min(self.seconds, seconds),
            first_wait=min(self.first_wait, seconds / 20),
            longest_wait=min(self.longest_wait, seconds),
            timeout=min(self.timeout, seconds),
            window=min(self.window, seconds),
        )
