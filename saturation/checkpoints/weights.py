"""The weight files of one local checkpoint: what they hold, one tensor of them, and their content id.

Reads safetensors (single or sharded) by byte range, so that the head of a large model costs its own bytes;
PyTorch `.bin` files through `torch.load(mmap=True, weights_only=True)`: no pickled code ever runs.
"""

import hashlib
import json
import pickle
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from saturation.checkpoints.head import is_buffer
from saturation.checkpoints.header import TensorEntry, decode, header_length, parse_header
from saturation.checkpoints.layout import weights_in
from saturation.errors import CheckpointError

# What torch.load raises for a file that is damaged, is none of its own, or asks for code to run.
UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    LookupError,
    EOFError,
    OSError,
    AttributeError,
    TypeError,
)


@dataclass(frozen=True)
class WeightFiles:
    """The files that hold a checkpoint's weights, in order."""

    files: tuple[Path, ...]

    @classmethod
    def find(cls, path: Path) -> "WeightFiles":
        """The weight files of a model folder, or a weight file itself. Raises CheckpointError."""
        if path.is_file():
            if path.suffix not in (".safetensors", ".bin", ".pt"):
                raise CheckpointError(f"{path} is no weight file; give a folder, or a .safetensors or .bin file.")
            return cls((path,))
        layout = weights_in(path)
        if layout is not None:
            return cls(_shards(layout) if layout.suffix == ".json" else (layout,))
        raise CheckpointError(f"{path} holds no weights (model.safetensors, pytorch_model.bin or a sharded index).")

    @cached_property
    def _located(self) -> dict[str, tuple[Path, TensorEntry | torch.Tensor]]:
        located: dict[str, tuple[Path, TensorEntry | torch.Tensor]] = {}
        for file in self.files:
            held = _safetensors(file) if file.suffix == ".safetensors" else _torch_file(file)
            located |= {name: (file, entry) for name, entry in held.items()}
        return located

    @property
    def names(self) -> list[str]:
        return list(self._located)

    def parameters(self, without: str | None = None) -> int:
        """How many weights there are, each counted once; `without` leaves out a second copy of a tied tensor."""
        kept = (entry for name, (_, entry) in self._located.items() if name != without and not is_buffer(name))
        return sum(entry.numel if isinstance(entry, TensorEntry) else entry.numel() for entry in kept)

    def read(self, name: str) -> tuple[torch.Tensor, int]:
        """One tensor in the dtype of the file, and how many bytes of it were read. Raises CheckpointError."""
        file, entry = self._located[name]
        if isinstance(entry, torch.Tensor):
            return entry.clone(), entry.numel() * entry.element_size()
        with file.open("rb") as stream:
            stream.seek(entry.start)
            data = bytearray(entry.stop - entry.start)
            stream.readinto(data)
        return decode(entry, data), len(data)

    def content_id(self) -> str:
        """`sha256:` and the hash of all weight bytes, file by file: two checkpoints with one id are the same."""
        digest = hashlib.sha256()
        for file in self.files:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return f"sha256:{digest.hexdigest()}"

    def size(self) -> int:
        """Bytes of all weight files."""
        return sum(file.stat().st_size for file in self.files)


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        files = tuple(index.parent / name for name in names)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} is damaged; download or save the checkpoint again.") from error
    outside = [file.name for file in files if file.resolve().parent != index.parent.resolve()]
    missing = [file.name for file in files if not file.is_file()]
    if outside or missing:
        raise CheckpointError(f"{index.parent} lacks the shard(s) {', '.join(outside + missing)}; download them again.")
    return files


def _safetensors(file: Path) -> dict[str, TensorEntry]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = header_length(stream.read(8), str(file))
        header = stream.read(length)
    if len(header) < length:
        raise CheckpointError(f"{file} is cut off inside its header; download or save the checkpoint again.")
    return parse_header(header, str(file), size)


def _torch_file(file: Path) -> dict[str, torch.Tensor]:
    try:
        held = torch.load(file, map_location="cpu", mmap=zipfile.is_zipfile(file), weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(
            f"{file} cannot be read as plain weights ({type(error).__name__}); save it as safetensors."
        ) from error
    if isinstance(held, dict) and isinstance(held.get("state_dict"), dict):
        held = held["state_dict"]
    pairs = held.items() if isinstance(held, dict) else ()
    tensors = {name: item for name, item in pairs if isinstance(name, str) and isinstance(item, torch.Tensor)}
    if not tensors:
        raise CheckpointError(f"{file} holds no tensors; give the file of a model's weights.")
    return tensors
