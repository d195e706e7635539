"""Heads cut by SVD: every rank against heads that numpy cuts in float64."""

import math

import numpy as np
import pytest
import torch

from saturation.errors import InputError, NotFiniteError
from saturation.measures import truncated_heads
from saturation.measures.head import Head
from saturation.measures.loss import RunningLoss
from saturation.measures.spectrum import w_error
from saturation.measures.truncated_heads import (
    Factors,
    RunningTruncatedHeads,
    Truncated,
    check_ranks,
    default_ranks,
)

TOKENS, VOCAB, WIDTH = 57, 83, 11


def made(seed: int = 0, scale: float = 1.0, vocab: int = VOCAB, width: int = WIDTH) -> tuple[torch.Tensor, ...]:
    """States (57, width), a head (vocab, width) whose columns shrink, targets (57,)."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(TOKENS, width, generator=generator) + 0.3
    weight = torch.randn(vocab, width, generator=generator) * torch.logspace(0, -2, width) * scale + 0.2
    return states, weight, torch.randint(0, vocab, (TOKENS,), generator=generator)


def cut(weight: torch.Tensor, rank: int) -> np.ndarray:
    """The best rank-r matrix, by numpy's SVD."""
    u, s, v = np.linalg.svd(weight.double().numpy(), full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


def by_hand(logits: np.ndarray, targets: torch.Tensor) -> tuple[float, float]:
    """Nats per token and accuracy of logits (n, vocab_size) in float64."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    nats = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(logits)), targets.numpy()]
    return float(nats.mean()), float((logits.argmax(axis=1) == targets.numpy()).mean())


def run(head: Head, ranks: list[int], states: torch.Tensor, targets: torch.Tensor, centred: bool = False) -> Truncated:
    running = RunningTruncatedHeads(head, ranks, centred)
    for start in range(0, len(states), 20):  # chunks of 20, 20 and 17
        running.update(states[start : start + 20], targets[start : start + 20])
    return running.value()


@pytest.fixture(params=[(1024, 512), (8, 10)], ids=["one tile", "many tiles"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truncated_heads, "ROWS", request.param[0])
    monkeypatch.setattr(truncated_heads, "COLUMNS", request.param[1])


@pytest.mark.usefixtures("tiles")
class TestEveryRank:
    @pytest.mark.parametrize("scale", [1.0, 30.0], ids=["mild", "hundreds of nats"])
    def test_as_it_is(self, scale: float) -> None:
        states, weight, targets = made(scale=scale)
        ranks = list(range(1, WIDTH + 1))
        found = run(Head(weight), ranks, states, targets)
        expected = [by_hand(states.double().numpy() @ cut(weight, rank).T, targets) for rank in ranks]
        np.testing.assert_allclose(found.nats_per_token, [nats for nats, _ in expected], rtol=1e-5)
        assert found.accuracy == [pytest.approx(share, abs=1e-12) for _, share in expected]
        assert (found.ranks, found.tokens) == (tuple(ranks), TOKENS)

    @pytest.mark.parametrize("heights", [(0, 90), (0, 700), (90, 0), (-90, 0), (-90, -90), (-700, 90), (55, 61)])
    def test_logits_far_from_zero_in_a_part_of_the_vocabulary(self, heights: tuple[float, float]) -> None:
        """Sums of exponentials as they are, and less their largest, meet in every order."""
        states, weight, targets = made()
        bias = torch.tensor(heights).float().repeat_interleave(VOCAB // 2 + 1)[:VOCAB]
        found = run(Head(weight, bias), [1, 4, WIDTH], states, targets)
        for nats, rank in zip(found.nats_per_token, (1, 4, WIDTH), strict=True):
            logits = states.double().numpy() @ cut(weight, rank).T + bias.double().numpy()
            assert nats == pytest.approx(by_hand(logits, targets)[0], rel=1e-5)

    def test_with_its_row_mean_removed(self) -> None:
        states, weight, targets = made(1)
        centred = weight - weight.mean(dim=0)
        found = run(Head(weight), [1, 4, WIDTH], states, targets, centred=True)
        expected = [by_hand(states.double().numpy() @ cut(centred, rank).T, targets) for rank in (1, 4, WIDTH)]
        np.testing.assert_allclose(found.nats_per_token, [nats for nats, _ in expected], rtol=1e-5)
        assert found.accuracy == [pytest.approx(share, abs=1e-12) for _, share in expected]

    def test_with_a_bias_and_a_softcap(self) -> None:
        states, weight, targets = made(2)
        bias = torch.linspace(-2, 2, VOCAB)
        found = run(Head(weight, bias, 1.5), [2, 7], states, targets)
        for rank, nats, share in zip((2, 7), found.nats_per_token, found.accuracy, strict=True):
            logits = 1.5 * np.tanh((states.double().numpy() @ cut(weight, rank).T + bias.double().numpy()) / 1.5)
            assert by_hand(logits, targets) == (pytest.approx(nats, rel=1e-5), pytest.approx(share, abs=1e-12))

    @pytest.mark.parametrize("centred", [False, True])
    def test_full_rank_is_the_models_own_loss(self, centred: bool) -> None:
        states, weight, targets = made(3, scale=5.0)
        head = Head(weight, torch.linspace(0, 1, VOCAB))
        own = RunningLoss()
        own.update(states, targets, head, VOCAB)
        found = run(head, [WIDTH], states, targets, centred)
        assert found.nats_per_token[0] == pytest.approx(own.nats / own.tokens, abs=1e-5)
        assert found.accuracy[0] == own.correct / own.tokens

    def test_a_head_of_rank_two_needs_no_more(self) -> None:
        """An ill-conditioned head, which is factored by QR."""
        states, weight, targets = made(4)
        low = (weight[:, :2] @ torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(5))).float()
        found = run(Head(low), [2, 3, WIDTH], states, targets)
        expected, _ = by_hand(states.double().numpy() @ low.double().numpy().T, targets)
        np.testing.assert_allclose(found.nats_per_token, expected, rtol=1e-5)
        np.testing.assert_allclose(found.w_error, 0, atol=1e-6)


def test_half_precision_states_are_read_in_float32() -> None:
    states, weight, targets = made(6)
    halved = states.half()
    assert run(Head(weight), [3], halved, targets) == run(Head(weight), [3], halved.float(), targets)


def test_a_narrow_vocabulary() -> None:
    """Fewer tokens than dimensions: five singular values, and the fifth rank is the whole head."""
    states, weight, targets = made(7, vocab=5)
    found = run(Head(weight), [2, 5], states, targets)
    for rank, nats in zip((2, 5), found.nats_per_token, strict=True):
        assert nats == pytest.approx(by_hand(states.double().numpy() @ cut(weight, rank).T, targets)[0], rel=1e-5)


@pytest.mark.parametrize("centred", [False, True])
def test_w_error_is_that_of_the_singular_values(centred: bool) -> None:
    _, weight, _ = made(8)
    seen = weight - weight.mean(dim=0) if centred else weight
    values = np.linalg.svd(seen.double().numpy(), compute_uv=False)
    np.testing.assert_allclose(Factors(Head(weight), centred).w_error, w_error(values), atol=1e-9)


def test_equal_rows_leave_the_softmax_nothing_to_see() -> None:
    """Centred, such a head is zero: each token costs log V, and no guess is above the others."""
    states, _, targets = made()
    found = run(Head(torch.ones(VOCAB, WIDTH)), [1, WIDTH], states, targets, centred=True)
    np.testing.assert_allclose(found.nats_per_token, math.log(VOCAB), rtol=1e-6)
    assert (found.accuracy, found.w_error) == ([0.0, 0.0], [0.0, 0.0])


def test_two_by_two_by_hand() -> None:
    """W = diag(2, 1): rank one keeps the first logit. State (1, 3): logits (2, 0), then (2, 3)."""
    found = run(Head(torch.diag(torch.tensor([2.0, 1.0]))), [1, 2], torch.tensor([[1.0, 3.0]]), torch.tensor([1]))
    assert found.nats_per_token == [pytest.approx(math.log(1 + math.e**2)), pytest.approx(math.log(1 + math.e**-1))]
    assert (found.accuracy, found.w_error) == ([0.0, 1.0], [pytest.approx(5**-0.5), 0.0])


class TestRefusals:
    def test_centring_under_a_softcap(self) -> None:
        with pytest.raises(InputError, match="softcap, which does not ignore a shift of all logits"):
            RunningTruncatedHeads(Head(torch.eye(3), softcap=30.0), [1], centred=True)

    @pytest.mark.parametrize(
        ("ranks", "sentence"),
        [
            ([], "No rank was given; name at least one."),
            ([1, 0], "A head of rank 0 cannot be cut from this one; ranks go from 1 to 4."),
            ([5], "A head of rank 5 cannot be cut from this one; ranks go from 1 to 4."),
        ],
    )
    def test_ranks(self, ranks: list[int], sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            check_ranks(ranks, 4)

    def test_no_tokens(self) -> None:
        with pytest.raises(InputError, match="No token was scored"):
            RunningTruncatedHeads(Head(torch.eye(3)), [1]).value()

    def test_states_that_overflow(self) -> None:
        running = RunningTruncatedHeads(Head(torch.eye(3)), [1])
        running.update(torch.full((1, 3), math.nan), torch.tensor([0]))
        with pytest.raises(NotFiniteError, match="The loss of a truncated head is not a number"):
            running.value()


def test_ranks_are_sorted_and_each_once() -> None:
    assert check_ranks([4, 1, 4], 4) == (1, 4)


@pytest.mark.parametrize(
    ("hidden_size", "ranks"),
    [(1, (1,)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12)), (768, (*(2**k for k in range(10)), 768))],
)
def test_default_ranks(hidden_size: int, ranks: tuple[int, ...]) -> None:
    assert default_ranks(hidden_size) == ranks
