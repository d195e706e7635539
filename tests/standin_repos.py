"""What the stand-in hub holds and notes: repositories, their files with the hub's hashes, requests and faults."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".h5", ".msgpack", ".model", ".parquet", ".gz")
STATUS_FAULTS = {
    "not_found": (404, {"X-Error-Code": "RepoNotFound"}),
    "no_revision": (404, {"X-Error-Code": "RevisionNotFound"}),
    "no_entry": (404, {"X-Error-Code": "EntryNotFound"}),
    "gated": (401, {"X-Error-Code": "GatedRepo"}),
    "unauthorized": (401, {}),
    "forbidden": (403, {}),
    "busy": (429, {}),
    "error": (500, {}),
    "unavailable": (503, {}),
}
BODY_FAULTS = ("cut", "ignore_range", "drip", "short", "wrong_bytes", "wrong_range", "wrong_size", "compressed")


@dataclass(frozen=True)
class StoredFile:
    """A file of a repository with the hashes that the hub lists for it."""

    path: Path

    @cached_property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def lfs(self) -> bool:
        return self.path.name.endswith(LFS_SUFFIXES)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def blob_id(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.blob_id


@dataclass
class StoredRepo:
    branches: dict[str, str]
    tags: dict[str, str]
    commits: dict[str, dict[str, StoredFile]]
    token: str | None

    def commit(self, revision: str) -> str | None:
        known = {**self.tags, **self.branches}
        return known.get(revision, revision if revision in self.commits else None)


@dataclass
class Request:
    """One request that arrived. sent: bytes of body written so far. server: `hub` or `storage`."""

    server: str
    method: str
    path: str
    range: str | None
    authorization: str | None
    status: int = 0
    sent: int = 0


@dataclass
class Fault:
    kind: str
    pattern: str
    times: int | None
    server: str | None
    how: dict[str, object] = field(default_factory=dict)

    def number(self, name: str, default: float) -> float:
        value = self.how.get(name, default)
        assert isinstance(value, int | float)
        return value
