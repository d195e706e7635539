"""A commit's configuration, tokenizer and weights as a folder, for as long as it is needed. Imports no torch.

A sweep over hundreds of revisions cannot keep them all, so a snapshot can be taken back: exactly the files that came
for it, never one that was in the cache before or that another process still uses. Who uses and who brought what is
written to a small file beside the repository's blobs, so that a killed run's files are taken back by the next one.
"""

import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from saturation.checkpoints.hub_answers import Place
from saturation.checkpoints.hub_disk import disk, write
from saturation.checkpoints.hub_errors import HubDamagedError, HubNotFoundError
from saturation.checkpoints.hub_files import RemoteFile, fetch, pointer, repo_folder
from saturation.checkpoints.hub_http import Connection
from saturation.checkpoints.hub_listing import tree
from saturation.checkpoints.layout import LAYOUTS

# Never code, never optimizer states, never a second format of the same weights.
SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
)


def layout_of(files: dict[str, RemoteFile], place: Place) -> str:
    """Name of the weight file or index of shards, in the order of transformers. Raises HubNotFoundError."""
    for name in LAYOUTS:
        if name in files:
            return name
    raise HubNotFoundError(
        f"{place} holds no weights (model.safetensors, pytorch_model.bin or an index of shards); "
        "choose another revision."
    )


def shards_of(
    index: bytes | bytearray, files: dict[str, RemoteFile], place: Place
) -> tuple[dict[str, str], dict[str, Any]]:
    """Which shard holds which tensor, and the metadata of the index. Raises HubDamagedError."""
    try:
        content = json.loads(index)
        shards = {str(name): str(shard) for name, shard in content["weight_map"].items()}
        metadata = dict(content.get("metadata") or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubDamagedError(f"The index of shards of {place} is damaged; choose another revision.") from error
    missing = sorted(set(shards.values()) - set(files))
    if missing or not shards:
        lacking = ", ".join(missing) or "of its index"
        raise HubDamagedError(f"{place} lacks the shard(s) {lacking}; choose another revision.")
    return shards, metadata


@contextmanager
def snapshot(
    repo: str,
    commit: str,
    *,
    remove_after: bool = False,
    cache: Path | None = None,
    revision: str | None = None,
    connection: Connection | None = None,
) -> Iterator[Path]:
    """A folder of the hub's own cache with a commit's configuration, tokenizer and weights.

    Safetensors go before .bin; code is never fetched. remove_after deletes what was downloaded for this commit.
    Raises HubError; what arrived until then is kept, and the next call goes on from there.
    """
    connection = connection or Connection()
    place = Place(repo, revision or commit)
    files = tree(repo, commit, cache, revision=revision, connection=connection)
    layout = layout_of(files, place)
    folder = pointer(repo, commit, layout).parent
    user = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
    with _ledger(repo) as ledger:
        ledger.users.setdefault(commit, []).append(user)

    def bring(name: str) -> Path:
        path, new = fetch(connection, repo, commit, files[name], revision=revision)
        if new:
            with _ledger(repo) as ledger:
                ledger.note(new)
        return path

    try:
        weights = {layout}
        if layout.endswith(".json"):
            weights |= set(shards_of(bring(layout).read_bytes(), files, place)[0].values())
        for name in [*(name for name in SMALL_FILES if name in files), *sorted(weights)]:
            bring(name)
        yield folder
    finally:
        with _ledger(repo) as ledger:
            users = [other for other in ledger.users.pop(commit, []) if other != user]
            if users:
                ledger.users[commit] = users
            elif remove_after:
                ledger.remove(folder)


@dataclass
class _Ledger:
    """Which commits of a repository are in use by whom, and which files our snapshots brought."""

    folder: Path
    users: dict[str, list[str]] = field(default_factory=dict)
    brought: list[str] = field(default_factory=list)

    def note(self, paths: list[Path]) -> None:
        self.brought += [path.relative_to(self.folder).as_posix() for path in paths]

    def remove(self, snapshot: Path) -> None:
        """Delete what we brought to a snapshot, and the blobs that we brought and nothing links to any more."""
        inside = f"snapshots/{snapshot.name}/"
        for name in [name for name in self.brought if name.startswith(inside)]:
            (self.folder / name).unlink(missing_ok=True)
        links = [path for path in self.folder.glob("snapshots/*/*") if path.is_symlink()]
        linked = {os.path.basename(os.readlink(path)) for path in links}
        blobs = [name for name in self.brought if name.startswith("blobs/")]
        for name in blobs:
            if Path(name).name not in linked:
                (self.folder / name).unlink(missing_ok=True)
        self.brought = [name for name in self.brought if os.path.lexists(self.folder / name)]
        if snapshot.is_dir() and not any(snapshot.iterdir()):
            snapshot.rmdir()


@contextmanager
def _ledger(repo: str) -> Iterator[_Ledger]:
    """The ledger of a repository, held alone, written back at the end."""
    folder = repo_folder(repo)
    path = folder / ".saturation.json"
    with disk(folder, f"the files of {repo}"):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".saturation.lock"):
        ledger = _Ledger(folder)
        try:
            kept = json.loads(path.read_bytes())
            ledger.brought = [str(name) for name in kept["brought"]]
            ledger.users = {c: [user for user in users if _alive(user)] for c, users in kept["users"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            ledger = _Ledger(folder)
        yield ledger
        ledger.users = {commit: users for commit, users in ledger.users.items() if users}
        write(path, [json.dumps({"brought": ledger.brought, "users": ledger.users}).encode()], f"the files of {repo}")


def _alive(user: str) -> bool:
    """Whether the process of a user still runs; of another machine, or on Windows, that cannot be told."""
    host, process, _ = user.split(" ")
    if host != socket.gethostname() or os.name == "nt":
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
