"""The head of a checkpoint on the hub: the same bits as of a full download, at the cost of the head."""

import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_checkpoints import (
    EMBEDDING,
    HASTY,
    HEAD,
    LAYOUTS,
    VOCAB,
    WIDTH,
    hasty,
    is_one_sentence,
    save,
    serving,
    weights,
)
from safetensors.torch import save_file
from standin_hub import StandInHub

from saturation.checkpoints import hub
from saturation.checkpoints.head import head_tensor
from saturation.checkpoints.hub_errors import HubDamagedError, HubDiskError, HubUnavailableError
from saturation.checkpoints.hub_weights import HubWeights
from saturation.checkpoints.weights import WeightFiles
from saturation.errors import CheckpointError

REPO = "org/model"
OVERHEAD = 200_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    with serving(monkeypatch, tmp_path / "home") as running:
        yield running


def remote(server: StandInHub, folder: Path, tmp_path: Path, repo: str = REPO) -> HubWeights:
    commit = server.add(repo, {"step7": folder})["step7"]
    return HubWeights(repo, commit, tmp_path / "cache", revision="step7", connection=hasty())


def refused(read: HubWeights, kind: type[Exception], name: str = HEAD) -> str:
    """The one sentence with which reading a tensor is refused; it names the repository and the revision."""
    with pytest.raises(kind) as caught:
        read.read(name)
    message = str(caught.value)
    assert is_one_sentence(message), message
    assert f"{REPO}@step7" in message
    return message


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_head_equals_the_full_download_and_costs_the_head(
    server: StandInHub, tmp_path: Path, layout: str, dtype: torch.dtype, tied: bool
) -> None:
    folder = save(tmp_path / "model", weights(dtype=dtype, tied=tied), layout)
    local = WeightFiles.find(folder)
    read = remote(server, folder, tmp_path)
    name = head_tensor(read.names, tied, REPO)
    assert name == (EMBEDDING if tied else HEAD)

    found, count = read.read(name)
    expected, _ = local.read(name)

    assert found.dtype == dtype
    assert found.shape == (VOCAB, WIDTH)
    assert torch.equal(found, expected)
    assert count == VOCAB * WIDTH * dtype.itemsize
    assert count < read.bytes_read <= count + OVERHEAD
    assert read.bytes_read == server.bytes_sent()
    assert sorted(read.names) == sorted(local.names)
    assert read.parameters() == local.parameters()
    assert read.content_id() == local.content_id()
    assert read.size() == local.size()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_second_run_reads_nothing(server: StandInHub, tmp_path: Path, layout: str) -> None:
    folder = save(tmp_path / "model", weights(), layout)
    first, _ = remote(server, folder, tmp_path).read(HEAD)
    server.forget()
    again = remote(server, folder, tmp_path)
    second, count = again.read(HEAD)
    assert torch.equal(first, second)
    assert count == first.nbytes
    assert again.parameters() == WeightFiles.find(folder).parameters()
    assert again.bytes_read == 0
    assert server.requests == []


def test_branches_with_the_same_weights_cost_one_head_and_their_listings(server: StandInHub, tmp_path: Path) -> None:
    same = save(tmp_path / "model", weights(), "model.safetensors")
    commits = server.add(REPO, {f"step{n}": same for n in range(20)})
    ids, total = set(), 0
    for commit in commits.values():
        read = HubWeights(REPO, commit, tmp_path / "cache", connection=hasty())
        read.read(HEAD)
        ids.add(read.content_id())
        total += read.bytes_read
    assert len(ids) == 1
    assert len(server.received("*/resolve/*")) == 2  # header and head, once
    assert total <= VOCAB * WIDTH * 4 + OVERHEAD


def test_a_sweep_costs_its_heads(server: StandInHub, tmp_path: Path) -> None:
    folders = {f"step{n}": save(tmp_path / str(n), weights(seed=n), "model.safetensors") for n in range(4)}
    total = 0
    for commit in server.add(REPO, folders).values():
        read = HubWeights(REPO, commit, tmp_path / "cache", connection=hasty())
        read.read(HEAD)
        total += read.bytes_read
    assert total == server.bytes_sent() <= 4 * (VOCAB * WIDTH * 4 + OVERHEAD)


def test_only_the_shard_that_holds_the_head_is_read(server: StandInHub, tmp_path: Path) -> None:
    read = remote(server, save(tmp_path / "model", weights(), LAYOUTS[1]), tmp_path)
    read.read(HEAD)
    assert server.received("*-00001-of-00002.safetensors") == []
    assert len(server.received("*-00002-of-00002.safetensors", server="storage")) == 2


def test_a_header_longer_than_the_first_read_is_completed(server: StandInHub, tmp_path: Path) -> None:
    state = {f"gpt_neox.layers.{n}.{'long' * 30}.weight": torch.zeros(1) for n in range(700)}
    head = weights()[HEAD]
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({**state, HEAD: head}, folder / "model.safetensors")
    read = remote(server, folder, tmp_path)
    assert torch.equal(read.read(HEAD)[0], head)
    ranges = [request.range for request in server.received("*.safetensors", server="storage")]
    assert len(ranges) == 3
    assert ranges[0] == "bytes=0-65535"
    assert str(ranges[1]).startswith("bytes=65536-")
    assert read.parameters() == head.numel() + 700
    assert read.bytes_read == server.bytes_sent()


def test_views_of_a_bin_file_are_cut_out_of_their_storage(server: StandInHub, tmp_path: Path) -> None:
    whole = torch.randn(300, 200)
    state = {"rows": whole[100:150], "turned": whole.T, "block": whole[10:20, 30:50], "tied": whole, "one": whole[0, 0]}
    folder = tmp_path / "model"
    folder.mkdir()
    torch.save({"state_dict": state, "epoch": 3}, folder / "pytorch_model.bin")
    read = remote(server, folder, tmp_path)
    assert read.names == list(state)
    for name, expected in state.items():
        assert torch.equal(read.read(name)[0], expected)
    assert read.read("rows")[1] == 50 * 200 * 4


def test_parameters_and_tied_heads_are_read_as_saved(server: StandInHub, tmp_path: Path) -> None:
    shared = torch.nn.Parameter(torch.randn(50, 8))
    folder = tmp_path / "model"
    folder.mkdir()
    state = {"transformer.wte.weight": shared, "lm_head.weight": shared, "h.0.attn.bias": torch.ones(4, 4).bool()}
    torch.save(state, folder / "pytorch_model.bin")
    read = remote(server, folder, tmp_path)
    name = head_tensor(read.names, True, REPO)
    assert torch.equal(read.read(name)[0], shared.detach())
    assert read.parameters(without="lm_head.weight") == 400
    before = read.bytes_read
    message = refused(read, CheckpointError, "h.0.attn.bias")
    assert "BOOL" in message
    assert read.bytes_read == before


@pytest.mark.parametrize("layout", [LAYOUTS[1], LAYOUTS[3]])
def test_parameters_of_shards_come_from_the_index_or_are_unknown(
    server: StandInHub, tmp_path: Path, layout: str
) -> None:
    state = weights()
    total = sum(tensor.numel() for tensor in state.values())
    folder = save(tmp_path / "model", state, layout)
    read = remote(server, folder, tmp_path)
    assert read.parameters() == total
    assert read.parameters(without=HEAD) == total - VOCAB * WIDTH
    assert read.bytes_read < OVERHEAD

    index = json.loads((folder / layout).read_text())
    index["metadata"] = {"total_parameters": 12345, "total_size": 1}
    (folder / layout).write_text(json.dumps(index))
    assert remote(server, folder, tmp_path).parameters(without=HEAD) == 12345

    bare = save(tmp_path / "bare", state, layout, metadata=False)
    assert remote(server, bare, tmp_path).parameters() is None
    # Bytes of masks and of other types are in the total size, and the index does not tell how many.
    for name, other in (("gpt_neox.layers.0.attention.bias", torch.ones(8, 8)), ("extra", torch.ones(8).half())):
        mixed = save(tmp_path / name, {name: other, **state}, layout)
        assert remote(server, mixed, tmp_path).parameters() is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_content_is_known_from_the_listing_alone(server: StandInHub, tmp_path: Path, layout: str) -> None:
    folder = save(tmp_path / "model", weights(), layout)
    read = remote(server, folder, tmp_path)
    assert read.content_id() == WeightFiles.find(folder).content_id()
    assert read.size() == WeightFiles.find(folder).size()
    assert [request.path for request in server.requests] == [f"/api/models/{REPO}/tree/{read.commit}"]


class Exploit:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("place", ["value", "whole"])
def test_a_malicious_pickle_is_refused_and_never_run(server: StandInHub, tmp_path: Path, place: str) -> None:
    marker = tmp_path / "ran"
    folder = tmp_path / "model"
    folder.mkdir()
    bad = Exploit(marker)
    torch.save({HEAD: torch.zeros(2, 2), "x": bad} if place == "value" else bad, folder / "pytorch_model.bin")
    message = refused(remote(server, folder, tmp_path), HubDamagedError)
    assert "mkdir" in message
    assert "never run" in message
    assert not marker.exists()


def test_a_bin_file_from_before_the_zip_format_is_refused(server: StandInHub, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    torch.save(weights(), folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert "save it as safetensors" in refused(remote(server, folder, tmp_path), HubDamagedError)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", pickle.dumps({})], ids=["empty", "cut", "pickle"])
def test_a_bin_file_that_is_none_is_refused(server: StandInHub, tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(content)
    refused(remote(server, folder, tmp_path), HubDamagedError)


@pytest.mark.parametrize(
    "header",
    [
        (1 << 62).to_bytes(8, "little"),
        (90_000_000).to_bytes(8, "little"),
        (100).to_bytes(8, "little") + b"{not json",
        (2).to_bytes(8, "little") + b"[]",
    ],
    ids=["huge", "longer than the file", "no json", "no object"],
)
def test_a_damaged_header_is_refused_and_read_anew_the_next_time(
    server: StandInHub, tmp_path: Path, header: bytes
) -> None:
    folder = save(tmp_path / "model", weights(), "model.safetensors")
    read = remote(server, folder, tmp_path)
    server.misbehave("wrong_bytes", "*.safetensors", times=1, at=0, data=header)
    refused(read, HubDamagedError)
    assert read.bytes_read < OVERHEAD
    assert torch.equal(read.read(HEAD)[0], weights()[HEAD])


@pytest.mark.parametrize(
    "change",
    [{"shape": [VOCAB, -WIDTH]}, {"shape": ["2000", 64]}, {"data_offsets": [0, 10**12]}, {"data_offsets": [8, 4]}],
    ids=["negative", "text", "outside", "backwards"],
)
def test_a_header_that_does_not_add_up_is_refused_before_the_tensor_is_read(
    server: StandInHub, tmp_path: Path, change: dict[str, object]
) -> None:
    folder = save(tmp_path / "model", {HEAD: weights()[HEAD]}, "model.safetensors")
    data = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[HEAD] |= change
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    read = remote(server, folder, tmp_path)
    refused(read, HubDamagedError)
    assert read.bytes_read < OVERHEAD


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_read_that_breaks_off_goes_on_in_the_next_call(server: StandInHub, tmp_path: Path, layout: str) -> None:
    folder = save(tmp_path / "model", weights(), layout)
    server.misbehave("cut", server="storage", after=300_000, then="error")
    message = refused(remote(server, folder, tmp_path), HubUnavailableError)
    assert "what was read is kept" in message

    server.behave()
    server.forget()
    read = remote(server, folder, tmp_path)
    assert torch.equal(read.read(HEAD)[0], weights()[HEAD])
    local_header_of_a_bin_member = 30 if ".bin" in layout else 0
    rest = sum(request.sent for request in server.received(server="storage"))
    assert rest == VOCAB * WIDTH * 4 - 300_000 + local_header_of_a_bin_member

    server.forget()
    again = remote(server, folder, tmp_path)
    assert torch.equal(again.read(HEAD)[0], weights()[HEAD])
    assert server.requests == []


def test_an_interrupted_read_goes_on_too(server: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "model", weights(), "model.safetensors")
    commit = server.add(REPO, {"step7": folder})["step7"]

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    impatient = hub.Connection(replace(HASTY, sleep=interrupt))
    server.misbehave("cut", server="storage", after=300_000)
    with pytest.raises(KeyboardInterrupt):
        HubWeights(REPO, commit, tmp_path / "cache", connection=impatient).read(HEAD)
    server.forget()
    read = remote(server, folder, tmp_path)
    assert torch.equal(read.read(HEAD)[0], weights()[HEAD])
    assert [request.sent for request in server.received(server="storage")] == [VOCAB * WIDTH * 4 - 300_000]


def test_a_disk_that_is_full_is_said(server: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = remote(server, save(tmp_path / "model", weights(), "model.safetensors"), tmp_path)
    assert len(read.names) == 5

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("saturation.checkpoints.hub_disk.os.replace", full)
    with pytest.raises(HubDiskError) as caught:
        read.read(HEAD)
    assert is_one_sentence(str(caught.value))
    assert "free some space" in str(caught.value)
    monkeypatch.undo()
    assert list((tmp_path / "cache").rglob("*.tmp")) == []
