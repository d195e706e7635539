"""One pass over a text: windows, what is scored, what is kept in memory."""

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import pairwise_anisotropy

from saturation.errors import InputError, NotFiniteError, TextError
from saturation.measures import forward_pass
from saturation.measures.forward_pass import Parts, TextMeasures, measure_text, window_batches

VOCAB, WIDTH = 11, 4


class Block(torch.nn.Module):
    """Adds to each state a turn of the one before it, so that a position depends on its window."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.turn = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(seed))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        before = torch.nn.functional.pad(hidden_states, (0, 0, 1, 0))[:, :-1]
        return hidden_states + before @ self.turn


class Toy:
    """Embedding, two blocks (one called by keyword, as some architectures do), a doubling for a norm, a head."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.embedding = torch.randn(VOCAB, WIDTH, generator=generator)
        self.head = torch.randn(VOCAB, WIDTH, generator=generator)
        self.blocks = (Block(1), Block(2))
        self.seen: list[weakref.ref[torch.Tensor]] = []
        self.most_alive = 0

    def base(self, ids: torch.Tensor) -> torch.Tensor:
        states = self.blocks[1](hidden_states=self.blocks[0](self.embedding[ids]))
        states = 2 * states
        self.seen.append(weakref.ref(states))
        self.most_alive = max(self.most_alive, sum(state() is not None for state in self.seen))
        return states

    @property
    def parts(self) -> Parts:
        return Parts(self.base, self.blocks, lambda states: states @ self.head.T, VOCAB, torch.device("cpu"))


def some_tokens(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCAB, (count,), generator=torch.Generator().manual_seed(seed))


def measured(count: int, context_length: int, toy: Toy | None = None, **options: bool) -> TextMeasures:
    toy = toy or Toy()
    return measure_text(toy.parts, some_tokens(count), 3, context_length, words=5, utf8_bytes=9, **options)


def by_windows(count: int, context_length: int) -> tuple[list[torch.Tensor], float, int]:
    """States of every layer, total loss and right guesses, one window after another in the text's order."""
    toy, ids = Toy(), some_tokens(count).tolist()
    layers: list[list[torch.Tensor]] = [[], [], [], []]
    nats, right = 0.0, 0
    for start in range(0, count, context_length):
        targets = ids[start : start + context_length]
        inputs = [ids[start - 1] if start else 3, *targets[:-1]]
        first = toy.embedding[inputs][None]
        second = toy.blocks[0](first)
        third = toy.blocks[1](second)
        for held, states in zip(layers, (first, second, third, 2 * third), strict=True):
            held.append(states[0])
        logits = torch.log_softmax(2 * third[0].double() @ toy.head.double().T, dim=-1)
        nats -= float(logits[range(len(targets)), targets].sum())
        right += sum(int(row.argmax()) == target for row, target in zip(logits, targets, strict=True))
    return [torch.cat(states) for states in layers], nats, right


class TestWindows:
    @given(count=st.integers(1, 300), length=st.integers(1, 60))
    @settings(max_examples=80, deadline=None)
    def test_each_token_is_a_target_once_after_the_token_before_it(self, count: int, length: int) -> None:
        tokens = torch.arange(100, 100 + count)  # a token's id tells its place
        seen: list[int] = []
        for inputs, targets in window_batches(tokens, 99, length):
            assert inputs.shape == targets.shape
            assert inputs.shape[1] <= length
            assert torch.equal(inputs + 1, targets)
            for window in targets.tolist():
                assert window == list(range(window[0], window[0] + len(window)))
                assert (window[0] - 100) % length == 0
                seen += window
        assert sorted(seen) == tokens.tolist()

    @given(count=st.integers(1, 5000), length=st.integers(1, 300))
    @settings(max_examples=40, deadline=None)
    def test_a_batch_is_bounded(self, count: int, length: int) -> None:
        for inputs, _ in window_batches(torch.zeros(count, dtype=torch.long), 0, length):
            assert inputs.numel() <= max(length, forward_pass.TOKENS_PER_BATCH)

    def test_by_hand(self) -> None:
        batches = list(window_batches(torch.tensor([5, 6, 7, 8, 9]), 0, 2))
        assert sorted(zip(batches[0][0].tolist(), batches[0][1].tolist(), strict=True)) == [
            ([0, 5], [5, 6]),
            ([6, 7], [7, 8]),
        ]
        assert [part.tolist() for part in batches[1]] == [[[8]], [[9]]]

    def test_early_windows_come_from_all_over_the_text(self) -> None:
        targets = torch.cat([targets for _, targets in window_batches(torch.arange(64_000), 0, 64)])
        first = targets[:50, 0] / 64_000
        assert float(first.mean()) == pytest.approx(0.5, abs=0.02)
        assert torch.histc(first.float(), 5, 0, 1).tolist() == pytest.approx([10] * 5, abs=2)


class TestMeasures:
    @pytest.mark.parametrize(("count", "length"), [(2, 8), (8, 8), (9, 8), (40, 7), (40, 1), (41, 100), (4500, 64)])
    def test_equal_a_plain_loop(self, count: int, length: int) -> None:
        layers, nats, right = by_windows(count, length)
        found = measured(count, length)
        assert found.loss.nats_per_token == pytest.approx(nats / count, rel=1e-5)
        assert found.loss.bits_per_byte == pytest.approx(nats / 9 / np.log(2), rel=1e-5)
        assert found.loss.accuracy == pytest.approx(right / count, abs=1e-12)
        assert found.loss.tokens == found.anisotropy.tokens == count
        for centred, by_layer, before_norm in (
            (False, found.anisotropy.layers, found.anisotropy.last_before_norm),
            (True, found.anisotropy.centred_layers, found.anisotropy.centred_last_before_norm),
        ):
            expected = [pairwise_anisotropy(states.numpy(), centred) for states in layers]
            np.testing.assert_allclose([*by_layer[:2], before_norm, by_layer[2]], expected, rtol=0, atol=1e-6)

    def test_layers_are_the_embedding_and_each_block(self) -> None:
        assert len(measured(20, 8).anisotropy.layers) == 2 + 1

    def test_the_first_window_starts_with_the_end_of_text_token(self) -> None:
        toy, tokens = Toy(), torch.tensor([1, 2])
        losses = [
            measure_text(toy.parts, tokens, first, 8, words=1, utf8_bytes=1).loss.nats_per_token for first in (3, 4)
        ]
        assert abs(losses[0] - losses[1]) > 1e-3

    def test_one_measure_alone_gives_the_same_numbers(self) -> None:
        both = measured(100, 8)
        assert measured(100, 8, anisotropy=False) == TextMeasures(both.loss, None)
        assert measured(100, 8, loss=False) == TextMeasures(None, both.anisotropy)

    def test_progress_ends_at_the_number_of_tokens(self) -> None:
        told: list[tuple[int, int]] = []
        toy = Toy()
        measure_text(
            toy.parts,
            some_tokens(9000),
            3,
            16,
            words=1,
            utf8_bytes=1,
            progress=lambda done, total: told.append((done, total)),
        )
        assert told == [(4096, 9000), (8192, 9000), (8992, 9000), (9000, 9000)]

    @pytest.mark.parametrize("fails", [False, True])
    def test_the_model_is_left_without_hooks(self, fails: bool) -> None:
        toy = Toy()
        if fails:
            toy.embedding[2] = torch.nan
            with pytest.raises(NotFiniteError):
                measured(50, 8, toy)
        else:
            measured(50, 8, toy)
        assert [len(b._forward_hooks) + len(b._forward_pre_hooks) for b in toy.blocks] == [0, 0]


class TestMemory:
    @pytest.mark.parametrize("anisotropy", [False, True])
    def test_no_hidden_state_outlives_its_batch(self, monkeypatch: pytest.MonkeyPatch, anisotropy: bool) -> None:
        monkeypatch.setattr(forward_pass, "TOKENS_PER_BATCH", 64)
        toy = Toy()
        measured(64 * 100, 16, toy, anisotropy=anisotropy)
        assert len(toy.seen) == 100
        assert toy.most_alive <= 2  # the batch at hand, and the one before it while its name is rebound

    def test_what_is_held_does_not_grow_with_the_text(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sums = forward_pass.RunningCentredAnisotropy
        monkeypatch.setattr(forward_pass, "TOKENS_PER_BATCH", 64)
        monkeypatch.setattr(forward_pass, "RunningCentredAnisotropy", lambda expected: sums(expected, sample=256))
        held = [numbers_held_at_the_end(count) for count in (64 * 20, 64 * 200)]
        assert held[1] - held[0] < 2000  # of the 46,080 numbers a layer that the longer text adds


def numbers_held_at_the_end(count: int) -> int:
    """How many numbers all float tensors of this process hold after the last batch of a pass over `count` tokens."""
    held: list[int] = []

    def look(done: int, total: int) -> None:
        if done == total:
            live = (item for item in gc.get_objects() if type(item) is torch.Tensor and item.is_floating_point())
            held.append(sum(item.numel() for item in live))

    gc.collect()
    measure_text(Toy().parts, some_tokens(count), 3, 16, words=1, utf8_bytes=1, progress=look)
    return held[0]


class TestBadInput:
    @pytest.mark.parametrize("count", [0, 1])
    def test_too_short(self, count: int) -> None:
        with pytest.raises(TextError, match=rf"{count} token\(s\); at least two"):
            measured(count, 8)

    @pytest.mark.parametrize("token", [VOCAB, 1000])
    def test_a_tokenizer_of_another_model(self, token: int) -> None:
        with pytest.raises(InputError, match=f"gives token {token}, but the model's vocabulary ends at {VOCAB - 1}"):
            measure_text(Toy().parts, torch.tensor([1, token]), 0, 8, words=1, utf8_bytes=1)

    @pytest.mark.parametrize("where", ["embedding", "head"])
    def test_overflow(self, where: str) -> None:
        toy = Toy()
        getattr(toy, where)[:] = torch.inf
        pattern: Callable[[str], str] = {"embedding": "overflow", "head": "not a number"}.__getitem__
        with pytest.raises(NotFiniteError, match=pattern(where)):
            measured(50, 8, toy)
