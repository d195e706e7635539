"""The entries of the Method page, read from `entries.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from saturation.families.registry import unknown


@dataclass(frozen=True)
class Entry:
    """One definition. formula is LaTeX, empty where there is none; text, caveats and disputed are Markdown."""

    key: str
    title: str
    group: str
    formula: str
    text: str
    source: str
    caveats: str
    disputed: str


@cache
def _read() -> dict[str, Entry]:
    path = Path(__file__).with_name("entries.toml")
    items = tomllib.loads(path.read_text(encoding="utf-8"))["entry"]
    return {item["key"]: Entry(**item) for item in items}


ENTRIES = _read()


def entry(key: str) -> Entry:
    """The entry of this key. Raises UnknownNameError."""
    if key not in ENTRIES:
        raise unknown("definition", key, list(ENTRIES))
    return ENTRIES[key]
