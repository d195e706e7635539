"""Loss and what is derived from it, by hand."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from saturation.errors import InputError, NotFiniteError
from saturation.measures import loss as loss_module
from saturation.measures.head import Head
from saturation.measures.loss import Loss, RunningLoss, count_words


def scored(logits: torch.Tensor, targets: list[int], words: int = 1, utf8_bytes: int = 1) -> Loss:
    """The loss of positions whose logits are the states themselves."""
    sums = RunningLoss()
    sums.update(logits, torch.tensor(targets), lambda states: states, logits.shape[1])
    return sums.value(words, utf8_bytes)


def test_by_hand() -> None:
    # Probabilities (1/2, 1/4, 1/4) and (1/8, 1/8, 3/4); the targets have 1/4 and 3/4.
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]))
    found = scored(logits, [1, 2], words=3, utf8_bytes=5)
    nats = math.log(4) + math.log(4 / 3)
    assert found.nats_per_token == pytest.approx(nats / 2, rel=1e-6)
    assert found.perplexity == pytest.approx(4 / math.sqrt(3), rel=1e-6)
    assert found.word_perplexity == pytest.approx(math.exp(nats / 3), rel=1e-6)
    assert found.bits_per_byte == pytest.approx(math.log2(16 / 3) / 5, rel=1e-6)
    assert found.accuracy == 0.5
    assert found.tokens == 2


def test_a_model_that_knows_nothing_loses_log_v() -> None:
    found = scored(torch.zeros(10, 50), list(range(10)), words=10)
    assert found.nats_per_token == pytest.approx(math.log(50), rel=1e-6)
    assert found.perplexity == found.word_perplexity == pytest.approx(50, rel=1e-5)
    assert found.accuracy == 0.1  # the first of equal guesses counts


def test_a_shift_of_all_logits_changes_nothing() -> None:
    logits = torch.randn(30, 7, generator=torch.Generator().manual_seed(0))
    targets = [number % 7 for number in range(30)]
    shifted, plain = scored(logits + 50, targets), scored(logits, targets)
    assert shifted.nats_per_token == pytest.approx(plain.nats_per_token, abs=1e-5)


@pytest.mark.parametrize("room", [1, 7, 8, 70, 10_000])
def test_chunks_of_logits_do_not_change_it(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    logits = torch.randn(30, 7, generator=torch.Generator().manual_seed(0))
    targets = [number % 7 for number in range(30)]
    whole, seen = scored(logits, targets), []
    monkeypatch.setattr(loss_module, "LOGITS_PER_CHUNK", room)
    sums = RunningLoss()
    sums.update(logits, torch.tensor(targets), lambda states: (seen.append(len(states)), states)[1], 7)
    found = sums.value(1, 1)
    assert max(seen) == max(1, min(30, room // 7))
    assert sum(seen) == 30
    assert found.nats_per_token == pytest.approx(whole.nats_per_token, rel=1e-12)
    assert found.accuracy == whole.accuracy


def reference(head: Head, states: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """Nats per token and accuracy by numpy in float64, from all logits at once."""
    logits = states.double().numpy() @ head.weight.double().numpy().T
    if head.bias is not None:
        logits += head.bias.double().numpy()
    if head.softcap:
        logits = head.softcap * np.tanh(logits / head.softcap)
    picked = logits[np.arange(len(targets)), targets]
    losses = logsumexp(logits, axis=1) - picked
    return float(losses.mean()), float((logits.argmax(1) == targets.numpy()).mean())


@pytest.mark.parametrize("room", [1, 40, 41, 400, 100_000])
@pytest.mark.parametrize(("bias", "softcap"), [(False, None), (True, None), (False, 2.0), (True, 2.0)])
@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_a_head_is_taken_in_pieces_of_its_vocabulary(
    monkeypatch: pytest.MonkeyPatch, room: int, bias: bool, softcap: float | None, scale: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(rows, 6, generator=generator) for rows in (40, 23))
    head = Head(
        weight * scale, torch.randn(23, generator=generator) * scale if bias else None, softcap and softcap * scale
    )
    targets = head(states).argmax(1)
    targets[::2] = torch.randint(23, (20,), generator=generator)
    monkeypatch.setattr(loss_module, "LOGITS_PER_CHUNK", room)
    sums = RunningLoss()
    sums.update(states[:0], targets[:0], head, 23)
    sums.update(states, targets, head, 23)
    nats, accuracy = reference(head, states, targets)
    assert sums.nats / sums.tokens == pytest.approx(nats, rel=1e-6)
    assert sums.correct / sums.tokens == accuracy
    assert 0.4 < accuracy < 1


@pytest.mark.parametrize("room", [4, 8, 12, 100])
def test_of_equal_guesses_of_a_head_the_first_counts(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(loss_module, "LOGITS_PER_CHUNK", room)
    head = Head(torch.tensor([[1.0], [3.0], [3.0], [2.0], [3.0]]))
    for target in range(5):
        sums = RunningLoss()
        sums.update(torch.ones(4, 1), torch.full((4,), target), head, 5)
        assert sums.correct == (4 if target == 1 else 0)


@pytest.mark.parametrize("room", [3, 100])
def test_tokens_that_a_head_rules_out(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(loss_module, "LOGITS_PER_CHUNK", room)
    head = Head(torch.zeros(4, 1), torch.tensor([-math.inf, 0.0, -math.inf, 0.0]))
    sums = RunningLoss()
    sums.update(torch.ones(3, 1), torch.tensor([1, 1, 3]), head, 4)
    assert sums.value(1, 1).nats_per_token == pytest.approx(math.log(2), rel=1e-6)
    sums.update(torch.ones(1, 1), torch.tensor([2]), head, 4)
    with pytest.raises(NotFiniteError):
        sums.value(1, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("room", [1, 100])
def test_a_head_that_holds_no_numbers(monkeypatch: pytest.MonkeyPatch, room: int, bad: float) -> None:
    monkeypatch.setattr(loss_module, "LOGITS_PER_CHUNK", room)
    sums = RunningLoss()
    sums.update(torch.ones(1, 1), torch.tensor([0]), Head(torch.tensor([[0.0], [bad], [1.0]])), 3)
    with pytest.raises(NotFiniteError):
        sums.value(1, 1)


def test_half_precision_of_a_head_is_summed_in_more() -> None:
    sums = RunningLoss()
    head = Head(torch.zeros(50, 2, dtype=torch.bfloat16))
    sums.update(torch.ones(3000, 2, dtype=torch.bfloat16), torch.zeros(3000, dtype=torch.long), head, 50)
    assert sums.nats / 3000 == pytest.approx(math.log(50), rel=1e-6)


def test_batches_add_up() -> None:
    logits = torch.randn(30, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(30) % 7
    sums = RunningLoss()
    for part in (slice(0, 1), slice(1, 20), slice(20, 30)):
        sums.update(logits[part], targets[part], lambda states: states, 7)
    assert sums.value(1, 1).nats_per_token == pytest.approx(scored(logits, targets.tolist()).nats_per_token, rel=1e-12)


def test_half_precision_is_summed_in_more() -> None:
    # 3000 tokens of log 50 each: a sum of 11,736 nats would stop growing in bfloat16.
    found = scored(torch.zeros(3000, 50, dtype=torch.bfloat16), [0] * 3000)
    assert found.nats_per_token == pytest.approx(math.log(50), rel=1e-6)


def test_a_perplexity_without_bound_is_infinite() -> None:
    found = scored(torch.tensor([[0.0, 2000.0]]), [0])
    assert (found.nats_per_token, found.perplexity) == (2000, math.inf)


@pytest.mark.parametrize(
    ("text", "words"),
    [("one", 1), ("one two", 2), ("one  two\n\tthree", 3), ("one two\n", 3), (" one", 2), ("", 1), (" ", 2)],
)
def test_words_are_counted_as_the_harness_does(text: str, words: int) -> None:
    assert count_words(text) == words


@given(st.text(alphabet="a é\n\t\u00a0\u2003.", max_size=40))
def test_words_are_pieces_between_runs_of_whitespace(text: str) -> None:
    assert count_words(text) == len(re.split(r"\s+", text))


@pytest.mark.parametrize(("words", "utf8_bytes"), [(0, 1), (1, 0)])
def test_nothing_to_divide_by(words: int, utf8_bytes: int) -> None:
    with pytest.raises(InputError, match="No token was scored"):
        scored(torch.zeros(1, 2), [0], words, utf8_bytes)


def test_no_token() -> None:
    with pytest.raises(InputError, match="No token was scored"):
        RunningLoss().value(1, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_no_numbers(bad: float) -> None:
    with pytest.raises(NotFiniteError, match="loss is not a number"):
        scored(torch.tensor([[0.0, bad]]), [0])
