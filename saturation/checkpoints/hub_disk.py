"""Writing what was read from the hub: whole files or none, and one sentence when the disk does not take them."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saturation.checkpoints.hub_errors import HubDiskError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk(folder: Path, what: str) -> Iterator[None]:
    """Turn an OSError of the block into HubDiskError. what: what is being kept, named in the sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise full(folder, what) from error
        raise HubDiskError(
            f"{what} cannot be kept in {folder} ({error.strerror or type(error).__name__}); "
            "make the folder writable, or set SATURATION_CACHE and HF_HOME to another one."
        ) from error


def full(folder: Path, what: str) -> HubDiskError:
    return HubDiskError(
        f"The disk of {folder} is too full to keep {what}; free some space, "
        "or set SATURATION_CACHE and HF_HOME to another disk."
    )


def write(path: Path, parts: list[bytes | bytearray], what: str) -> None:
    """Write a file in one step: a reader finds the old content or the new, never a part. Raises HubDiskError."""
    with disk(path.parent, what):
        path.parent.mkdir(parents=True, exist_ok=True)
        passing = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with passing.open("wb") as stream:
                for part in parts:
                    stream.write(part)
            os.replace(passing, path)
        finally:
            passing.unlink(missing_ok=True)
