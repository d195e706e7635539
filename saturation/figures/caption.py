"""What a figure is about, in the words that its saved files carry in their names and metadata."""

import re
from dataclasses import dataclass

LONGEST = 110  # letters of a file name before its ending


@dataclass(frozen=True)
class Caption:
    """Title of a figure, what of it is shown, how to read it, what it was drawn from, and where it can be seen again.

    link: address of the view, or '' where it is not known.
    """

    title: str
    selection: str
    guide: str = ""
    provenance: str = ""
    link: str = ""

    @property
    def heading(self) -> str:
        return f"{self.title}: {self.selection}"

    @property
    def file(self) -> str:
        """Name of its files, without ending."""
        return slug(f"{self.title} {self.selection}")[:LONGEST].rstrip("-")

    def as_dict(self) -> dict[str, str]:
        """Field names of the metadata in files, without those that are empty."""
        fields = {
            "Title": self.heading,
            "Description": self.guide,
            "Source": self.provenance,
            "Link": self.link,
            "Software": "Saturation",
        }
        return {name: text for name, text in fields.items() if text}


def slug(text: str) -> str:
    """A file name of a title: small letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
