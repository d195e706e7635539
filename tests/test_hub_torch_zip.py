"""The directory of a PyTorch file: what torch itself would load, and a refusal for everything else."""

import io
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hub_checkpoints import is_one_sentence

from saturation.checkpoints.torch_zip import BLOCK, LOCAL_HEADER, RangedFile, ZipTensor, contents, extent
from saturation.errors import CheckpointError


def saved(state: object) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def read(data: bytes) -> dict[str, ZipTensor]:
    return contents(RangedFile(lambda start, stop: data[start:stop], len(data)), "the file")


def refused(data: bytes) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(data)
    assert is_one_sentence(str(caught.value))
    return str(caught.value)


def repacked(data: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The same archive with members changed, its checksums made right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", compression) as new:
        for member in old.infolist():
            new.writestr(member.filename, change(member.filename, old.read(member)))
    return stream.getvalue()


def with_pickle(content: bytes) -> bytes:
    return repacked(saved({"w": torch.zeros(3)}), lambda name, old: content if name.endswith("data.pkl") else old)


DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_tensor_is_found_where_torch_put_it(dtype: torch.dtype) -> None:
    whole = torch.arange(24).reshape(4, 6).to(dtype)
    state = OrderedDict(whole=whole, part=whole[1:3, 2:5], parameter=torch.zeros(2).to(dtype), none=whole[:0])
    state["last"] = whole[3, 5]
    data = saved(state)
    found = read(data)
    assert list(found) == list(state)
    for name, expected in state.items():
        tensor = found[name]
        assert (tensor.shape, tensor.stride) == (tuple(expected.shape), tuple(expected.stride()))
        assert tensor.numel == expected.numel()
        start, stop = extent(tensor, data[tensor.member : tensor.member + LOCAL_HEADER.size], "x")
        raw = bytearray(data[start:stop]) or bytearray(dtype.itemsize)
        assert torch.equal(torch.frombuffer(raw, dtype=dtype).as_strided(tensor.shape, tensor.stride), expected)


def test_a_large_file_is_read_in_its_directory_and_its_pickle_alone() -> None:
    data = saved({f"layer.{number}.weight": torch.zeros(100, 100) for number in range(150)})
    asked: list[tuple[int, int]] = []

    def piece(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return data[start:stop]

    assert len(contents(RangedFile(piece, len(data)), "x")) == 150
    assert len(asked) == 2
    assert sum(stop - start for start, stop in asked) == 2 * BLOCK < len(data) / 50


def test_what_is_no_tensor_is_passed_over() -> None:
    assert list(read(saved({"state_dict": {"w": torch.zeros(2)}, "epoch": 3, "names": ["a", (1.5, None, True)]}))) == [
        "w"
    ]


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Call(os.mkdir, "marker"), "mkdir"),
        (Call(eval, "1"), "eval"),
        (Call(getattr, "a", "upper"), "getattr"),
        (Call(torch.load, "marker"), "load"),
        (torch.nn.Linear(2, 2), "NEWOBJ"),
        ({1, 2}, "set"),
    ],
)
def test_code_is_named_and_refused(value: object, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = refused(saved({"w": torch.zeros(2), "x": value}))
    assert "never run" in message
    assert named in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr" + struct.pack("<I", 0x7FFFFFFF) + b".",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
        b"\x80\x02\x82\x01.",
        b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02(X\x01\x00\x00\x00ai__builtin__\nexec\n.",
        b"\x80\x02X\x01\x00\x00\x00aQ.",
        b"",
    ],
    ids=["memo of 2 GB", "1 TB of bytes", "extension", "global", "stack global", "instance", "storage", "empty"],
)
def test_hostile_pickles_are_refused_without_their_cost(content: bytes) -> None:
    assert "MemoryError" not in refused(with_pickle(content))


@pytest.mark.parametrize(
    "change",
    [("storage", "outside"), ("shape", (-1, 3)), ("shape", (10**6, 10**6)), ("first", 10**9), ("stride", (0, 0))],
    ids=str,
)
def test_a_view_outside_its_storage_is_refused(change: tuple[str, object]) -> None:
    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: object) -> object:
            key = "nowhere" if change[0] == "storage" else "0"
            return ("storage", torch.FloatStorage, key, "cpu", 3) if isinstance(item, Storage) else None

    view = {"first": 0, "shape": (1, 3), "stride": (3, 1)} | ({change[0]: change[1]} if change[0] != "storage" else {})
    if change == ("stride", (0, 0)):
        view["shape"] = (1000, 1000)
    stream = io.BytesIO()
    tensor = Call(torch._utils._rebuild_tensor_v2, Storage(), view["first"], view["shape"], view["stride"], False, None)
    Pickler(stream, 2).dump({"w": tensor})
    refused(with_pickle(stream.getvalue()))


def test_compressed_and_big_endian_files_are_refused() -> None:
    data = saved({"w": torch.zeros(300)})
    refused(repacked(data, lambda name, old: old, zipfile.ZIP_DEFLATED))
    refused(repacked(data, lambda name, old: b"big" if name.endswith("byteorder") else old))
    assert list(read(repacked(data, lambda name, old: old))) == ["w"]


def test_a_damaged_file_is_refused_or_read_but_never_breaks() -> None:
    data = saved({"a": torch.zeros(5, 4), "b": torch.nn.Parameter(torch.zeros(3))})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        original = archive.read("archive/data.pkl")
    source, outcomes = random.Random(0), {"read": 0, "refused": 0}
    for trial in range(600):
        target = bytearray(original if trial % 2 else data)
        for _ in range(source.choice([1, 2, 4])):
            target[source.randrange(len(target))] = source.randrange(256)
        if trial % 10 == 0:
            del target[source.randrange(len(target)) :]
        try:
            read(with_pickle(bytes(target)) if trial % 2 else bytes(target))
            outcomes["read"] += 1
        except CheckpointError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100
    assert outcomes["read"] > 100
