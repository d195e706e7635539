"""What is in force: flags, then the environment, then defaults."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from saturation.errors import InputError

MODES = ("local", "public", "demo")
ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "cache"


@dataclass(frozen=True)
class Settings:
    """The folder that holds the store and what is kept of downloads, and the mode of the dashboard."""

    cache: Path
    mode: str

    @property
    def store_path(self) -> Path:
        return self.cache / "measurements.duckdb"

    @property
    def workers_path(self) -> Path:
        return self.cache / "workers"

    def as_dict(self) -> dict[str, str]:
        return {key: str(value) for key, value in asdict(self).items()} | {"store": str(self.store_path)}


def load(cache: str | os.PathLike[str] | None = None, mode: str | None = None) -> Settings:
    """Read the settings in force.

    Raises InputError when the mode is not one of `MODES`.
    """
    chosen = mode or os.environ.get("SATURATION_MODE") or "local"
    if chosen not in MODES:
        raise InputError(f"SATURATION_MODE is '{chosen}'; set it to one of {', '.join(MODES)}.")
    folder = Path(cache or os.environ.get("SATURATION_CACHE") or BUNDLED).expanduser()
    return Settings(cache=folder.resolve(), mode=chosen)
