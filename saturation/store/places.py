"""Where a checkpoint lay on somebody's disk: nobody else's business, but for the folder's own name."""

import re

import pyarrow as pa

_PLACE = re.compile(r"^(?:/|~|[A-Za-z]:[\\/]|\\\\)")
_STEP = re.compile(r"^(?:checkpoint|global_step|step|iter)[-_]?\d+$")


def without_folders(source: str) -> str:
    """A place on a disk by its last name, with its run's where that is a step; everything else as it is.

    >>> without_folders("/home/me/runs/mine/step1000")
    'mine/step1000'
    >>> without_folders("EleutherAI/pythia-70m")
    'EleutherAI/pythia-70m'
    """
    if not _PLACE.match(source):
        return source
    names = [name for name in re.split(r"[\\/]+", source) if name and not name.endswith(":")]
    if not names:
        return "local"
    return "/".join(names[-2:] if _STEP.match(names[-1]) else names[-1:])


def without_places(checkpoints: pa.Table) -> pa.Table:
    """The table `checkpoints` with its sources so."""
    sources = [without_folders(source) for source in checkpoints["source"].to_pylist()]
    return checkpoints.set_column(checkpoints.column_names.index("source"), "source", pa.array(sources, pa.string()))
