"""Foreign words on a page: file names and what files hold, shown as they are and never as markdown or HTML."""

import re

# What a foreign name may not do in a line that is shown as markdown and written into a file as well.
_LOOKALIKES = str.maketrans({"[": "(", "]": ")", "<": "‹", ">": "›", "`": "'", "$": "＄", "*": "∗", "\\": "∖"})
_CODE = re.compile(r"(`[^`\s][^`\n]*`)")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=@/])")


def plain(text: str, kept: bool = False) -> str:
    """The text as markdown that shows it literally, on one line; signs that cannot be seen become a box.

    kept: with the spaces at its ends, for a part of a sentence.
    """
    one_line = re.sub(r"\s+", " ", text) if kept else " ".join(text.split())
    seen = "".join(sign if sign.isprintable() else "□" for sign in one_line)
    return _SPECIAL.sub(r"\\\1", seen)


def sentence(text: str) -> str:
    """The same, but for code between backticks, in which nothing can be more than code."""
    return "".join(part if place % 2 else plain(part, kept=True) for place, part in enumerate(_CODE.split(text)))


def inert(text: str) -> str:
    """The text without signs of markdown, HTML or formulas, and without addresses that become links, on one line.

    What is inert already stays as it is.
    """
    one_line = "".join(sign if sign.isprintable() else "□" for sign in " ".join(text.split()))
    return re.sub(r"(://|www\.)(?!\u2060)", "\\1\N{WORD JOINER}", one_line.translate(_LOOKALIKES), flags=re.IGNORECASE)
