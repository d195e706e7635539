"""The safetensors header: a pure function of bytes, held against files that the library itself writes."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from saturation.checkpoints.header import MAX_HEADER_BYTES, TensorEntry, decode, header_length, parse_header
from saturation.checkpoints.weights import WeightFiles
from saturation.errors import CheckpointError


def header(**tensors: Any) -> bytes:
    return json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} | changes


def test_offsets_count_from_the_end_of_the_header() -> None:
    raw = header(a=entry(), b=entry(dtype="BF16", shape=[4], data_offsets=[24, 32]))
    base = 8 + len(raw)
    assert parse_header(raw, "x", base + 32) == {
        "a": TensorEntry("a", "F32", (2, 3), base, base + 24),
        "b": TensorEntry("b", "BF16", (4,), base + 24, base + 32),
    }


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_a_file_of_the_library_is_read_bit_by_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {"w": torch.randn(5, 7).to(dtype), "scalar": torch.tensor(2.0).to(dtype)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    files = WeightFiles.find(tmp_path)
    for name, tensor in tensors.items():
        found, read = files.read(name)
        assert (found.dtype, found.shape, read) == (dtype, tensor.shape, tensor.numel() * dtype.itemsize)
        assert torch.equal(found.float(), tensor.float())


def test_a_tensor_without_numbers(tmp_path: Path) -> None:
    save_file({"w": torch.empty(0, 4)}, tmp_path / "model.safetensors")
    assert WeightFiles.find(tmp_path).read("w")[0].shape == (0, 4)


@pytest.mark.parametrize(
    ("prefix", "length"),
    [(b"", 0), (b"\x08\x00", 0), (bytes(8), 0), (b"\x01" + bytes(7), 1), ((2**40).to_bytes(8, "little"), 2**40)],
)
def test_a_length_that_cannot_be(prefix: bytes, length: int) -> None:
    with pytest.raises(CheckpointError, match=rf"^x is not a safetensors file \(its header length reads {length}\)"):
        header_length(prefix, "x")


def test_a_length_at_the_librarys_limit() -> None:
    assert header_length(MAX_HEADER_BYTES.to_bytes(8, "little") + b"more", "x") == MAX_HEADER_BYTES
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        header_length((MAX_HEADER_BYTES + 1).to_bytes(8, "little"), "x")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b"[]",
        b"3",
        b"[" * 100_000,
        header(a=3),
        header(a=[]),
        header(a={}),
        header(a={"dtype": "F32", "shape": [2]}),
        header(a=entry(dtype=["F32"])),
        header(a=entry(dtype=None)),
        header(a=entry(shape=None)),
        header(a=entry(shape=["2", "3"])),
        header(a=entry(shape=[-2, -3])),
        header(a=entry(shape=[2.0, 3.0])),
        header(a=entry(shape=[True, 6])),
        header(a=entry(data_offsets=[])),
        header(a=entry(data_offsets=[0])),
        header(a=entry(data_offsets=[0, 12, 24])),
        header(a=entry(data_offsets=["0", "24"])),
        header(a=entry(data_offsets=[0.0, 24.0])),
        header(a=entry(data_offsets=[-8, 16])),
        header(a=entry(data_offsets=[24, 0])),
    ],
)
def test_a_damaged_header(raw: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"^The header of x is damaged; download or save the checkpoint again\.$"):
        parse_header(raw, "x", 10**6)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    for read in (lambda: parse_header(raw, "x", 100), lambda: header_length(raw, "x")):
        with contextlib.suppress(CheckpointError):
            read()


def test_a_tensor_outside_the_file() -> None:
    raw = header(a=entry())
    size = 8 + len(raw) + 24
    assert list(parse_header(raw, "x", size)) == ["a"]
    with pytest.raises(CheckpointError, match=rf"^x is cut off: {size - 1} bytes of {size};"):
        parse_header(raw, "x", size - 1)


def test_a_header_without_a_known_file_size() -> None:
    assert parse_header(header(a=entry()), "x")["a"].numel == 6


@pytest.mark.parametrize("dtype", ["I64", "U8", "BOOL", "F4", "nonsense"])
def test_a_type_that_is_no_float(dtype: str) -> None:
    with pytest.raises(CheckpointError, match=f"The tensor a has the type {dtype}; only floating-point weights"):
        decode(TensorEntry("a", dtype, (2,), 0, 16), bytes(16))


@pytest.mark.parametrize(("shape", "size"), [((2, 3), 20), ((2, 3), 28), ((7,), 24)])
def test_bytes_that_do_not_fill_the_shape(shape: tuple[int, ...], size: int) -> None:
    with pytest.raises(CheckpointError, match=rf"The tensor a is cut off: {size} bytes do not fill"):
        decode(TensorEntry("a", "F32", shape, 0, 24), bytes(size))


@pytest.mark.parametrize("size", [0, 5, 8, 100])
def test_a_file_that_was_cut_off(tmp_path: Path, size: int) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(5, 7)}, file)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is (not a safetensors file|cut off)"):
        _ = WeightFiles.find(tmp_path).names
