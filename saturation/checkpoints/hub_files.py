"""Whole files of a repository in the hub's own cache, the one that huggingface_hub and transformers share.

The layout is the published one (https://huggingface.co/docs/hub/local-cache): a file lies once in blobs/ under the
hash that the hub lists for it, and each commit's folder in snapshots/ links to it. huggingface_hub's own download
is not used because it waits for as long as the hub asks, starts a broken file anew, and compares lengths only;
here waits are bounded, a download goes on where it stopped, and its content is compared with its hash.
Imports no torch.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from saturation.checkpoints.hub_answers import Place
from saturation.checkpoints.hub_disk import disk, full
from saturation.checkpoints.hub_errors import HubDamagedError, HubNotFoundError
from saturation.checkpoints.hub_http import Connection

COMMIT = re.compile(r"[0-9a-f]{40}")
DATASETS = "datasets/"
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
BLOCK = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository at one commit.

    size: in bytes. content_id: `sha256:` and the hash of its bytes (LFS), `xet:` and its Xet hash, or `git:` and the
    id of its git blob; files with one id are the same.
    """

    name: str
    size: int
    content_id: str

    @property
    def hash(self) -> str:
        return self.content_id.partition(":")[2]


def hub_cache() -> Path:
    """The folder of the hub's own cache, from HF_HUB_CACHE or HF_HOME as they are now."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if not given and os.environ.get("HF_HOME"):
        given = os.path.join(os.environ["HF_HOME"], "hub")
    return Path(os.path.expandvars(given or constants.HF_HUB_CACHE)).expanduser()


def dataset(repo: str) -> str:
    """A dataset's repository as all functions here take it, by its address on the hub: `datasets/organisation/name`."""
    return f"{DATASETS}{repo}"


def is_dataset(repo: str) -> bool:
    return repo.startswith(DATASETS)


def flat_name(repo: str) -> str:
    """`org--name`, the name of a repository in the folder names of caches; a dataset's is `datasets--org--name`.

    Raises HubNotFoundError.
    """
    try:
        validate_repo_id(repo.removeprefix(DATASETS))
    except HFValidationError as error:
        raise HubNotFoundError(
            f"'{repo}' is no name of a hub repository; write it as organisation/name, such as EleutherAI/pythia-70m."
        ) from error
    return repo.replace("/", "--")


def repo_folder(repo: str) -> Path:
    flat = flat_name(repo)
    return hub_cache() / (flat if is_dataset(repo) else f"models--{flat}")


def pointer(repo: str, commit: str, name: str) -> Path:
    """Where a file of a commit lies once it is downloaded. Raises HubNotFoundError for names that lead elsewhere."""
    if not COMMIT.fullmatch(commit):
        raise HubNotFoundError(f"'{commit}' is no commit of {repo}; give its 40 hexadecimal digits.")
    parts = name.split("/")
    # Of models only files at the top are read; a dataset keeps its files in folders.
    astray = any(part in ("", ".", "..") or part != Path(part).name for part in parts)
    if astray or (len(parts) > 1 and not is_dataset(repo)):
        raise HubNotFoundError(f"'{name}' is no file at the top of {repo}@{commit}; check the name of the file.")
    return repo_folder(repo) / "snapshots" / commit / name


def cached(repo: str, commit: str, name: str) -> Path | None:
    """The file in the hub's own cache, None where it is not there."""
    path = pointer(repo, commit, name)
    return path if path.is_file() else None


def cached_commits(repo: str) -> dict[str, str]:
    """Branches and tags that other downloads left in the hub's own cache, with their commits."""
    refs = repo_folder(repo) / "refs"
    found = {path.relative_to(refs).as_posix(): path.read_text().strip() for path in refs.rglob("*") if path.is_file()}
    return {name: commit for name, commit in found.items() if COMMIT.fullmatch(commit)}


def cached_tree(repo: str, commit: str) -> dict[str, RemoteFile]:
    """The files of a commit that lie in the hub's own cache; maybe not all that the repository has."""
    folder = pointer(repo, commit, "any").parent
    paths = sorted(folder.rglob("*") if is_dataset(repo) else folder.iterdir()) if folder.is_dir() else []
    found = {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}
    return {name: _local(path, name) for name, path in found.items()}


def _local(path: Path, given: str) -> RemoteFile:
    name = Path(os.readlink(path)).name if path.is_symlink() else ""
    if not HASH.fullmatch(name):
        name = _digest(path, hashlib.sha256())
    return RemoteFile(given, path.stat().st_size, f"{'git' if len(name) == 40 else 'sha256'}:{name}")


def fetch(
    connection: Connection, repo: str, commit: str, file: RemoteFile, *, revision: str | None = None
) -> tuple[Path, list[Path]]:
    """A whole file, downloaded unless the cache holds it (also under another commit), and the paths that are new.

    Raises HubError; what arrived until then is kept aside and the next call goes on from there.
    """
    place = Place(repo, revision or commit, file.name)
    path = pointer(repo, commit, file.name)
    if path.is_file():
        return path, []
    blob = repo_folder(repo) / "blobs" / file.hash
    lock = hub_cache() / ".locks" / repo_folder(repo).name / f"{file.hash}.lock"
    new: list[Path] = []
    with disk(hub_cache(), str(place)):
        for folder in (blob.parent, path.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
    # The same lock that huggingface_hub takes, so that the two never download one file at once.
    with FileLock(lock):
        while not path.is_file():
            if not blob.exists():
                _download(connection, place, commit, file, blob)
                new.append(blob)
            with disk(hub_cache(), str(place)):
                # A link left over, or one whose blob another process took back just now: once more.
                path.unlink(missing_ok=True)
                _link(blob, path)
                new.append(path)
    return path, new


def _download(connection: Connection, place: Place, commit: str, file: RemoteFile, blob: Path) -> None:
    partial = blob.with_name(f"{blob.name}.saturation.incomplete")
    with disk(blob.parent, str(place)):
        with partial.open("ab") as stream:
            have = stream.tell()
            if have > file.size:
                stream.truncate(0)
                have = 0
            if shutil.disk_usage(blob.parent).free < file.size - have:
                raise full(blob.parent, f"{place} ({file.size} bytes)")
            connection.receive(place, commit, have, file.size, stream.write, file.size)
        if not _is_as_listed(partial, file):
            partial.unlink()
            raise HubDamagedError(
                f"The content of {place} is not what the hub lists; try again, or choose another revision."
            )
        os.replace(partial, blob)


def _is_as_listed(path: Path, file: RemoteFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    if file.content_id.startswith("sha256:"):
        return _digest(path, hashlib.sha256()) == file.hash
    if file.content_id.startswith("git:"):
        return _digest(path, hashlib.sha1(b"blob %d\0" % file.size)) == file.hash
    return True


def _digest(path: Path, digest: "hashlib._Hash") -> str:
    with path.open("rb") as stream:
        read: Callable[[], bytes] = lambda: stream.read(BLOCK)  # noqa: E731
        for block in iter(read, b""):
            digest.update(block)
    return digest.hexdigest()


def _link(blob: Path, path: Path) -> None:
    try:
        path.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:
        # No symbolic links here (Windows): the published layout then has the file itself in the snapshot.
        os.replace(blob, path)
