"""What a lab run can change: precision, the head, the optimizer; each against plain torch."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy

from saturation.checkpoints.load import load_model
from saturation.errors import InputError, NotFiniteError
from saturation.lab import Language, RunConfig
from saturation.lab.models import build_model
from saturation.lab.objective import MixtureLoss, build_objective, mean_cosine
from saturation.lab.optimizers import CoupledAdamW
from saturation.lab.precision import LARGEST_SCALE, WINDOW, LossScale, RoundedHeadLoss, round_inside, rounded
from saturation.lab.trainer import train
from saturation.measures.mixture import MixtureOfSoftmaxes

CONFIG = RunConfig(
    name="tiny",
    hidden_size=8,
    layers=1,
    context_length=8,
    batch=8,
    steps=30,
    warmup=5,
    learning_rate=1e-2,
    corpus=Language(vocab_size=50, classes=4, rank=8, seed=1),
)
CPU = torch.device("cpu")


def last_head(folder: Path) -> torch.Tensor:
    return load_model(folder / "step30", "float32", CPU).head.weight


def losses(folder: Path) -> list[float]:
    return [value for _, value in json.loads((folder / "run.json").read_text())["loss_curve"]]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(CONFIG, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "float16"},
        {"precision": "float16", "loss_scale": 8.0},
        {"precision": "bfloat16"},
        {"coupled_adam": True},
        {"softmaxes": 2},
        {"tied": True},
        {"weight_dtype": "bfloat16", "head_weight_decay": 1.0},
    ],
    ids=str,
)
def test_a_stopped_run_ends_with_the_same_bits(change: dict, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, **change)
    whole = train(config, tmp_path / "whole")
    train(config, tmp_path / "cut", stop_at=11)
    cut = train(config, tmp_path / "cut")
    for folder in whole.glob("step*"):
        assert (cut / folder.name / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert losses(cut) == losses(whole)
    assert losses(whole)[-1] < losses(whole)[0] - 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_that_of_modules_kept_in_half(dtype: torch.dtype) -> None:
    """The imitation against torch's own half-precision modules, forward and backward."""
    generator = torch.Generator().manual_seed(0)
    own = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.LayerNorm(16), torch.nn.Linear(16, 4))
    half = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.LayerNorm(16), torch.nn.Linear(16, 4)).to(dtype)
    half.load_state_dict(own.state_dict())
    round_inside(own, [], dtype)
    inputs = torch.randn(32, 8, generator=generator)
    ours, theirs = own(inputs), half(inputs.to(dtype))
    one_unit = torch.finfo(dtype).eps * float(theirs.abs().max())
    assert float((ours - theirs.float()).abs().max()) <= 2 * one_unit
    assert torch.equal(ours, ours.to(dtype).float())
    ours.square().sum().backward()
    theirs.float().square().sum().backward()
    for mine, other in zip(own.parameters(), half.parameters(), strict=True):
        scale = float(other.grad.float().abs().max())
        assert float((mine.grad - other.grad.float()).abs().max()) <= 20 * torch.finfo(dtype).eps * scale


def test_rounding_goes_both_ways() -> None:
    values = torch.tensor([1.0, 1 / 3], requires_grad=True)
    out = rounded(values, torch.bfloat16)
    (out * torch.tensor([1 / 3, 1.0])).sum().backward()
    third = torch.tensor(1 / 3).to(torch.bfloat16).item()
    assert out.tolist() == [1.0, third]
    assert values.grad.tolist() == [third, 1.0]


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_the_head_in_half_precision_against_autograd(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(12, 5, generator=generator, requires_grad=True)
    weight = torch.randn(7, 5, generator=generator, requires_grad=True)
    targets = torch.randint(0, 7, (12, 1), generator=generator)
    loss = RoundedHeadLoss(12, 7, torch.float16)(hidden, weight, targets, scale)
    (loss * scale).backward()
    exact_hidden, exact_weight = (each.detach().clone().requires_grad_() for each in (hidden, weight))
    logits = rounded(rounded(exact_hidden, torch.float16) @ rounded(exact_weight, torch.float16).T, torch.float16)
    (cross_entropy(logits, targets[:, 0]) * scale).backward()
    assert loss.item() == pytest.approx(cross_entropy(logits, targets[:, 0]).item(), abs=1e-6)
    torch.testing.assert_close(hidden.grad, exact_hidden.grad, rtol=0, atol=2e-3 * scale)
    torch.testing.assert_close(weight.grad, exact_weight.grad, rtol=0, atol=2e-3 * scale)


def test_without_a_scale_small_gradients_vanish_in_float16() -> None:
    hidden, weight = torch.ones(1, 1, requires_grad=True), torch.tensor([[20.0], [0.0]], requires_grad=True)
    for scale, expected in ((1.0, 0.0), (1024.0, 1 / (1 + math.exp(20)))):
        weight.grad = None
        (RoundedHeadLoss(1, 2, torch.float16)(hidden, weight, torch.tensor([[0]]), scale) * scale).backward()
        assert weight.grad[1, 0].item() / scale == pytest.approx(expected, rel=0.05)


def test_the_loss_scale_follows_pythias_rule() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    scale = LossScale.of("float16", None)
    first = scale.value
    parameter.grad = torch.full((3,), first)
    assert scale.unscale([parameter])
    assert parameter.grad.tolist() == [1.0, 1.0, 1.0]
    parameter.grad = torch.tensor([1.0, math.inf, 1.0])
    assert not scale.unscale([parameter])
    assert (scale.value, scale.skipped, scale.good) == (first / 2, 1, 0)
    scale = LossScale(LARGEST_SCALE / 2, dynamic=True, good=WINDOW - 1)
    for expected in (LARGEST_SCALE, LARGEST_SCALE):
        parameter.grad = torch.ones(3)
        scale.unscale([parameter])
        assert scale.value == expected
        scale.good = WINDOW - 1
    fixed = LossScale.of("float16", 1.0)
    parameter.grad = torch.tensor([1.0, math.inf, 1.0])
    assert not fixed.unscale([parameter])
    assert (fixed.value, fixed.skipped) == (1.0, 1)
    with pytest.raises(NotFiniteError):
        LossScale(1.0, dynamic=True).unscale([parameter])
    assert LossScale.of("bfloat16", None) == LossScale()


def test_weights_held_in_bfloat16_are_bfloat16(tmp_path: Path) -> None:
    folder = train(dataclasses.replace(CONFIG, weight_dtype="bfloat16"), tmp_path)
    head = last_head(folder)
    assert torch.equal(head, head.bfloat16().float())


def test_a_centred_head_has_no_row_mean_and_the_same_loss(plain: Path, tmp_path: Path) -> None:
    folder = train(dataclasses.replace(CONFIG, centred_head=True, weight_decay=0.0), tmp_path / "centred")
    beside = train(dataclasses.replace(CONFIG, weight_decay=0.0), tmp_path / "beside")
    assert float(last_head(folder).mean(0).abs().max()) < 1e-6
    assert float(last_head(plain).mean(0).abs().max()) > 1e-3
    # The softmax does not see a row mean: without decay nothing else changes.
    assert losses(folder) == pytest.approx(losses(beside), abs=1e-4)


def test_a_tied_head_is_the_embedding(tmp_path: Path) -> None:
    model = build_model(dataclasses.replace(CONFIG, tied=True))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    parts = load_model(train(dataclasses.replace(CONFIG, tied=True), tmp_path) / "step30", "float32", CPU)
    assert parts.head.weight.shape == (50, 8)


def test_the_cosine_penalty_is_the_mean_over_pairs() -> None:
    rows = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = [cosine_similarity(rows[i], rows[j], dim=0) for i in range(9) for j in range(9) if i != j]
    assert mean_cosine(rows).item() == pytest.approx(torch.stack(pairs).mean().item(), abs=1e-12)
    config = dataclasses.replace(CONFIG, cosine_penalty=2.0)
    model = build_model(config)
    hidden, targets = torch.randn(64, 8), torch.zeros(64, 1, dtype=torch.long)
    loss, minimised = build_objective(config, model)(hidden, targets, 1.0)
    expected = 2 * mean_cosine(model.get_output_embeddings().weight)
    assert (minimised - loss).item() == pytest.approx(expected.item(), abs=1e-6)


def test_coupled_adam_has_one_second_moment_for_the_vocabulary() -> None:
    """Three updates against the formulas of arXiv 2502.08441, written out in numpy."""
    generator = np.random.default_rng(0)
    start, gradients = generator.normal(size=(5, 3)), generator.normal(size=(3, 5, 3))
    parameter = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = CoupledAdamW([parameter], lr=0.1, betas=(0.9, 0.95), weight_decay=0.2)
    rows, first, second = start.copy(), np.zeros((5, 3)), np.zeros(3)
    for step, gradient in enumerate(gradients, 1):
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        first = 0.9 * first + 0.1 * gradient
        second = 0.95 * second + 0.05 * (gradient**2).mean(0)
        rows = rows * (1 - 0.1 * 0.2)
        rows -= 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.95**step)) + 1e-8)
        np.testing.assert_allclose(parameter.detach().numpy(), rows, rtol=1e-7)


def test_a_mixture_of_softmaxes_against_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    mixture = MixtureOfSoftmaxes(4, 3).double()
    hidden = torch.randn(10, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 7, (10, 1), generator=generator)
    priors = torch.softmax(hidden @ mixture.prior.weight.T, 1)
    latent = torch.tanh(hidden @ mixture.latent.weight.T + mixture.latent.bias).view(10, 3, 4)
    mixed = (priors[..., None] * torch.softmax(latent @ weight.T, 2)).sum(1)
    torch.testing.assert_close(mixture.log_probabilities(hidden, weight).exp(), mixed)
    assert torch.linalg.matrix_rank(mixed.detach().log(), atol=1e-9) > 5  # one softmax has at most width + 1
    expected = -mixed.gather(1, targets).log().mean()
    wanted = torch.autograd.grad(expected, [hidden, weight, *mixture.parameters()])
    loss = MixtureLoss(30, 7)
    loss._buffer = loss._buffer.double()
    found = loss(*mixture(hidden), weight, targets)
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)
    for mine, theirs in zip(torch.autograd.grad(found, [hidden, weight, *mixture.parameters()]), wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_mixture_is_measured_as_what_it_is(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, softmaxes=2)
    folder = train(config, tmp_path)
    parts = load_model(folder / "step30", "float32", CPU)
    ids = torch.arange(8)[None]
    logits = parts.logits(parts.base(ids)[0])
    assert logits.exp().sum(1).tolist() == pytest.approx([1.0] * 8, abs=1e-5)
    assert parts.head is None
    model = build_model(config)
    from safetensors.torch import load_file

    model.load_state_dict(load_file(folder / "step30" / "model.safetensors"))
    states = model.gpt_neox(input_ids=ids, use_cache=False).last_hidden_state[0]
    own = model.mixture.log_probabilities(states, model.get_output_embeddings().weight)
    torch.testing.assert_close(logits, own.detach())


def test_interventions_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(InputError, match="mixture of softmaxes is trained in float32"):
        dataclasses.replace(CONFIG, softmaxes=2, precision="float16")
    with pytest.raises(InputError, match=r"loss_scale is 8\.0"):
        dataclasses.replace(CONFIG, loss_scale=8.0)
    with pytest.raises(InputError, match="precision is 'int8'"):
        dataclasses.replace(CONFIG, precision="int8")
