"""Weight files of every layout: which tensors they hold, one of them, how many weights, and their content id."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import reference
import tiny
import torch
from safetensors.torch import load_file, save_file

from saturation.checkpoints.head import EMBEDDINGS, HEADS, head_tensor, is_buffer
from saturation.checkpoints.load import read_head
from saturation.checkpoints.source import LocalSource
from saturation.checkpoints.weights import WeightFiles
from saturation.errors import CheckpointError, NoHeadError

TinyModel = Callable[[str], Path]


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def head_of(folder: Path, given: str | None = None) -> torch.Tensor:
    return read_head(LocalSource(folder), given)[0]


def as_bin(folder: Path, to: Path, **more: object) -> Path:
    """The same model with its weights in a pytorch_model.bin."""
    copy(folder, to)
    held = load_file(to / "model.safetensors")
    (to / "model.safetensors").unlink()
    torch.save({**held, **more}, to / "pytorch_model.bin")
    return to


class TestSafetensors:
    @pytest.mark.parametrize("shape", list(tiny.CONFIGS))
    def test_the_head_of_each_shape(self, tiny_model: TinyModel, shape: str) -> None:
        model = reference.Model(tiny_model(shape))
        assert torch.equal(head_of(tiny_model(shape)).double(), torch.from_numpy(model.head))

    @pytest.mark.parametrize("shape", ["gpt_neox", "gemma"])
    def test_shards_read_as_one_file(self, tiny_model: TinyModel, tmp_path: Path, shape: str) -> None:
        sharded = tiny.save_model(tmp_path / "sharded", shape, max_shard_size="6KB")
        whole = WeightFiles.find(tiny_model(shape))
        found = WeightFiles.find(sharded)
        assert len(found.files) == len(list(sharded.glob("*.safetensors"))) > 2
        assert sorted(found.names) == sorted(whole.names)
        assert found.parameters() == whole.parameters()
        assert found.size() == sum(file.stat().st_size for file in sharded.glob("*.safetensors"))
        assert torch.equal(head_of(sharded), head_of(tiny_model(shape)))

    def test_reading_the_head_costs_its_own_bytes(self, tiny_model: TinyModel) -> None:
        source = LocalSource(tiny_model("llama"))
        weight, shape = read_head(source)
        assert (source.bytes_read, weight.dtype) == (67 * 12 * 4, torch.float32)
        assert (shape.vocab_size, shape.hidden_size, shape.layers, shape.context_length) == (67, 12, 3, tiny.LENGTH)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision(self, tiny_model: TinyModel, tmp_path: Path, dtype: torch.dtype) -> None:
        folder = copy(tiny_model("gpt_neox"), tmp_path / "half")
        held = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
        save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
        assert head_of(folder).dtype == dtype
        assert torch.equal(head_of(folder).double(), torch.from_numpy(reference.Model(folder).head))

    def test_a_missing_shard_is_named(self, tmp_path: Path) -> None:
        sharded = tiny.save_model(tmp_path / "sharded", "gpt_neox", max_shard_size="6KB")
        gone = sorted(sharded.glob("*.safetensors"))[1]
        gone.unlink()
        with pytest.raises(CheckpointError, match=rf"lacks the shard\(s\) {gone.name}; download them again\."):
            WeightFiles.find(sharded)

    @pytest.mark.parametrize(
        ("index", "message"),
        [
            ("{", "is damaged"),
            ("[]", "is damaged"),
            ('{"weight_map": 3}', "is damaged"),
            ('{"weight_map": {"a": 3}}', "is damaged"),
            ("{}", "is damaged"),
        ],
    )
    def test_a_damaged_index(self, tmp_path: Path, index: str, message: str) -> None:
        (tmp_path / "model.safetensors.index.json").write_text(index)
        with pytest.raises(CheckpointError, match=message):
            WeightFiles.find(tmp_path)

    def test_an_index_that_points_outside_its_folder(self, tmp_path: Path) -> None:
        inside = tmp_path / "inside"
        inside.mkdir()
        save_file({"a": torch.ones(2)}, tmp_path / "secret.safetensors")
        (inside / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
        with pytest.raises(CheckpointError, match=r"lacks the shard\(s\) secret\.safetensors"):
            WeightFiles.find(inside)

    def test_the_content_id_follows_the_bytes_alone(self, tiny_model: TinyModel, tmp_path: Path) -> None:
        folder = copy(tiny_model("opt"), tmp_path / "elsewhere")
        before = WeightFiles.find(tiny_model("opt")).content_id()
        assert before.startswith("sha256:")
        os.utime(folder / "model.safetensors", (1, 1))
        assert WeightFiles.find(folder).content_id() == before
        held = load_file(folder / "model.safetensors")
        held["model.decoder.layers.0.fc1.bias"][3] += 1e-3
        save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
        assert WeightFiles.find(folder).content_id() != before


class TestTorchFiles:
    def test_read_like_safetensors(self, tiny_model: TinyModel, tmp_path: Path) -> None:
        folder = as_bin(tiny_model("gpt_neox"), tmp_path / "bin")
        assert torch.equal(head_of(folder), head_of(tiny_model("gpt_neox")))
        assert WeightFiles.find(folder).parameters() == WeightFiles.find(tiny_model("gpt_neox")).parameters()

    def test_old_files_that_are_no_zip(self, tmp_path: Path) -> None:
        torch.save({"w": torch.eye(3)}, tmp_path / "a.bin", _use_new_zipfile_serialization=False)
        assert torch.equal(WeightFiles.find(tmp_path / "a.bin").read("w")[0], torch.eye(3))

    def test_a_state_dict_inside_a_training_checkpoint(self, tmp_path: Path) -> None:
        torch.save({"state_dict": {"w": torch.eye(3)}, "step": 7}, tmp_path / "a.pt")
        assert WeightFiles.find(tmp_path / "a.pt").names == ["w"]

    def test_stored_masks_are_no_parameters(self, tiny_model: TinyModel, tmp_path: Path) -> None:
        masks = {f"gpt_neox.layers.{layer}.attention.bias": torch.ones(1, 1, 16, 16) for layer in range(3)}
        masks["gpt_neox.layers.0.attention.rotary_emb.inv_freq"] = torch.ones(2)
        folder = as_bin(tiny_model("gpt_neox"), tmp_path / "bin", **masks)
        plain = WeightFiles.find(tiny_model("gpt_neox")).parameters()
        assert WeightFiles.find(folder).parameters() == plain

    @pytest.mark.parametrize("zipped", [True, False])
    def test_pickled_code_never_runs(self, tmp_path: Path, zipped: bool) -> None:
        trace = tmp_path / "it_ran"

        class Malicious:
            def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
                return os.system, (f"touch {trace}",)

        torch.save({"w": torch.eye(3), "x": Malicious()}, tmp_path / "a.bin", _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match=r"a\.bin cannot be read as plain weights .*; save it as safetensors"):
            _ = WeightFiles.find(tmp_path / "a.bin").names
        (tmp_path / "b.bin").write_bytes(pickle.dumps(Malicious()))
        with pytest.raises(CheckpointError, match=r"b\.bin cannot be read as plain weights"):
            _ = WeightFiles.find(tmp_path / "b.bin").names
        assert not trace.exists()

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off", bytes(1000)])
    def test_damaged(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.bin").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"a\.bin cannot be read as plain weights"):
            _ = WeightFiles.find(tmp_path / "a.bin").names

    @pytest.mark.parametrize("held", [{}, {"step": 3}, [1, 2], torch.ones(3), {3: torch.ones(2)}])
    def test_no_tensors(self, tmp_path: Path, held: object) -> None:
        torch.save(held, tmp_path / "a.bin")
        with pytest.raises(CheckpointError, match="holds no tensors"):
            _ = WeightFiles.find(tmp_path / "a.bin").names


class TestWhichTensorIsTheHead:
    @pytest.mark.parametrize("head", HEADS)
    @pytest.mark.parametrize("tied", [False, True])
    def test_a_head_of_its_own_comes_first(self, head: str, tied: bool) -> None:
        # transformers 5 unties a model whose file holds a head that differs from the embedding.
        assert head_tensor(["a", "model.embed_tokens.weight", head], tied, "x") == head

    @pytest.mark.parametrize("embedding", EMBEDDINGS)
    def test_a_tied_model_reads_the_embedding(self, embedding: str) -> None:
        assert head_tensor(["a", embedding], True, "x") == embedding
        with pytest.raises(NoHeadError, match=r"^x holds no output head .*--head-tensor\.$"):
            head_tensor(["a", embedding], False, "x")

    def test_a_name_that_was_given_wins(self) -> None:
        assert head_tensor(["a", "lm_head.weight"], False, "x", "a") == "a"

    def test_a_name_that_is_not_there(self) -> None:
        with pytest.raises(NoHeadError, match=r"^x holds no tensor 'b'; choose one of: a, lm_head\.weight\.$"):
            head_tensor(["lm_head.weight", "a"], False, "x", "b")

    def test_many_names_are_cut_short(self) -> None:
        with pytest.raises(NoHeadError, match=r"choose one of: t0, t1, t2, t3, t4, t5, t6, t7, \.\.\.\.$"):
            head_tensor([f"t{number}" for number in range(9)], False, "x", "b")

    @pytest.mark.parametrize(
        ("name", "buffer"),
        [
            ("gpt_neox.layers.0.attention.bias", True),
            ("h.0.attn.bias", True),
            ("h.0.attn.masked_bias", True),
            ("model.layers.0.self_attn.rotary_emb.inv_freq", True),
            ("gpt_neox.layers.0.attention.dense.bias", False),
            ("model.layers.0.self_attn.q_proj.bias", False),
        ],
    )
    def test_buffers(self, name: str, buffer: bool) -> None:
        assert is_buffer(name) is buffer


@pytest.mark.parametrize(("name", "content"), [("notes.txt", "hello"), ("model", "")])
def test_a_file_that_is_none_of_weights(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match="is no weight file; give a folder, or a"):
        WeightFiles.find(tmp_path / name)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no weights"):
        WeightFiles.find(tmp_path)
