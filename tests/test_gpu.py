"""The same numbers on a GPU as on a processor, and training that a monitor leaves as it is there too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import tiny
import torch
from command_line import saturation
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from saturation.errors import NotFiniteError
from saturation.measures.anisotropy import RunningCentredAnisotropy, anisotropy
from saturation.measures.spectrum import head_spectra
from saturation.monitor import Monitor, parse

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

TinyModel = Callable[[str], Path]
TOKENS = 330


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(tiny.text(TOKENS), encoding="utf-8")
    return path


def close(found: Any, expected: Any, within: float) -> None:
    """Numbers within a distance, everything else the same."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            close(found[key], expected[key], within)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other, within)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=within, rel=within)
    else:
        assert found == expected


class TestMeasure:
    @pytest.mark.parametrize("shape", ["gpt_neox", "gpt2", "opt", "llama", "gemma"])
    def test_every_measure_of_every_shape(self, tiny_model: TinyModel, text: Path, cache: Path, shape: str) -> None:
        asked = ("measure", tiny_model(shape), "--text", text, "--json", "--force", "--device")
        here, there = (saturation(*asked, device).json for device in ("cpu", "cuda"))
        for name in ("spectrum", "anisotropy", "loss"):
            close(there[name], here[name], 2e-5)

    def test_a_gpu_is_taken_by_itself_and_noted(self, tiny_model: TinyModel, text: Path, cache: Path) -> None:
        saturation("measure", tiny_model("gpt2"), "--text", text, "--json")
        with duckdb.connect(str(cache / "measurements.duckdb"), read_only=True) as store:
            devices = store.execute("SELECT device FROM measurements WHERE measure = 'loss'").fetchall()
        assert ("cuda",) in devices

    @pytest.mark.parametrize(("dtype", "within"), [("bfloat16", 0.1), ("float16", 0.02)])
    def test_half_precision(self, tiny_model: TinyModel, text: Path, cache: Path, dtype: str, within: float) -> None:
        asked = ("measure", tiny_model("llama"), "--text", text, "--json", "--device", "cuda", "--dtype")
        whole, half = (saturation(*asked, name).json["loss"] for name in ("float32", dtype))
        assert 0 < abs(half["nats_per_token"] - whole["nats_per_token"]) < within

    def test_truncated_and_trained_heads(self, tiny_model: TinyModel, text: Path, cache: Path) -> None:
        asked = ("heads", tiny_model("opt"), "--text", text, "--ranks", "3,12", "--learning-rates", "0.01", "--json")
        here, there = (saturation(*asked, "--device", device).json for device in ("cpu", "cuda"))
        close(there["own_loss"], here["own_loss"], 1e-5)
        for one, other in zip(there["rows"], here["rows"], strict=True):
            for name in ("w_error", "truncated_loss", "centred_truncated_loss"):
                close(one[name], other[name], 2e-5)
            # Thousands of steps of Adam amplify rounding: the same height, not the same digits.
            close(one["trained_loss"], other["trained_loss"], 0.05)

    @pytest.mark.parametrize("condition", [1e2, 1e7])
    def test_the_spectrum_of_a_head_that_is_there(self, condition: float) -> None:
        """By sums of products on the GPU, and beyond a condition number of 1e4 by QR on the processor."""
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(20_000, 64, generator=generator) * torch.logspace(0, -np.log10(condition), 64)
        exact = np.linalg.svd(weight.double().numpy(), compute_uv=False)
        shifted = weight.double() - weight.double().mean(dim=0)
        found = head_spectra(weight.cuda())
        assert found.plain == pytest.approx(exact, rel=1e-7)
        assert found.centred == pytest.approx(np.linalg.svd(shifted.numpy(), compute_uv=False), rel=1e-7)
        with pytest.raises(NotFiniteError):
            head_spectra(weight.cuda().fill_(torch.nan))

    def test_a_sum_beyond_its_sample(self) -> None:
        vectors = torch.randn(20_000, 16, generator=torch.Generator().manual_seed(0)) + 0.3
        sums = RunningCentredAnisotropy(len(vectors), sample=1000)
        for block in vectors.cuda().split(512):
            sums.update(block)
        assert sums.value() == pytest.approx(anisotropy(vectors, True), abs=1e-6)


class TestMonitor:
    def test_training_goes_on_as_it_would_have(self, tmp_path: Path) -> None:
        """Dropout draws from the GPU's generator: a measurement that drew, too, would change every step after it."""
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            alone, watched = self._train(None), self._train(tmp_path)
        finally:
            torch.use_deterministic_algorithms(False)
        assert watched[0] == pytest.approx(alone[0], abs=1e-5)
        assert len(set(alone[0])) == len(alone[0])
        found = parse(tmp_path / "mine.jsonl")
        assert found is not None
        assert [point.step for point in found.points] == list(range(9))
        last = found.points[-1]
        exact = head_spectra(watched[1].get_output_embeddings().weight.detach()).plain
        assert last.singular_values == pytest.approx(exact.tolist(), rel=1e-12)
        assert last.nats_per_token == pytest.approx(self._loss(watched[1]), abs=1e-5)
        assert len(last.layers) == 3

    @staticmethod
    def _loss(net: torch.nn.Module) -> float:
        """On the processor in float64: each token scored once, the end of text before all."""
        net = net.cpu().double().eval()
        text = torch.randint(0, 60, (8, 16), generator=torch.Generator().manual_seed(3)).reshape(-1)
        inputs = torch.cat([torch.tensor([0]), text[:-1]]).reshape(8, 16)
        with torch.no_grad():
            logits = net(input_ids=inputs).logits.reshape(-1, 60)
        return float(torch.nn.functional.cross_entropy(logits, text))

    @staticmethod
    def _train(folder: Path | None) -> tuple[list[float], GPTNeoXForCausalLM]:
        torch.manual_seed(0)
        config = GPTNeoXConfig(
            vocab_size=60,
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=16,
            eos_token_id=0,
            hidden_dropout=0.1,
        )
        net = GPTNeoXForCausalLM(config).cuda().train()
        batch = torch.randint(0, 60, (8, 16), generator=torch.Generator().manual_seed(3)).cuda()
        monitor = folder and Monitor(net, batch, "mine", folder=folder, every=1, most_overhead=1e9)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
        torch.manual_seed(5)
        losses = []
        for step in range(1, 9):
            loss = net(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            if monitor:
                monitor.step(step)
        return losses, net
