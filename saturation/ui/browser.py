"""What runs in the browser: the scripts, styles and markup of this dashboard's own components, as files."""

from pathlib import Path

_SCRIPTS = Path(__file__).with_name("scripts")


def source(*names: str) -> str:
    """The text of these files of `scripts/`, one after another."""
    return "\n".join((_SCRIPTS / name).read_text(encoding="utf-8") for name in names)
