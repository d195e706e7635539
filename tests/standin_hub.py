"""A stand-in for the hub on loopback: real HTTP, the parts of its API that clients use, and faults on request.

    with StandInHub() as hub:
        hub.add("org/name", {"step0": folder, "step1": other}, tags={"v1": "step1"})
        hub.misbehave("cut", "*/model.safetensors", times=2, after=1000)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)

Weights are served as on the hub: `resolve` redirects to a storage host (a second port, so another origin), and files of
equal content share one LFS hash. Nothing global is set: a test sets the environment (`environment` for processes).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from urllib.parse import parse_qs, quote, unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".h5", ".msgpack", ".model")
CHUNK = 16_384
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


class StandInHub:
    """A hub and its storage host on two free ports of 127.0.0.1."""

    def __init__(self, page_size: int = 1000) -> None:
        self.page_size = page_size
        self.requests: list[Request] = []
        self.stopped = Event()
        self._repos: dict[str, StoredRepo] = {}
        self._faults: list[Fault] = []
        self._lock = Lock()
        self._servers = {name: _server(self, name) for name in ("hub", "storage")}

    def __enter__(self) -> "StandInHub":
        for server in self._servers.values():
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def _address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._servers[name].server_address[1]}"

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT must be."""
        return self._address("hub")

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
        """Serve folders as the branches of a repository. tags: name -> branch. token: gated, open to this token only.

        Returns the commit of each branch. A second call replaces the repository.
        """
        commits: dict[str, dict[str, StoredFile]] = {}
        branches: dict[str, str] = {}
        for revision, folder in revisions.items():
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            files = {path.relative_to(folder).as_posix(): StoredFile(path) for path in paths}
            told = [repo, revision, *(f"{name} {file.etag}" for name, file in files.items())]
            branches[revision] = hashlib.sha1("\n".join(told).encode()).hexdigest()
            commits[branches[revision]] = files
        named = {tag: branches[branch] for tag, branch in (tags or {}).items()}
        self._repos[repo] = StoredRepo(branches, named, commits, token)
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


def _server(hub: StandInHub, name: str) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"hub": hub, "name": name})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in two small packets would wait for each other's acknowledgement.
    disable_nagle_algorithm = True
    hub: StandInHub
    name: str

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        self.url, self.query = unquote(parts.path), parse_qs(parts.query)
        self.request_seen = Request(
            self.name, self.command, self.url, self.headers.get("Range"), self.headers.get("Authorization")
        )
        self.hub.requests.append(self.request_seen)
        try:
            fault = self.hub.fault(self.name, self.url, tuple(STATUS_FAULTS))
            if fault is not None:
                status, headers = STATUS_FAULTS[fault.kind]
                if "retry_after" in fault.how:
                    headers = {**headers, "Retry-After": str(fault.how["retry_after"])}
                self._send(status, b'{"error": "as asked"}', headers)
            elif self.name == "storage":
                self._storage()
            elif self.url == "/api/agent-harnesses":
                self._json({"standardEnvVars": [], "harnesses": {}})
            elif self.url.startswith("/api/models/"):
                self._api(self.url.removeprefix("/api/models/"))
            else:
                self._resolve()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _repo(self, path: str) -> tuple[str, StoredRepo, str] | None:
        """The repository that a path starts with and the rest of the path; None after an error was sent."""
        for name, repo in self.hub._repos.items():
            if path == name or path.startswith(f"{name}/"):
                if repo.token is not None and self.headers.get("Authorization") != f"Bearer {repo.token}":
                    self._send(401, b'{"error": "gated"}', {"X-Error-Code": "GatedRepo"})
                    return None
                return name, repo, path[len(name) + 1 :]
        # The hub does not tell a stranger which names exist.
        known = self.headers.get("Authorization") is not None
        self._send(404 if known else 401, b'{"error": "no such repository"}', {"X-Error-Code": "RepoNotFound"})
        return None

    def _files(self, repo: StoredRepo, revision: str) -> tuple[str, dict[str, StoredFile]] | None:
        commit = repo.commit(revision)
        if commit is None:
            self._send(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit, repo.commits[commit]

    def _api(self, path: str) -> None:
        found = self._repo(path)
        if found is None:
            return
        name, repo, rest = found
        what, _, argument = rest.partition("/")
        if what == "refs":
            refs = {
                kind: [{"name": n, "ref": f"refs/{ref}/{n}", "targetCommit": c} for n, c in held.items()]
                for kind, ref, held in (("branches", "heads", repo.branches), ("tags", "tags", repo.tags))
            }
            self._json({**refs, "converts": []})
            return
        listed = self._files(repo, argument if what in ("revision", "tree", "paths-info") else "main")
        if listed is None:
            return
        commit, files = listed
        if what == "tree":
            self._tree(files)
        elif what == "paths-info":
            asked = json.loads(self.body)["paths"]
            self._json([_item(path, files[path]) for path in asked if path in files])
        else:
            siblings = [{"rfilename": path} for path in files]
            self._json({"id": name, "modelId": name, "sha": commit, "siblings": siblings, "tags": [], "gated": False})

    def _tree(self, files: dict[str, StoredFile]) -> None:
        deep = self.query.get("recursive", ["False"])[0].lower() == "true"
        items = [_item(path, file) for path, file in files.items() if deep or "/" not in path]
        folders = sorted({path.split("/")[0] for path in files if "/" in path})
        items += [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]
        start = int(self.query.get("cursor", ["0"])[0])
        stop = start + self.hub.page_size
        more = {}
        if stop < len(items):
            more = {
                "Link": f'<https://hub.invalid{self.path.partition("?")[0]}?recursive={deep}&cursor={stop}>; rel="next"'
            }
        self._json(items[start:stop], more)

    def _resolve(self) -> None:
        found = self._repo(self.url.removeprefix("/"))
        if found is None:
            return
        name, repo, rest = found
        revision, _, path = rest.removeprefix("resolve/").partition("/")
        listed = self._files(repo, revision)
        if listed is None:
            return
        commit, files = listed
        headers = {"X-Repo-Commit": commit}
        if path not in files:
            self._send(404, b'{"error": "Entry not found"}', {**headers, "X-Error-Code": "EntryNotFound"})
            return
        file = files[path]
        headers["ETag"] = f'"{file.etag}"'
        if not file.lfs:
            self._file(file, headers)
            return
        headers |= {"X-Linked-Size": str(len(file.data)), "X-Linked-ETag": f'"{file.sha256}"'}
        headers["Location"] = f"{self.hub._address('storage')}/{name}/{commit}/{file.sha256}/{quote(path)}?signature=x"
        self._send(302, b"Found. Redirecting", headers)

    def _storage(self) -> None:
        repo, commit, digest, path = self.url.removeprefix("/").rsplit("/", 3)
        file = self.hub._repos[repo].commits[commit][path]
        assert file.sha256 == digest
        if self.headers.get("Authorization") is not None:
            # As the real storage does with a signed address.
            self._send(400, b"Only one auth mechanism allowed", {})
            return
        self._file(file, {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"})

    def _file(self, file: StoredFile, headers: dict[str, str]) -> None:
        """A file or the range of it that was asked for, with the fault that it meets."""
        data, start, stop, status = file.data, 0, len(file.data), 200
        asked = self.headers.get("Range")
        if asked is not None:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop, status = int(first), min(int(last) + 1 if last else stop, stop), 206
        fault = self.hub.fault(self.name, self.url, BODY_FAULTS, stop - start) if self.command == "GET" else None
        kind = fault.kind if fault else ""
        if kind == "ignore_range":
            start, stop, status = 0, len(data), 200
        if status == 206:
            if start >= stop:
                self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            shift = 1 if kind == "wrong_range" else 0
            total = len(data) + (1 if kind == "wrong_size" else 0)
            headers = {**headers, "Content-Range": f"bytes {start + shift}-{stop - 1}/{total}"}
        if fault and kind == "wrong_bytes":
            wrong, at = fault.how["data"], int(fault.number("at", 0))
            assert isinstance(wrong, bytes)
            data = data[:at] + wrong + data[at + len(wrong) :]
        if kind == "compressed":
            headers = {**headers, "Content-Encoding": "gzip"}
        self._send(status, data[start:stop], headers, fault)

    def _json(self, content: object, headers: Mapping[str, str] | None = None) -> None:
        fault = self.hub.fault(self.name, self.url, BODY_FAULTS) if self.command == "GET" else None
        body = (
            b"<html>Sign in to the network</html>"
            if fault and fault.kind == "wrong_bytes"
            else json.dumps(content).encode()
        )
        self._send(200, body, {"Content-Type": "application/json", **(headers or {})}, fault)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], fault: Fault | None = None) -> None:
        kind = fault.kind if fault else ""
        self.request_seen.status = status
        if fault and kind == "short":
            body = body[: int(fault.number("keep", 0))]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and kind == "cut":
            self._write(body[: int(fault.number("after", 0))])
            self.close_connection = True
        elif fault and kind == "drip":
            step = max(int(fault.number("rate", 1000) / 20), 1)
            for at in range(0, len(body), step):
                self._write(body[at : at + step])
                if self.hub.stopped.wait(0.05):
                    self.close_connection = True
                    return
        else:
            for at in range(0, len(body), CHUNK):
                self._write(body[at : at + CHUNK])

    def _write(self, part: bytes) -> None:
        self.request_seen.sent += len(part)
        self.wfile.write(part)


def _item(path: str, file: StoredFile) -> dict[str, object]:
    item: dict[str, object] = {"type": "file", "path": path, "size": len(file.data), "oid": file.blob_id}
    if file.lfs:
        item["lfs"] = {"oid": file.sha256, "size": len(file.data), "pointerSize": 134}
    return item
