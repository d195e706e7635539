"""What a repository holds: its branches and tags, and the files of a commit. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from saturation import settings
from saturation.checkpoints.hub_answers import Place, endpoint
from saturation.checkpoints.hub_disk import write
from saturation.checkpoints.hub_errors import (
    HubBusyError,
    HubDamagedError,
    HubNotFoundError,
    HubOfflineError,
    HubUnavailableError,
)
from saturation.checkpoints.hub_files import (
    COMMIT,
    RemoteFile,
    cached_commits,
    cached_tree,
    flat_name,
    is_dataset,
    pointer,
)
from saturation.checkpoints.hub_http import Connection
from saturation.checkpoints.hub_patience import Patience

# A page that lists steps must not ask the hub each time it is drawn; a run that is being uploaded grows by the hour.
FRESH_SECONDS = 3600.0
NO_ANSWER = (HubUnavailableError, HubOfflineError, HubBusyError)


@dataclass(frozen=True)
class Refs:
    """The branches and tags of a repository with their commits, as the hub listed them at listed_at (UTC)."""

    repo: str
    branches: Mapping[str, str]
    tags: Mapping[str, str]
    listed_at: datetime

    @property
    def commits(self) -> dict[str, str]:
        """Every name with its commit; a branch goes before a tag of the same name."""
        return {**self.tags, **self.branches}

    def commit(self, revision: str) -> str:
        """The commit of a branch or tag, or the commit itself. Raises HubNotFoundError with the closest names."""
        if COMMIT.fullmatch(revision):
            return revision
        known = self.commits
        if revision not in known:
            close = get_close_matches(revision, known, n=5, cutoff=0.5) or list(known)[:5]
            raise HubNotFoundError(f"{self.repo} has no revision '{revision}'; choose one such as {', '.join(close)}.")
        return known[revision]


def kept_folder(cache: Path | None) -> Path:
    """Where listings and tensors of the hub are kept inside the cache folder in force."""
    return (cache or settings.load().cache) / "hub"


def refs(repo: str, cache: Path | None = None, refresh: bool = False, *, connection: Connection | None = None) -> Refs:
    """The branches and tags of a repository: one GET, kept for an hour unless refresh is set.

    Offline, or when the hub does not answer: the last listing, however old, else what the hub's own cache knows.
    Raises HubError where there is neither, or where the hub refuses.
    """
    path = kept_folder(cache) / "refs" / f"{flat_name(repo)}.json"
    last = _last_refs(repo, path)
    now = datetime.now(UTC)
    if last is not None and not refresh and (now - last.listed_at).total_seconds() < FRESH_SECONDS:
        return last
    place = Place(repo)
    try:
        found: Any = (connection or Connection(_brief(last))).get_json(f"{_api(repo)}/refs", place)
    except NO_ANSWER:
        if last is not None:
            return last
        known = cached_commits(repo)
        if not known:
            raise
        return Refs(repo, known, {}, now)
    try:
        branches, tags = _named(found["branches"]), _named(found["tags"])
    except (KeyError, TypeError) as error:
        raise HubDamagedError(f"{endpoint()} lists no branches and tags of {repo}; check HF_ENDPOINT.") from error
    kept = {"repo": repo, "branches": branches, "tags": tags, "listed_at": now.isoformat()}
    write(path, [json.dumps(kept, indent=1).encode()], f"the list of revisions of {repo}")
    return Refs(repo, branches, tags, now)


def last_refs(repo: str, cache: Path | None = None) -> Refs | None:
    """The last listing of a repository, however old; never asks the hub. None where it was never listed."""
    return _last_refs(repo, kept_folder(cache) / "refs" / f"{flat_name(repo)}.json")


def _api(repo: str) -> str:
    return f"/api/{repo}" if is_dataset(repo) else f"/api/models/{repo}"


def _brief(last: Refs | None) -> Patience:
    """Less patience where there is a listing to fall back on: a page is waiting."""
    usual = Patience.from_environment()
    if last is None:
        return usual
    return replace(usual.at_most(10.0), tries=2, timeout=min(usual.timeout, 5.0))


def _named(listed: Any) -> dict[str, str]:
    return {str(ref["name"]): str(ref["targetCommit"]) for ref in listed}


def _last_refs(repo: str, path: Path) -> Refs | None:
    try:
        kept = json.loads(path.read_bytes())
        return Refs(repo, dict(kept["branches"]), dict(kept["tags"]), datetime.fromisoformat(kept["listed_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tree(
    repo: str,
    commit: str,
    cache: Path | None = None,
    *,
    revision: str | None = None,
    connection: Connection | None = None,
) -> dict[str, RemoteFile]:
    """The files at the top of a repository at a commit, by name; listed once and then kept, for a commit never changes.

    Of a dataset those in folders too, by their paths.
    revision: how errors name the commit. Raises HubError; offline, the files in the hub's own cache stand in.
    """
    pointer(repo, commit, "any")  # refuses what is no commit before it becomes part of a path
    path = kept_folder(cache) / "trees" / flat_name(repo) / f"{commit}.json"
    kept = _last_tree(path)
    if kept is not None:
        return kept
    place = Place(repo, revision or commit)
    try:
        found: Any = (connection or Connection()).get_json(
            f"{_api(repo)}/tree/{commit}?recursive={is_dataset(repo)}&expand=False", place
        )
    except NO_ANSWER:
        local = cached_tree(repo, commit)
        if not local:
            raise
        return local
    try:
        files = [_listed(item) for item in found if item["type"] == "file"]
    except (KeyError, TypeError) as error:
        raise HubDamagedError(f"{endpoint()} lists no files of {place}; check HF_ENDPOINT.") from error
    write(path, [json.dumps([vars(file) for file in files], indent=1).encode()], f"the list of files of {place}")
    return {file.name: file for file in files}


def _listed(item: dict[str, Any]) -> RemoteFile:
    name, lfs = str(item["path"]), item.get("lfs")
    if lfs:
        return RemoteFile(name, int(lfs["size"]), f"sha256:{lfs['oid']}")
    if item.get("xetHash"):
        return RemoteFile(name, int(item["size"]), f"xet:{item['xetHash']}")
    return RemoteFile(name, int(item["size"]), f"git:{item['oid']}")


def _last_tree(path: Path) -> dict[str, RemoteFile] | None:
    try:
        files = [RemoteFile(**item) for item in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError):
        return None
    return {file.name: file for file in files}
