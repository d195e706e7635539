"""The registry of families: one TOML file each, read once."""

import tomllib
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from saturation.errors import UnknownNameError
from saturation.families.model import Family, Model

LOCAL = "local"
HUB = "hub"
LIVE = "live"
FOLDER = Path(__file__).parent / "data"


def _read(path: Path) -> Family:
    entry = tomllib.loads(path.read_text(encoding="utf-8"))
    models = {name: Model(name=name, **_frozen(values)) for name, values in entry.pop("models", {}).items()}
    groups = _frozen(entry.pop("groups", {}))
    return Family(name=path.stem.replace("_", "-"), models=models, groups=groups, **_frozen(entry))


def _frozen(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


@cache
def families() -> dict[str, Family]:
    """Every family by name, the bundled lab first, then by name; other repositories, live and local runs last."""
    read = [_read(path) for path in FOLDER.glob("*.toml")]
    read.sort(key=lambda family: (family.name in (HUB, LOCAL, LIVE), family.name != "lab", family.name))
    return {family.name: family for family in read}


def unknown(kind: str, name: str, known: list[str], place: str = "") -> UnknownNameError:
    """The error for a name that does not exist: names it, the close matches, and what there is."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(known) or 'none so far'}."
    return UnknownNameError(f"There is no {kind} '{name}'{place}; {hint}")


def family(name: str) -> Family:
    """The family of this name. Raises UnknownNameError, which names close matches."""
    found = families().get(name)
    if found is None:
        raise unknown("family", name, list(families()))
    return found
