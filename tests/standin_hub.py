"""A stand-in for the hub on loopback: real HTTP, the parts of its API that clients use, and faults on request.

    with StandInHub() as hub:
        hub.add("org/name", {"step0": folder, "step1": other}, tags={"v1": "step1"})
        hub.misbehave("cut", "*/model.safetensors", times=2, after=1000)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)

Weights are served as on the hub: `resolve` redirects to a storage host (a second port, so another origin), and files of
equal content share one LFS hash. Nothing global is set: a test sets the environment (`environment` for processes).
"""

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event, Lock, Thread

from standin_http import serve
from standin_repos import BODY_FAULTS, STATUS_FAULTS, Fault, Request, StoredFile, StoredRepo

__all__ = ["Request", "StandInHub", "StoredFile"]


class StandInHub:
    """A hub and its storage host on two free ports of 127.0.0.1."""

    def __init__(self, page_size: int = 1000) -> None:
        self.page_size = page_size
        self.requests: list[Request] = []
        self.stopped = Event()
        self.repos: dict[str, StoredRepo] = {}
        self._faults: list[Fault] = []
        self._lock = Lock()
        self._servers = {name: serve(self, name) for name in ("hub", "storage")}

    def __enter__(self) -> "StandInHub":
        for server in self._servers.values():
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._servers[name].server_address[1]}"

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT must be."""
        return self.address("hub")

    def environment(self, home: Path) -> dict[str, str]:
        """The variables with which a process uses this hub, with HF_HOME in `home`; no fault takes it long."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "SATURATION_HUB_SECONDS": "2",
        }

    def add(
        self,
        repo: str,
        revisions: Mapping[str, Path],
        tags: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> dict[str, str]:
        """Serve folders as the branches of a repository; a dataset's name is `datasets/org/name`. tags: name ->
        branch. token: gated, open to this token only.

        Returns the commit of each branch. A second call replaces the repository.
        """
        commits: dict[str, dict[str, StoredFile]] = {}
        stored: dict[Path, StoredFile] = {}
        branches: dict[str, str] = {}
        for revision, folder in revisions.items():
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            files = {path.relative_to(folder).as_posix(): stored.setdefault(path, StoredFile(path)) for path in paths}
            told = [repo, revision, *(f"{name} {file.etag}" for name, file in files.items())]
            branches[revision] = hashlib.sha1("\n".join(told).encode()).hexdigest()
            commits[branches[revision]] = files
        named = {tag: branches[branch] for tag, branch in (tags or {}).items()}
        self.repos[repo] = StoredRepo(branches, named, commits, token)
        return branches

    def misbehave(
        self, kind: str, pattern: str = "*", times: int | None = 1, server: str | None = None, **how: object
    ) -> None:
        """Let the next `times` requests (None: all) whose path matches go wrong.

        Kinds by status: not_found, no_revision, no_entry, gated, unauthorized, forbidden, busy (retry_after=seconds),
        error, unavailable. Kinds that spoil the body of a file or listing: cut (after=bytes, where it is longer),
        short (keep=bytes, an honest Content-Length), drip (rate=bytes per second), ignore_range, wrong_range,
        wrong_size, compressed, wrong_bytes (at=offset in the file, data=bytes).
        server: only requests to `hub` or `storage`. then=kind: what every request meets after the last of `times`.
        """
        assert kind in STATUS_FAULTS or kind in BODY_FAULTS, kind
        self._faults.append(Fault(kind, pattern, times, server, how))

    def behave(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def fault(self, server: str, path: str, kinds: tuple[str, ...], length: int = 0) -> Fault | None:
        """The fault that this request meets, if any; it is then used up once. length: of the body that is asked."""
        with self._lock:
            for fault in self._faults:
                if (
                    fault.kind not in kinds
                    or fault.server not in (None, server)
                    or not fnmatchcase(path, fault.pattern)
                ):
                    continue
                if fault.kind == "cut" and length <= fault.number("after", 0):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                        if "then" in fault.how:
                            self._faults.append(Fault(str(fault.how["then"]), fault.pattern, None, fault.server))
                return fault
        return None

    def received(self, pattern: str = "*", server: str | None = None, method: str | None = None) -> list[Request]:
        """The requests so far whose path matches."""
        return [
            request
            for request in self.requests
            if fnmatchcase(request.path, pattern)
            and server in (None, request.server)
            and method in (None, request.method)
        ]

    def bytes_sent(self, pattern: str = "*") -> int:
        """Bytes of bodies sent so far for paths that match."""
        return sum(request.sent for request in self.received(pattern))

    def forget(self) -> None:
        """Start counting requests and bytes anew."""
        self.requests.clear()
