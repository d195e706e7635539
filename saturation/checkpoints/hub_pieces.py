"""Pieces of the hub's files that were read - headers, indexes, tensors - kept on disk by the content they belong to.

A piece is found by the content id of its file, so that branches with the same weights cost nothing and a second run
reads nothing. Each piece carries its own hash and is checked when it is read. Imports no torch.
"""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from saturation.checkpoints.hub_disk import write
from saturation.settings import gigabytes

STALE_SECONDS = 3600.0


def limit_from_environment() -> int:
    """The size in bytes that SATURATION_HUB_CACHE_GB allows (default 5 GB). Raises InputError."""
    return gigabytes("hub_cache")


@dataclass(frozen=True)
class Pieces:
    """A folder of pieces of at most `limit` bytes; the ones used longest ago give way."""

    folder: Path
    limit: int

    def _path(self, content_id: str, part: str) -> Path:
        name = hashlib.sha256(f"{content_id}\n{part}".encode()).hexdigest()
        return self.folder / name[:2] / name

    def get(self, content_id: str, part: str) -> bytearray | None:
        """The bytes of a piece, None where it is not kept; a damaged one is removed."""
        path = self._path(content_id, part)
        try:
            with path.open("rb") as stream:
                label = json.loads(stream.readline())
                data = bytearray(path.stat().st_size - stream.tell())
                stream.readinto(data)
            sound = label == _label(content_id, part, data)
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            sound = False
        if not sound:
            path.unlink(missing_ok=True)
            return None
        return data

    def put(self, content_id: str, part: str, data: bytes | bytearray) -> None:
        """Keep a piece, unless it alone is larger than the limit. Raises HubDiskError."""
        if len(data) > self.limit:
            return
        path = self._path(content_id, part)
        self._make_room(len(data), path)
        label = json.dumps(_label(content_id, part, data)).encode() + b"\n"
        write(path, [label, data], "what was read from the hub")

    def drop(self, content_id: str, part: str) -> None:
        self._path(content_id, part).unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes on disk."""
        return sum(size for _, size, _ in self._held())

    def _held(self) -> list[tuple[float, int, Path]]:
        held = []
        for path in self.folder.glob("*/*") if self.folder.is_dir() else ():
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == ".tmp":
                # Left by a run that was killed while it wrote.
                if time.time() - stat.st_mtime > STALE_SECONDS:
                    path.unlink(missing_ok=True)
                continue
            held.append((stat.st_mtime, stat.st_size, path))
        return held

    def _make_room(self, wanted: int, replaced: Path) -> None:
        held = sorted(item for item in self._held() if item[2] != replaced)
        total = sum(size for _, size, _ in held) + wanted
        for _, size, path in held:
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= size


def _label(content_id: str, part: str, data: bytes | bytearray) -> dict[str, str | int]:
    return {
        "content_id": content_id,
        "part": part,
        "length": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
