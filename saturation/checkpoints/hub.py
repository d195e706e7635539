"""The hub, as the rest of the project uses it: what a repository holds, its small files, and a checkpoint as a folder.

Imports no torch, so that the dashboard can list steps; tensors are read by `hub_weights.HubWeights`.
Every function takes a `connection` whose `patience` says how long the hub is waited for, and where none is given makes
one from the environment (SATURATION_HUB_SECONDS).
"""

from pathlib import Path

from saturation.checkpoints.hub_answers import Place
from saturation.checkpoints.hub_errors import (
    HubAccessError,
    HubBusyError,
    HubDamagedError,
    HubDiskError,
    HubError,
    HubNotFoundError,
    HubOfflineError,
    HubUnavailableError,
)
from saturation.checkpoints.hub_files import RemoteFile, cached, dataset, fetch
from saturation.checkpoints.hub_http import Connection
from saturation.checkpoints.hub_listing import Refs, last_refs, refs, tree
from saturation.checkpoints.hub_patience import Patience
from saturation.checkpoints.hub_snapshot import snapshot

__all__ = [
    "Connection",
    "HubAccessError",
    "HubBusyError",
    "HubDamagedError",
    "HubDiskError",
    "HubError",
    "HubNotFoundError",
    "HubOfflineError",
    "HubUnavailableError",
    "Patience",
    "Refs",
    "RemoteFile",
    "dataset",
    "fetch",
    "last_refs",
    "refs",
    "small_file",
    "snapshot",
    "tree",
]


def small_file(
    repo: str,
    commit: str,
    name: str,
    *,
    cache: Path | None = None,
    revision: str | None = None,
    connection: Connection | None = None,
) -> Path:
    """A file at the top of a repository (config.json, tokenizer files) in the hub's own cache, downloaded once.

    A file that is the same in many commits is downloaded for the first of them only. Raises HubError.
    """
    found = cached(repo, commit, name)
    if found is not None:
        return found
    connection = connection or Connection()
    files = tree(repo, commit, cache, revision=revision, connection=connection)
    if name not in files:
        raise HubNotFoundError(
            f"There is no {Place(repo, revision or commit, name)}; check the name of the file and the revision."
        )
    return fetch(connection, repo, commit, files[name], revision=revision)[0]
