"""What a measured number depends on, what is stored of it, and what is answered from the store."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch
from command_line import rows, saturation
from safetensors.torch import load_file, save_file

from saturation.jobs.request import MEASURES

TinyModel = Callable[[str], Path]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(tiny.text(60), encoding="utf-8")
    return tmp_path / "text.txt"


def measure(model: Path, text: Path, *options: object) -> dict[str, Any]:
    return saturation("measure", model, "--text", text, "--json", *options).json


def copy(model: Path, to: Path) -> Path:
    return Path(shutil.copytree(model, to))


def rewrite(model: Path, **tensors: torch.Tensor) -> Path:
    held = load_file(model / "model.safetensors") | tensors
    save_file(held, model / "model.safetensors", metadata={"format": "pt"})
    return model


class TestTheHeadThatIsUsed:
    """The spectrum is that of the matrix that makes the logits, whatever the configuration says of ties."""

    @pytest.mark.parametrize("shape", ["gpt2", "opt", "gemma"])
    def test_a_tied_model_with_another_head_in_its_file(
        self, tiny_model: TinyModel, tmp_path: Path, text: Path, cache: Path, shape: str
    ) -> None:
        plain = measure(tiny_model(shape), text)
        head = torch.randn(67, 12, generator=torch.Generator().manual_seed(1))
        found = measure(rewrite(copy(tiny_model(shape), tmp_path / "m"), **{"lm_head.weight": head}), text)
        expected = reference.spectrum(head.double().numpy())
        np.testing.assert_allclose(found["spectrum"]["singular_values"], expected, atol=1e-8 * expected[0], rtol=0)
        assert abs(found["loss"]["nats_per_token"] - plain["loss"]["nats_per_token"]) > 0.1
        assert found["anisotropy"] == plain["anisotropy"]

    @pytest.mark.parametrize("shape", ["gpt2", "opt", "gemma"])
    def test_a_tied_model_whose_file_holds_the_embedding_twice(
        self, tiny_model: TinyModel, tmp_path: Path, text: Path, cache: Path, shape: str
    ) -> None:
        head = torch.from_numpy(reference.Model(tiny_model(shape)).head).float()
        found = measure(rewrite(copy(tiny_model(shape), tmp_path / "m"), **{"lm_head.weight": head}), text)
        plain = measure(tiny_model(shape), text)
        assert {key: found[key] for key in MEASURES} == {key: plain[key] for key in MEASURES}
        assert found["checkpoint"]["parameters"] == plain["checkpoint"]["parameters"]

    def test_an_untied_gpt2(self, tiny_model: TinyModel, tmp_path: Path, text: Path, cache: Path) -> None:
        model = copy(tiny_model("gpt2"), tmp_path / "m")
        head = torch.randn(67, 12, generator=torch.Generator().manual_seed(1))
        rewrite(model, **{"lm_head.weight": head})
        config = json.loads((model / "config.json").read_text()) | {"tie_word_embeddings": False}
        (model / "config.json").write_text(json.dumps(config))
        found = measure(model, text)
        expected = reference.spectrum(head.double().numpy())
        np.testing.assert_allclose(found["spectrum"]["singular_values"], expected, atol=1e-8 * expected[0], rtol=0)
        assert found["checkpoint"]["parameters"] == sum(w.size for w in reference.Model(model).w.values())

    def test_a_tied_base_model_without_a_head(self, tiny_model: TinyModel, tmp_path: Path, text: Path) -> None:
        """As GPT-2's own repository holds it: no lm_head, and names without their prefix."""
        model = copy(tiny_model("gpt2"), tmp_path / "m")
        held = {name.removeprefix("transformer."): t for name, t in load_file(model / "model.safetensors").items()}
        save_file(held, model / "model.safetensors", metadata={"format": "pt"})
        found, plain = measure(model, text), measure(tiny_model("gpt2"), text)
        assert found["spectrum"] == plain["spectrum"]
        assert found["loss"] == plain["loss"]


class TestLayouts:
    """The same weights give the same numbers, however their files are written."""

    @pytest.mark.parametrize("layout", ["shards", "bin", "float64"])
    def test_of_the_files(self, tiny_model: TinyModel, tmp_path: Path, text: Path, cache: Path, layout: str) -> None:
        plain = measure(tiny_model("gpt_neox"), text)
        if layout == "shards":
            model = tiny.save_model(tmp_path / "m", "gpt_neox", max_shard_size="6KB")
        else:
            model = copy(tiny_model("gpt_neox"), tmp_path / "m")
            held = load_file(model / "model.safetensors")
            if layout == "bin":
                (model / "model.safetensors").unlink()
                torch.save(held, model / "pytorch_model.bin")
            else:
                rewrite(model, **{name: tensor.double() for name, tensor in held.items()})
        found = measure(model, text)
        assert (found["loss"], found["anisotropy"]) == (plain["loss"], plain["anisotropy"])
        assert found["spectrum"] == plain["spectrum"]
        assert found["checkpoint"]["parameters"] == plain["checkpoint"]["parameters"]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_weights_are_run_in_float32(
        self, tiny_model: TinyModel, tmp_path: Path, text: Path, cache: Path, dtype: torch.dtype
    ) -> None:
        model = copy(tiny_model("llama"), tmp_path / "m")
        held = load_file(model / "model.safetensors")
        found = measure(rewrite(model, **{name: tensor.to(dtype) for name, tensor in held.items()}), text)
        halved = reference.Model(model)
        expected = reference.measure(halved, tiny.ids(text.read_text()), 0, tiny.LENGTH, text.read_text())
        assert found["loss"]["nats_per_token"] == pytest.approx(expected.nats_per_token, abs=1e-5)
        np.testing.assert_allclose(found["anisotropy"]["layers"], expected.layers, atol=1e-6, rtol=0)
        values = reference.spectrum(halved.head)
        np.testing.assert_allclose(found["spectrum"]["singular_values"], values, atol=1e-8 * values[0], rtol=0)


class TestWhatANumberDependsOn:
    """A different question is never answered with a stored number."""

    def test_the_tensor_that_is_taken_for_the_head(self, tiny_model: TinyModel, cache: Path) -> None:
        file, model = tiny_model("llama") / "model.safetensors", reference.Model(tiny_model("llama"))
        options = ("--measures", "spectrum", "--json")
        for name in ("lm_head.weight", "model.embed_tokens.weight", "lm_head.weight"):
            found = saturation("measure", file, "--head-tensor", name, *options).json
            expected = reference.spectrum(model.w[name])
            np.testing.assert_allclose(found["spectrum"]["singular_values"], expected, atol=1e-8 * expected[0], rtol=0)
        assert found["computed"] == []

    def test_the_tokenizer(self, tiny_model: TinyModel, tmp_path: Path, text: Path, cache: Path) -> None:
        """Another vocabulary of the same size gives as many tokens, and other ones."""
        other = copy(tiny_model("llama"), tmp_path / "other") / "tokenizer.json"
        held = json.loads(other.read_text())
        words = {word: 65 - number if number else 0 for word, number in held["model"]["vocab"].items()}
        held["model"]["vocab"] = words
        other.write_text(json.dumps(held))
        model = reference.Model(tiny_model("llama"))
        plain = measure(tiny_model("llama"), text)
        found = measure(tiny_model("llama"), text, "--tokenizer", other)
        ids = [words[word] for word in text.read_text().split()]
        expected = reference.measure(model, ids, 0, tiny.LENGTH, text.read_text())
        assert found["computed"] == ["anisotropy", "loss", "alignment"]
        assert found["loss"]["nats_per_token"] == pytest.approx(expected.nats_per_token, abs=1e-5)
        assert found["loss"]["tokens"] == plain["loss"]["tokens"]
        assert measure(tiny_model("llama"), text)["loss"] == plain["loss"]

    def test_the_configuration(self, tiny_model: TinyModel, tmp_path: Path, text: Path, cache: Path) -> None:
        model = copy(tiny_model("llama"), tmp_path / "m")
        before = measure(model, text)
        config = json.loads((model / "config.json").read_text())
        config["rope_parameters"]["rope_theta"] = 100.0
        (model / "config.json").write_text(json.dumps(config))
        found = measure(model, text)
        ids = tiny.ids(text.read_text())
        expected = reference.measure(reference.Model(model), ids, 0, tiny.LENGTH, text.read_text())
        assert found["computed"] == ["anisotropy", "loss"]
        assert found["loss"]["nats_per_token"] == pytest.approx(expected.nats_per_token, abs=1e-5)
        assert abs(found["loss"]["nats_per_token"] - before["loss"]["nats_per_token"]) > 1e-4

    @pytest.mark.parametrize(
        ("options", "again"),
        [
            (["--max-tokens", "40"], ["anisotropy", "loss", "alignment"]),
            (["--context-length", "5"], ["anisotropy", "loss"]),
            (["--dtype", "float64"], ["anisotropy", "loss"]),
            (["--dtype", "bfloat16"], ["anisotropy", "loss"]),
            (["--context-length", "500"], []),
            (["--max-tokens", "60"], []),
            (["--device", "cpu"], []),
            (["--measures", "loss"], []),
            (["--force"], ["spectrum", "anisotropy", "loss", "alignment"]),
        ],
    )
    def test_options(
        self, tiny_model: TinyModel, text: Path, cache: Path, options: list[str], again: list[str]
    ) -> None:
        assert measure(tiny_model("opt"), text)["computed"] == ["spectrum", "anisotropy", "loss", "alignment"]
        assert measure(tiny_model("opt"), text, *options)["computed"] == again
        assert measure(tiny_model("opt"), text, *options, *(["--force"] if "--force" in options else []))[
            "computed"
        ] == (again if "--force" in options else [])

    def test_the_weights(self, tiny_model: TinyModel, tmp_path: Path, text: Path, cache: Path) -> None:
        model = copy(tiny_model("opt"), tmp_path / "m")
        before = measure(model, text)
        changed = load_file(model / "model.safetensors")["model.decoder.layers.0.fc1.bias"] + 1
        found = measure(rewrite(model, **{"model.decoder.layers.0.fc1.bias": changed}), text)
        assert found["computed"] == ["spectrum", "anisotropy", "loss", "alignment"]
        assert found["loss"]["nats_per_token"] != before["loss"]["nats_per_token"]
        assert rows(cache)["checkpoints"] == 2

    def test_the_name_of_the_text_is_no_part_of_it(self, tiny_model: TinyModel, text: Path, cache: Path) -> None:
        first = measure(tiny_model("opt"), text)
        again = text.rename(text.with_name("other.txt"))
        found = measure(tiny_model("opt"), again)
        assert (found["computed"], found["loss"], found["text"]) == ([], first["loss"], "other.txt")

    @pytest.mark.parametrize(("tokens", "length"), [(40, 16), (60, 5), (17, 16), (2, 16)])
    def test_a_shorter_text_and_shorter_windows(
        self, tiny_model: TinyModel, text: Path, cache: Path, tokens: int, length: int
    ) -> None:
        found = measure(tiny_model("gpt2"), text, "--max-tokens", tokens, "--context-length", length)
        words = " ".join(text.read_text().split()[:tokens])
        model = reference.Model(tiny_model("gpt2"))
        expected = reference.measure(model, tiny.ids(words), 0, length, words)
        assert found["loss"]["tokens"] == tokens
        assert found["loss"]["nats_per_token"] == pytest.approx(expected.nats_per_token, abs=1e-5)
        assert found["loss"]["word_perplexity"] == pytest.approx(expected.word_perplexity, rel=1e-5)
        assert found["loss"]["bits_per_byte"] == pytest.approx(expected.bits_per_byte, abs=1e-5)
        np.testing.assert_allclose(found["anisotropy"]["layers"], expected.layers, atol=1e-6, rtol=0)

    def test_a_text_with_line_ends_of_another_system(self, tiny_model: TinyModel, tmp_path: Path, cache: Path) -> None:
        words = tiny.text(30).split()
        losses = {}
        for end in ("\n", "\r\n"):
            (tmp_path / "text.txt").write_bytes(end.join(words).encode())
            losses[end] = measure(tiny_model("opt"), tmp_path / "text.txt")["loss"]
        assert losses["\n"]["nats_per_token"] == losses["\r\n"]["nats_per_token"]
        size = len(" ".join(words).encode())
        ratio = losses["\n"]["bits_per_byte"] / losses["\r\n"]["bits_per_byte"]
        assert ratio == pytest.approx((size + 29) / size, rel=1e-12)
