"""The place of the table in the README."""

from saturation.settings import ROOT

BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"


def put(table: str) -> None:
    """Replace what stands between the two marks. Raises ValueError where they are missing."""
    path = ROOT / "README.md"
    text = path.read_text()
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    path.write_text(f"{text[:start]}\n{table}\n{text[stop:]}")
