"""The language of known rank, heads trained on it, and the bound of theorem 5.3."""

import math
from itertools import pairwise

import numpy as np
import pytest

from saturation.errors import InputError
from saturation.measures.playground import (
    CLOSED,
    LEAST_NARROW_GAP,
    RankedLanguage,
    bound,
    conditional_entropy,
    log_softmax,
    loss_gap,
)
from saturation.measures.playground_training import train_width

SMALL = RankedLanguage(rank=4, vocab_size=64, contexts=128, logit_scale=2.0)
# Two contexts, three tokens: probabilities that a head of width 1 can give, for their logits differ by one direction.
TINY = np.log([[0.5, 0.25, 0.25], [0.2, 0.4, 0.4]])


class TestByHand:
    def test_softmax_of_logits_up_to_a_constant_a_row(self) -> None:
        assert log_softmax(np.add(TINY, [[3.0], [-700.0]])) == pytest.approx(TINY)

    def test_entropy(self) -> None:
        first = 0.5 * math.log(2) + 0.5 * math.log(4)
        second = 0.2 * math.log(5) + 0.8 * math.log(2.5)
        assert conditional_entropy(TINY) == pytest.approx((first + second) / 2, abs=1e-15)

    def test_gap_is_the_mean_divergence(self) -> None:
        uniform = np.zeros((2, 3))
        assert loss_gap(TINY, uniform) == pytest.approx(math.log(3) - conditional_entropy(TINY), abs=1e-15)
        assert loss_gap(TINY, TINY + 5.0) == pytest.approx(0.0, abs=1e-15)

    def test_entropy_of_even_probabilities_is_the_log_of_their_number(self) -> None:
        assert conditional_entropy(log_softmax(np.zeros((3, 7)))) == pytest.approx(math.log(7))

    def test_order_of_contexts_and_tokens_changes_nothing(self) -> None:
        table, model = SMALL.log_probabilities, SMALL.logits * 0.7
        rows, columns = np.random.default_rng(1).permutation(128), np.random.default_rng(2).permutation(64)
        assert conditional_entropy(table[rows][:, columns]) == pytest.approx(conditional_entropy(table), rel=1e-13)
        moved = loss_gap(table[rows][:, columns], model[rows][:, columns])
        assert moved == pytest.approx(loss_gap(table, model), rel=1e-12)


class TestLanguage:
    @pytest.mark.parametrize("zipf", [0.0, 1.0])
    @pytest.mark.parametrize(("rank", "vocab", "contexts"), [(2, 64, 64), (5, 128, 64), (16, 512, 256)])
    def test_logits_have_the_rank_also_without_the_mean_of_each_row(
        self, rank: int, vocab: int, contexts: int, zipf: float
    ) -> None:
        language = RankedLanguage(rank, vocab, contexts, zipf, logit_scale=2.0, seed=3)
        centred = language.logits - language.logits.mean(axis=1, keepdims=True)
        values = np.linalg.svd(centred, compute_uv=False)
        assert values[rank] < 1e-11 * values[0]
        assert values[:rank] / math.sqrt(contexts) == pytest.approx(language.singular_values, rel=1e-10)
        assert values[rank - 1] > 0.1 * values[0]

    def test_contexts_are_whitened_so_that_the_token_factors_are_the_ideal_head(self) -> None:
        assert SMALL.context_factors.T @ SMALL.context_factors == pytest.approx(128 * np.eye(4), abs=1e-10)
        assert SMALL.token_factors.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-12)
        assert np.linalg.svd(SMALL.token_factors, compute_uv=False) == pytest.approx(SMALL.singular_values)

    def test_one_direction_is_the_log_of_zipfs_law_in_every_context(self) -> None:
        law = -1.0 * np.log(np.arange(1, 65))
        assert SMALL.context_factors[:, 0].tolist() == [1.0] * 128
        assert SMALL.token_factors[:, 0] == pytest.approx(law - law.mean())

    def test_the_other_logits_have_the_standard_deviation_asked_for(self) -> None:
        rest = SMALL.context_factors[:, 1:] @ SMALL.token_factors[:, 1:].T
        assert math.sqrt(np.square(rest).mean()) == pytest.approx(2.0, rel=1e-12)

    def test_entropy_against_numpy(self) -> None:
        exponentials = np.exp(SMALL.logits)
        table = exponentials / exponentials.sum(axis=1, keepdims=True)
        assert SMALL.entropy == pytest.approx(-(table * np.log(table)).sum() / 128, rel=1e-13)

    def test_tail_and_w_error_are_those_of_the_best_head_of_a_width(self) -> None:
        u, values, v = np.linalg.svd(SMALL.token_factors, full_matrices=False)
        for width in range(5):
            best = (u[:, :width] * values[:width]) @ v[:width]
            error = np.linalg.norm(SMALL.token_factors - best)
            assert SMALL.tail(width) == pytest.approx(error, abs=1e-10)
            assert SMALL.w_error(width) == pytest.approx(error / np.linalg.norm(SMALL.token_factors), abs=1e-12)
        assert (SMALL.w_error(0), SMALL.tail(4), SMALL.tail(99)) == (1.0, 0.0, 0.0)

    def test_a_seed_fixes_the_language_and_another_changes_it(self) -> None:
        again = RankedLanguage(rank=4, vocab_size=64, contexts=128, logit_scale=2.0)
        assert np.array_equal(again.logits, SMALL.logits)
        other = RankedLanguage(rank=4, vocab_size=64, contexts=128, logit_scale=2.0, seed=1)
        assert np.abs(other.logits - SMALL.logits).max() > 1.0

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"rank": 1}, "rank is 1, but here it must lie between 2 and 32"),
            ({"rank": 33, "vocab_size": 4096}, "rank is 33"),
            ({"vocab_size": 4096, "contexts": 1024}, "1,024 contexts by 4,096 tokens take too long .* 2,097,152"),
            ({"rank": 16, "vocab_size": 63}, "vocab_size is 63, but here it must lie between 64 and 4096"),
            ({"rank": 24, "vocab_size": 90}, "vocab_size is 90, but here it must lie between 96 and 4096"),
            ({"contexts": 5000}, "contexts is 5000"),
            ({"zipf_exponent": -0.5}, "zipf_exponent is -0.5"),
            ({"zipf_exponent": math.nan}, "zipf_exponent is nan"),
            ({"logit_scale": 0.0}, "logit_scale is 0.0, but here it must lie between 0.1 and 3"),
            ({"logit_scale": math.inf}, "logit_scale is inf"),
            ({"seed": -1}, "seed is -1"),
            ({"rank": 32}, "A head of width 31 would come too near the entropy .* lower rank"),
            ({"logit_scale": 0.2}, "bring logit_scale nearer to 2"),
            ({"zipf_exponent": 0.05}, "raise zipf_exponent, or set it to 0"),
        ],
    )
    def test_what_cannot_be_played_is_refused(self, changes: dict, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            RankedLanguage(**changes)


class TestTraining:
    def test_a_head_of_width_one_reaches_what_differs_in_one_direction(self) -> None:
        trained = train_width(TINY, 1, steps=300)
        assert trained.gap < 1e-6
        assert trained.gap == trained.curve_gaps[-1]

    def test_width_one_of_two_directions_against_a_search(self) -> None:
        """Three contexts that each prefer another of three tokens: logits of rank 2, met best by a line.

        The optimum is found here by a search over all lines through the origin and shifts along them.
        """
        from scipy.optimize import minimize

        table = log_softmax(2.0 * np.eye(3))

        def gap(values: np.ndarray) -> float:
            return loss_gap(table, np.outer(values[:3], values[3:]))

        starts = np.random.default_rng(0).standard_normal((20, 6))
        best = min(minimize(gap, start).fun for start in starts)
        assert train_width(table, 1, steps=500).gap == pytest.approx(best, rel=1e-3)
        assert best > 0.1

    def test_uniform_probabilities_are_met_by_any_width(self) -> None:
        assert train_width(np.full((4, 5), -math.log(5)), 1, steps=200).gap < 1e-6

    @pytest.mark.parametrize(
        "language",
        [
            SMALL,
            RankedLanguage(rank=2, vocab_size=256, contexts=128, logit_scale=3.0, seed=1),
            RankedLanguage(rank=3, vocab_size=128, contexts=128, zipf_exponent=0.0, logit_scale=3.0),
            RankedLanguage(rank=8, vocab_size=128, contexts=256, zipf_exponent=1.25, logit_scale=2.0, seed=2),
            RankedLanguage(rank=12, vocab_size=256, contexts=128, zipf_exponent=0.5, logit_scale=1.5, seed=4),
        ],
        ids=lambda language: f"{language.rank}-{language.vocab_size}-{language.zipf_exponent:g}-{language.seed}",
    )
    def test_the_gap_closes_at_the_rank_and_not_before_and_stays_under_the_bound(
        self, language: RankedLanguage
    ) -> None:
        rank = language.rank
        widths = sorted({1, 2, rank // 2, rank - 1, rank, rank + 1, 2 * rank} - {0})
        gaps = [train_width(language.log_probabilities, width).gap for width in widths]
        for width, gap in zip(widths, gaps, strict=True):
            assert (gap < CLOSED) == (width >= rank), (width, gap)
        below = [gap for width, gap in zip(widths, gaps, strict=True) if width <= rank]
        assert all(wider < narrower for narrower, wider in pairwise(below))
        if rank > 2:
            found = bound(widths, [language.tail(width) for width in widths], gaps)
            assert (found.fitted_on, found.above) == ((1, 2), ())

    def test_no_start_is_caught_in_a_minimum_that_is_not_the_best(self) -> None:
        """From these seeds a head that has width 2 from the start ends 0.29 nats above the entropy."""
        for seed, start in ((0, 100), (2, 2), (2, 100)):
            language = RankedLanguage(2, 64, 64, zipf_exponent=0.0, logit_scale=3.0, seed=seed)
            assert train_width(language.log_probabilities, 2, seed=start).gap < CLOSED

    def test_the_curve_is_that_of_the_final_width(self) -> None:
        told: list[tuple[int, int]] = []
        trained = train_width(SMALL.log_probabilities, 3, steps=400, report=lambda *done: told.append(done))
        assert (trained.steps, trained.curve_steps[0], trained.curve_steps[-1]) == (400, 120, 400)
        assert (np.diff(trained.curve_steps) > 0).all()
        assert trained.curve_gaps.min() >= 0
        assert trained.curve_gaps[-1] < trained.curve_gaps[0]
        assert (told[0], told[-1]) == ((0, 400), (398, 400))

    def test_a_seed_fixes_the_result(self) -> None:
        first, again, other = (train_width(SMALL.log_probabilities, 2, steps=60, seed=seed).gap for seed in (0, 0, 1))
        assert first == again
        assert first != other

    @pytest.mark.parametrize(
        ("table", "width", "settings", "sentence"),
        [
            (TINY[0], 1, {}, r"a table \(contexts, vocab_size\); got the shape \(3,\)"),
            (TINY + 0.1, 1, {}, "do not add up to 1"),
            (TINY, 0, {}, "A head of width 0 does not exist"),
            (TINY, 1, {"steps": 0}, "0 steps at the rate 0.1 do not train"),
            (TINY, 1, {"learning_rate": -1.0}, "at the rate -1 do not train"),
        ],
    )
    def test_bad_input(self, table: np.ndarray, width: int, settings: dict, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            train_width(table, width, **settings)

    def test_the_number_of_threads_is_left_as_it_was(self) -> None:
        import torch

        before = torch.get_num_threads()
        train_width(TINY, 1, steps=2)
        assert torch.get_num_threads() == before


class TestBound:
    widths, tails = (1, 2, 4, 8), (4.0, 3.0, 2.0, 0.0)

    def test_the_constant_is_the_larger_of_two_ratios(self) -> None:
        found = bound(self.widths, self.tails, [2.0, 1.8, 1.0, 0.001])
        assert found.constant == pytest.approx(0.6)
        assert found.values == pytest.approx((2.4, 1.8, 1.2, 0.0))
        assert (found.fitted_on, found.above, found.holds) == ((1, 2), (), True)

    def test_a_gap_above_it_and_one_that_is_not_closed_are_named(self) -> None:
        found = bound(self.widths, self.tails, [2.0, 1.8, 1.3, 0.02])
        assert (found.above, found.holds) == ((4, 8), False)

    def test_a_constant_of_wider_heads_is_too_small_for_narrower_ones(self) -> None:
        found = bound(self.widths, self.tails, [2.0, 1.2, 0.4, 0.0], fitted_on=(2, 4))
        assert found.constant == pytest.approx(0.4)
        assert found.above == (1,)

    def test_order_of_the_widths_does_not_matter(self) -> None:
        found = bound(self.widths[::-1], self.tails[::-1], [0.001, 1.0, 1.8, 2.0])
        assert (found.constant, found.fitted_on) == (pytest.approx(0.6), (1, 2))
        assert found.values == pytest.approx((0.0, 1.2, 1.8, 2.4))

    @pytest.mark.parametrize(
        ("widths", "tails", "gaps", "fitted", "sentence"),
        [
            ((1, 2), (2.0, 1.0), (1.0, 0.5), None, "at least three different widths"),
            ((1, 2, 2), (2.0, 1.0, 1.0), (1.0, 0.5, 0.5), None, "at least three different widths"),
            ((1, 4, 8), (2.0, 0.0, 0.0), (1.0, 0.0, 0.0), None, "on the widths 1 and 4"),
            ((1, 2, 4), (3.0, 2.0, 1.0), (1.0, 0.5, 0.1), (2, 3), "on the widths 2 and 3"),
            ((1, 2, 4), (3.0, 2.0, 1.0), (1.0, 0.5, 0.1), (2, 2), "on the widths 2 and 2"),
            ((1, 2, 4), (3.0, 2.0, 1.0), (1.0, math.nan, 0.1), None, "finite gaps and tails"),
        ],
    )
    def test_bad_input(self, widths: tuple, tails: tuple, gaps: tuple, fitted: tuple | None, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            bound(widths, tails, gaps, fitted)


def test_the_estimate_refuses_no_default_and_falls_with_the_rank() -> None:
    estimates = [RankedLanguage(rank=rank).narrow_gap for rank in (4, 8, 16)]
    assert estimates == sorted(estimates, reverse=True)
    assert estimates[-1] > LEAST_NARROW_GAP
