"""What is in force: flags, then the environment, then defaults."""

import importlib.util
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache, lru_cache
from pathlib import Path

from saturation.errors import InputError

MODES = ("local", "public", "demo")
ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "cache"


# Bounds in GB (10^9 bytes) of what is kept in the cache folder and can be made again: `SATURATION_<NAME>_GB`.
SIZES = {"hub_cache": 5.0, "corpora": 5.0}


@dataclass(frozen=True)
class Limits:
    """What a public server lets its visitors do; each is set by `SATURATION_PUBLIC_<NAME>`.

    parameters: of the largest model measured. jobs: of a session at once. checkpoints, imports, import_mb: of a session
    in a day. queue: checkpoints that wait or run for all sessions. disk_gb: store and uploads together (10^9 bytes).
    """

    parameters: float = 200e6
    jobs: float = 2
    checkpoints: float = 200
    imports: float = 10
    import_mb: float = 64
    queue: float = 1000
    disk_gb: float = 5


LIMIT_NAMES = tuple(f"SATURATION_PUBLIC_{item.name.upper()}" for item in fields(Limits))


@dataclass(frozen=True)
class Settings:
    """The folder that holds the store and what is kept of downloads, and the mode of the dashboard.

    session: which of a hosted server's visitors asks.
    """

    cache: Path
    mode: str
    limits: Limits = field(default_factory=Limits)
    session: str = ""

    @property
    def store_path(self) -> Path:
        return self.cache / "measurements.duckdb"

    @property
    def workers_path(self) -> Path:
        return self.cache / "workers"

    def as_dict(self) -> dict[str, str]:
        """Everything in force, in words. Raises InputError where a size cannot be read."""
        limits = {f"public_{name}": f"{value:.15g}" for name, value in asdict(self.limits).items()}
        own = {"cache": str(self.cache), "mode": self.mode, "store": str(self.store_path)}
        sizes = {f"{what}_gb": f"{gigabytes(what) / 1e9:.15g}" for what in SIZES}
        return own | sizes | (limits if self.mode == "public" else {})


def load(cache: str | os.PathLike[str] | None = None, mode: str | None = None) -> Settings:
    """Read the settings in force.

    Raises InputError when the mode is not one of `MODES`, or a limit is no number.
    """
    chosen = mode or os.environ.get("SATURATION_MODE") or _default_mode()
    if chosen not in MODES:
        raise InputError(f"SATURATION_MODE is '{chosen}'; set it to one of {', '.join(MODES)}.")
    folder = os.path.expanduser(cache or os.environ.get("SATURATION_CACHE") or BUNDLED)
    return _settings(os.fspath(folder), os.getcwd(), chosen, *(os.environ.get(name) for name in LIMIT_NAMES))


@lru_cache(maxsize=64)
def _settings(folder: str, here: str, mode: str, *limits: str | None) -> Settings:
    """Worked out once: pages ask for the settings dozens of times."""
    return Settings(cache=Path(here, folder).resolve(), mode=mode, limits=_limits(limits))


def gigabytes(what: str) -> int:
    """The bound, in bytes, of one of `SIZES`, from the environment or the default. Raises InputError."""
    name = f"SATURATION_{what.upper()}_GB"
    given = os.environ.get(name)
    if not given:
        return int(SIZES[what] * 1e9)
    try:
        size = float(given)
    except ValueError:
        size = -1.0
    if not 0 <= size < 1e9:
        raise InputError(f"{name} is '{given}'; set it to a size in GB, 0 to keep nothing.")
    return int(size * 1e9)


@cache
def _default_mode() -> str:
    """Where torch is not installed nothing can be measured: what is left is the demonstration."""
    return "local" if importlib.util.find_spec("torch") else "demo"


def _limits(stated: Sequence[str | None]) -> Limits:
    found = {}
    for item, name, given in zip(fields(Limits), LIMIT_NAMES, stated, strict=True):
        if not given:
            continue
        try:
            found[item.name] = float(given)
        except ValueError:
            found[item.name] = math.nan
        if not found[item.name] >= 0:
            raise InputError(f"{name} is '{given}'; give a number, 0 or more.")
    return Limits(**found)
