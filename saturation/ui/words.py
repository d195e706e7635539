"""Foreign words on a page: file names and what files hold, shown as they are and never as markdown or HTML."""

import re

# What a foreign name may not do in a line that is shown as markdown and written into a file as well.
_LOOKALIKES = str.maketrans({"[": "(", "]": ")", "<": "‹", ">": "›", "`": "'", "$": "＄", "*": "∗", "\\": "∖"})
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=@/])")


def plain(text: str) -> str:
    """The text as markdown that shows it literally, on one line; signs that cannot be seen become a box."""
    one_line = " ".join(text.split())
    seen = "".join(sign if sign.isprintable() else "□" for sign in one_line)
    return _SPECIAL.sub(r"\\\1", seen)


def inert(text: str) -> str:
    """The text without signs of markdown, HTML or formulas, and without addresses that become links, on one line."""
    one_line = "".join(sign if sign.isprintable() else "□" for sign in " ".join(text.split()))
    return re.sub(r"(://|www\.)", "\\1\N{WORD JOINER}", one_line.translate(_LOOKALIKES), flags=re.IGNORECASE)
