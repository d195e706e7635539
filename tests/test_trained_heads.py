"""Rank-constrained heads: gradients against float64, and problems whose best head is known."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from saturation.errors import InputError, NotFiniteError
from saturation.measures.head import Head
from saturation.measures.head_loss import cross_entropy_gradients
from saturation.measures.trained_heads import (
    States,
    TrainedHead,
    Training,
    learning_rates,
    score,
    start,
    train_head,
)
from saturation.measures.truncated_heads import Factors, RunningTruncatedHeads

VOCAB, WIDTH, RANK = 12, 6, 3


def problem(tokens: int = 6000, rank: int = RANK, seed: int = 0) -> tuple[Head, list[States]]:
    """States whose next token follows a head of a known rank exactly; split 4000, 1000, 1000."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(VOCAB, rank, generator=generator) @ torch.randn(rank, WIDTH, generator=generator)
    vectors = torch.randn(tokens, WIDTH, generator=generator)
    targets = torch.multinomial(torch.softmax(vectors @ weight.T, 1), 1, generator=generator)[:, 0]
    ends = (0, tokens * 2 // 3, tokens * 5 // 6, tokens)
    return Head(weight), [States(vectors[a:b], targets[a:b]) for a, b in pairwise(ends)]


SHORT = Training(rank=RANK, learning_rate=0.05, steps=400, batch=256, check_every=50)


def trained(parts: list[States], training: Training = SHORT, factors: Factors | None = None) -> TrainedHead:
    return train_head(parts[0], parts[1], VOCAB, training, factors)


def test_gradients_are_those_of_float64_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    narrow = torch.randn(9, 4, generator=generator)
    weight = torch.randn(7, 4, generator=generator)
    targets = torch.randint(0, 7, (9,), generator=generator)
    found = cross_entropy_gradients(narrow, weight, targets[:, None], torch.empty(9, 7))
    exact = [part.double().requires_grad_() for part in (narrow, weight)]
    loss = torch.nn.functional.cross_entropy(exact[0] @ exact[1].T, targets)
    loss.backward()
    assert float(found.loss) == pytest.approx(loss.item(), rel=1e-6)
    for ours, theirs in zip((found.hidden, found.weight), exact, strict=True):
        np.testing.assert_allclose(ours, theirs.grad, atol=1e-7)


def test_gradients_survive_a_probability_of_zero() -> None:
    """Logits (400, 0) and the second token: the loss overflows, its gradient is (1, -1)."""
    found = cross_entropy_gradients(
        torch.tensor([[400.0]]), torch.tensor([[1.0], [0.0]]), torch.tensor([[1]]), torch.empty(1, 2)
    )
    assert float(found.loss) == math.inf
    assert (found.hidden.tolist(), found.weight.tolist()) == ([[1.0]], [[400.0], [-400.0]])


def test_a_depth_bounds_the_probabilities_from_below() -> None:
    """Logits (400, 0) within 2 nats: probabilities 1 / (1 + e^-2) and the rest, the gradient p - (0, 1)."""
    found = cross_entropy_gradients(
        torch.tensor([[400.0]]), torch.tensor([[1.0], [0.0]]), torch.tensor([[1]]), torch.empty(1, 2), depth=2.0
    )
    share = 1 / (1 + math.exp(-2))
    assert float(found.loss) == pytest.approx(2 + math.log(1 + math.exp(-2)))
    assert found.hidden.tolist() == [[pytest.approx(share)]]
    np.testing.assert_allclose(found.weight, [[400 * share], [-400 * share]], rtol=1e-6)


class TestTraining:
    def test_finds_the_head_that_made_the_text(self) -> None:
        """From N(0, 1), within a few hundredths of a nat of the true head on tokens it has not seen."""
        head, parts = problem()
        found = trained(parts)
        true, _ = score(head, parts[2])
        nats, accuracy = score(found, parts[2])
        assert true - 0.01 < nats < true + 0.03
        assert accuracy == pytest.approx(score(head, parts[2])[1], abs=0.03)
        assert (found.left.shape, found.right.shape) == ((VOCAB, RANK), (RANK, WIDTH))

    def test_a_lower_rank_costs_and_beats_the_truncated_head(self) -> None:
        head, parts = problem()
        true, _ = score(head, parts[2])
        for rank in (1, 2):
            nats, _ = score(trained(parts, dataclasses.replace(SHORT, rank=rank)), parts[2])
            running = RunningTruncatedHeads(head, [rank])
            running.update(*parts[2])
            assert true + 0.05 < nats < running.value().nats_per_token[0]

    def test_a_truncated_start_is_never_left_for_a_worse_head(self) -> None:
        """The own head at full rank and a rate that ruins it: the start is what is kept."""
        head, parts = problem(rank=WIDTH)
        ruinous = dataclasses.replace(SHORT, rank=WIDTH, init="truncated", learning_rate=50.0, steps=100, patience=1)
        found = trained(parts, ruinous, Factors(head))
        assert (found.best_step, found.steps) == (0, 50)
        assert score(found, parts[2])[0] == pytest.approx(score(head, parts[2])[0], abs=1e-5)

    @pytest.mark.parametrize("rank", [1, 2])
    def test_both_starts_lead_to_one_loss(self, rank: int) -> None:
        head, parts = problem()
        normal = dataclasses.replace(SHORT, rank=rank, steps=600)
        cut = dataclasses.replace(normal, init="truncated", learning_rate=0.02)
        losses = [score(trained(parts, training, Factors(head)), parts[2])[0] for training in (normal, cut)]
        assert losses[1] == pytest.approx(losses[0], abs=0.02)

    def test_states_in_half_precision_do(self) -> None:
        _, parts = problem()
        halved = [States(part.vectors.half(), part.targets) for part in parts]
        assert score(trained(halved), halved[2])[0] == pytest.approx(score(trained(parts), parts[2])[0], abs=0.01)

    def test_one_seed_gives_one_head_and_another_another(self) -> None:
        _, parts = problem(1200)
        short = dataclasses.replace(SHORT, steps=20, check_every=10)
        first, again = trained(parts, short), trained(parts, short)
        assert torch.equal(first.left, again.left)
        assert torch.equal(first.right, again.right)
        other = trained(parts, dataclasses.replace(short, seed=1))
        assert not torch.equal(first.left, other.left)

    def test_stops_when_the_validation_loss_gains_no_more(self) -> None:
        """Two hundred tokens are learned by heart; the state before that is kept."""
        _, parts = problem()
        few = [States(*(part[:200] for part in parts[0])), *parts[1:]]
        eager = Training(WIDTH, 0.05, steps=5000, batch=100, check_every=20, patience=3)
        found = trained(few, eager)
        assert found.steps == found.best_step + 60
        assert found.steps < 5000
        assert found.validation_nats == pytest.approx(score(found, parts[1])[0], abs=1e-6)

    def test_a_batch_larger_than_the_part_is_the_part(self) -> None:
        _, parts = problem(120)
        assert trained(parts, dataclasses.replace(SHORT, steps=5)).steps == 5

    def test_progress(self) -> None:
        _, parts = problem(600)
        told: list[tuple[int, int]] = []
        short = dataclasses.replace(SHORT, steps=25, check_every=10)
        train_head(parts[0], parts[1], VOCAB, short, progress=lambda done, total: told.append((done, total)))
        assert told == [(10, 25), (20, 25), (25, 25)]


class TestStart:
    def test_normal_has_mean_zero_and_variance_one(self) -> None:
        for part in start(Training(40, 0.1), 2000, 50, None):
            assert float(part.mean()) == pytest.approx(0, abs=0.1)
            assert float(part.std()) == pytest.approx(1, abs=0.05)

    def test_truncated_is_the_best_head_of_that_rank(self) -> None:
        weight = torch.randn(VOCAB, WIDTH, generator=torch.Generator().manual_seed(1))
        left, right = start(Training(2, 0.1, init="truncated"), VOCAB, WIDTH, Factors(Head(weight)))
        u, s, v = np.linalg.svd(weight.double().numpy(), full_matrices=False)
        np.testing.assert_allclose(left @ right, (u[:, :2] * s[:2]) @ v[:2], atol=1e-6)
        np.testing.assert_allclose(left.norm(dim=0), right.norm(dim=1), rtol=1e-5)


def test_the_rate_falls_along_a_cosine_to_a_tenth() -> None:
    training = Training(1, 0.02, steps=101)
    assert [training.rate_at(step) for step in (1, 51, 101)] == [0.02, pytest.approx(0.011), pytest.approx(0.002)]


@pytest.mark.parametrize(
    ("count", "rates"), [(1, (0.007071,)), (2, (0.001, 0.05)), (4, (0.001, 0.003684, 0.01357, 0.05))]
)
def test_learning_rates_span_the_papers_range(count: int, rates: tuple[float, ...]) -> None:
    assert learning_rates(count) == pytest.approx(rates, rel=1e-4)


def test_score_by_hand() -> None:
    """Logits (0, log 3): probabilities 1/4 and 3/4; of the targets 1, 1, 0 two are guessed."""
    head = TrainedHead(torch.tensor([[0.0], [1.0]]), torch.tensor([[math.log(3)]]), 0.0, 0, 0)
    nats, accuracy = score(head, States(torch.ones(3, 1), torch.tensor([1, 1, 0])))
    assert nats == pytest.approx((2 * math.log(4 / 3) + math.log(4)) / 3, rel=1e-6)
    assert accuracy == 2 / 3


class TestRefusals:
    @pytest.mark.parametrize(
        ("setting", "sentence"),
        [
            ({"rank": 0}, "rank is 0, but it must be 1 or more"),
            ({"steps": 0}, "steps is 0, but it must be 1 or more"),
            ({"learning_rate": 0.0}, "A learning rate of 0.0 cannot be used; it must be above 0"),
            ({"learning_rate": math.nan}, "A learning rate of nan cannot be used"),
            ({"init": "zero"}, "A head cannot start from 'zero'; choose normal or truncated"),
        ],
    )
    def test_settings(self, setting: dict, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            dataclasses.replace(SHORT, **setting)

    def test_a_rank_above_the_hidden_size(self) -> None:
        with pytest.raises(InputError, match="A head of rank 7 on a hidden size of 6 is no constraint"):
            trained(problem(600)[1], dataclasses.replace(SHORT, rank=7))

    @pytest.mark.parametrize("head", [Head(torch.eye(3), torch.ones(3)), Head(torch.eye(3), softcap=5.0), None])
    def test_a_truncated_start_with_more_than_a_matrix(self, head: Head | None) -> None:
        with pytest.raises(InputError, match="has a bias or a softcap, which a trained head has not"):
            start(Training(1, 0.1, init="truncated"), 3, 3, Factors(head) if head else None)

    def test_no_states(self) -> None:
        _, parts = problem(600)
        with pytest.raises(InputError, match="There are no states to train a head on"):
            trained([parts[0], States(parts[1].vectors[:0], parts[1].targets[:0])])

    def test_states_that_are_no_numbers(self) -> None:
        _, parts = problem(600)
        broken = [States(torch.full_like(part.vectors, math.nan), part.targets) for part in parts]
        with pytest.raises(NotFiniteError, match="The head of rank 3 did not train"):
            trained(broken, dataclasses.replace(SHORT, steps=10))


def test_no_rate_of_a_sweep() -> None:
    with pytest.raises(InputError, match="A sweep of 0 learning rates is none"):
        learning_rates(0)
