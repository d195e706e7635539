"""One way to reach a checkpoint, wherever it lies: weights by tensor, small files, and the model as a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import torch

from saturation.checkpoints import hub
from saturation.checkpoints.hub_snapshot import SMALL_FILES
from saturation.checkpoints.hub_weights import HubWeights
from saturation.checkpoints.layout import TOKENIZER_FILES
from saturation.checkpoints.weights import WeightFiles
from saturation.errors import CheckpointError
from saturation.families.model import Checkpoint


class LocalSource:
    """A model folder or a bare weight file on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = str(path)
        self.bytes_read = 0

    @cached_property
    def weights(self) -> WeightFiles:
        return WeightFiles.find(self.path)

    def read(self, name: str) -> torch.Tensor:
        """One tensor in the dtype of the file."""
        tensor, count = self.weights.read(name)
        self.bytes_read += count
        return tensor

    def config_folder(self) -> Path | None:
        """The folder of config.json, None for a bare weight file."""
        return self.path if self.path.is_dir() else None

    def tokenizer_folders(self) -> list[Path]:
        """Where the tokenizer may lie: beside the weights, or at the top of the run."""
        return [self.path, self.path.parent]

    @contextmanager
    def model(self) -> Iterator[Path]:
        """The model as a folder that transformers can load."""
        self.bytes_read += self.weights.size()
        yield self.path


class HubSource:
    """A commit of a hub repository. Nothing is read before it is asked for.

    keep: leave the downloaded model in the hub's cache; a sweep over hundreds of revisions does not.
    """

    def __init__(self, repo: str, commit: str, revision: str | None, cache: Path, keep: bool = True) -> None:
        self.repo, self.commit, self.revision = repo, commit, revision
        self.where = f"{repo}@{revision or commit}"
        self._cache, self._keep = cache, keep
        self._connection = hub.Connection()

    @property
    def bytes_read(self) -> int:
        return self._connection.bytes_received

    @cached_property
    def weights(self) -> HubWeights:
        return HubWeights(self.repo, self.commit, self._cache, revision=self.revision, connection=self._connection)

    def read(self, name: str) -> torch.Tensor:
        """One tensor in the dtype of the file, by byte range."""
        return self.weights.read(name)[0]

    def _small_file(self, name: str) -> Path:
        return hub.small_file(
            self.repo, self.commit, name, cache=self._cache, revision=self.revision, connection=self._connection
        )

    def config_folder(self) -> Path | None:
        """The folder of config.json in the hub's cache."""
        return self._small_file("config.json").parent

    def tokenizer_folders(self) -> list[Path]:
        """The same folder, after the tokenizer's files have come."""
        files = hub.tree(self.repo, self.commit, self._cache, revision=self.revision, connection=self._connection)
        for name in SMALL_FILES:
            if name in files:
                self._small_file(name)
        return [self._small_file("config.json").parent] if any(name in files for name in TOKENIZER_FILES) else []

    @contextmanager
    def model(self) -> Iterator[Path]:
        """The model as a folder in the hub's cache, at the pinned commit; taken back afterwards unless kept."""
        with hub.snapshot(
            self.repo,
            self.commit,
            remove_after=not self._keep,
            cache=self._cache,
            revision=self.revision,
            connection=self._connection,
        ) as folder:
            yield folder


Source = LocalSource | HubSource


def open_source(checkpoint: Checkpoint, cache: Path, keep: bool = True) -> Source:
    """The place of a checkpoint. Raises CheckpointError for one that has none."""
    if checkpoint.path is not None:
        return LocalSource(checkpoint.path)
    if checkpoint.commit is not None:
        return HubSource(checkpoint.source, checkpoint.commit, checkpoint.revision, cache, keep)
    raise CheckpointError(f"The weights of {checkpoint.name} are not on this machine.")
