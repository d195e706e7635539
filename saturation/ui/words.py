"""Foreign words on a page: file names and what files hold, shown as they are and never as markdown or HTML."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=@/])")


def plain(text: str) -> str:
    """The text as markdown that shows it literally, on one line; signs that cannot be seen become a box."""
    one_line = " ".join(text.split())
    seen = "".join(sign if sign.isprintable() else "□" for sign in one_line)
    return _SPECIAL.sub(r"\\\1", seen)
