"""What the stand-in hub and its storage host answer: listings, `resolve`, byte ranges, and the faults asked for."""

import json
import re
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote, urlsplit

from standin_repos import BODY_FAULTS, STATUS_FAULTS, Fault, Request, StoredFile, StoredRepo

if TYPE_CHECKING:
    from standin_hub import StandInHub

CHUNK = 16_384


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves in the middle is no error of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve(hub: "StandInHub", name: str) -> _Server:
    """A server on a free port for the `hub` itself or its `storage`."""
    return _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub, "name": name}))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in two small packets would wait for each other's acknowledgement.
    disable_nagle_algorithm = True
    hub: "StandInHub"
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
            elif self.url.startswith("/api/datasets/"):
                self._api(self.url.removeprefix("/api/"))
            elif self.url.startswith("/api/models/"):
                self._api(self.url.removeprefix("/api/models/"))
            else:
                self._resolve()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _repo(self, path: str) -> tuple[str, StoredRepo, str] | None:
        """The repository that a path starts with and the rest of the path; None after an error was sent."""
        for name, repo in self.hub.repos.items():
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
            asked = parse_qs(self.body.decode()).get("paths", [])
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
        headers["Location"] = f"{self.hub.address('storage')}/{name}/{commit}/{file.sha256}/{quote(path)}?signature=x"
        self._send(302, b"Found. Redirecting", headers)

    def _storage(self) -> None:
        address = re.fullmatch("/(.+)/([0-9a-f]{40})/([0-9a-f]{64})/(.+)", self.url)
        assert address is not None, self.url
        repo, commit, digest, path = address.groups()
        file = self.hub.repos[repo].commits[commit][path]
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
