"""From the names of branches and tags to training steps, by the patterns of a family."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from saturation.families.model import Family

MAIN = "main"
# Step numbering of local folders, and of repositories that no family names.
COMMON_PATTERNS = (r"(?:checkpoint|global_step|step|iter|ckpt)[-_]?(?P<step>\d+)",)


@dataclass(frozen=True)
class Revision:
    """A branch or tag that holds one step. billion_tokens: as the name states it, where it does."""

    name: str
    commit: str
    step: int | None
    billion_tokens: int | None = None


def parse(name: str, patterns: tuple[str, ...]) -> tuple[int, int | None] | None:
    """Step and billions of tokens that a revision's name states, None for a name that is no step."""
    for pattern in patterns:
        match = re.fullmatch(pattern, name)
        if match:
            tokens = match.groupdict().get("billion_tokens")
            return int(match["step"]), int(tokens) if tokens else None
    return None


def revisions(family: Family | None, refs: Mapping[str, str]) -> dict[int | None, Revision]:
    """The steps that a repository's refs (name -> commit) hold, in ascending order.

    family: None for a repository that no family names: common step names are understood, else `main` is all.
    A family without patterns has one checkpoint, `main`, of no step.
    """
    patterns = COMMON_PATTERNS if family is None else family.revision_patterns
    found: dict[int, Revision] = {}
    for name in sorted(refs):
        parsed = parse(name, patterns)
        if parsed and parsed[0] not in found:
            found[parsed[0]] = Revision(name, refs[name], *parsed)
    if family and family.main_step is not None and MAIN in refs:
        found.setdefault(family.main_step, Revision(MAIN, refs[MAIN], family.main_step))
    if not found and MAIN in refs:
        return {None: Revision(MAIN, refs[MAIN], None)}
    return dict(sorted(found.items()))
