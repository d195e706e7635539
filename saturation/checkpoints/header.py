"""What a safetensors file holds, read from its header alone. Pure functions of bytes.

Format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes; offsets count from the end of
the header (https://huggingface.co/docs/safetensors).
"""

import json
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from saturation.errors import CheckpointError

# A header of 100 MB is the limit that the safetensors library itself sets.
MAX_HEADER_BYTES = 100_000_000
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


@dataclass(frozen=True)
class TensorEntry:
    """One tensor in a file: its name, dtype as written, shape, and bytes [start, stop) of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def numel(self) -> int:
        return prod(self.shape)


def header_length(prefix: bytes, file: str) -> int:
    """Length of the JSON header in bytes, from the first 8 bytes of the file. Raises CheckpointError."""
    length = int.from_bytes(prefix[:8], "little") if len(prefix) >= 8 else 0
    if not 2 <= length <= MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{file} is not a safetensors file (its header length reads {length}); download it again."
        )
    return length


def parse_header(header: bytes, file: str, file_size: int | None = None) -> dict[str, TensorEntry]:
    """The tensors of a file by name, with offsets from the start of the file.

    header: the JSON header, without the 8 bytes before it. Raises CheckpointError when it cannot be read or when
    a tensor would lie outside the file (a download that was cut off).
    """
    base = 8 + len(header)
    try:
        raw = json.loads(header)
        entries = {name: _entry(name, item, base) for name, item in raw.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"The header of {file} is damaged; download or save the checkpoint again.") from error
    end = max((entry.stop for entry in entries.values()), default=base)
    if file_size is not None and end > file_size:
        raise CheckpointError(f"{file} is cut off: {file_size} bytes of {end}; download or save the checkpoint again.")
    return entries


def _entry(name: str, item: dict[str, Any], base: int) -> TensorEntry:
    dtype, shape, (start, stop) = item["dtype"], item["shape"], item["data_offsets"]
    if not isinstance(dtype, str) or not all(type(number) is int and number >= 0 for number in (*shape, start, stop)):
        raise ValueError(f"{name} is described by something else than a type and whole numbers")
    if start > stop:
        raise ValueError(f"{name} ends before it starts")
    return TensorEntry(name, dtype, tuple(shape), base + start, base + stop)


def decode(entry: TensorEntry, data: bytes | bytearray) -> torch.Tensor:
    """The tensor whose bytes these are, in the dtype of the file. Raises CheckpointError."""
    dtype = DTYPES.get(entry.dtype)
    if dtype is None:
        raise CheckpointError(
            f"The tensor {entry.name} has the type {entry.dtype}; only floating-point weights can be measured."
        )
    if len(data) != entry.stop - entry.start or len(data) != entry.numel * dtype.itemsize:
        raise CheckpointError(f"The tensor {entry.name} is cut off: {len(data)} bytes do not fill {entry.shape}.")
    if not data:  # torch reads nothing from an empty buffer
        return torch.empty(entry.shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(entry.shape)
