"""Alignment of the leading vectors with all-ones and log frequency: against numpy's SVD, limits, invariances."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from saturation.errors import InputError, NotFiniteError
from saturation.measures import alignment
from saturation.measures.alignment import Alignment, align, correlation_by_chance, head_alignment, leading_vectors

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


def random_matrix(rows: int, columns: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, columns))


def orthogonal(rows: int, columns: int, seed: int) -> Array:
    return np.linalg.qr(random_matrix(rows, columns, seed))[0]


def random_counts(tokens: int, seed: int = 1) -> Counts:
    """A text that holds about two thirds of the vocabulary, some tokens hundreds of times."""
    return np.floor(np.random.default_rng(seed).exponential(1, tokens) ** 4 * 3).astype(np.int64)


def by_svd(weight: Array, counts: Counts, k: int) -> tuple[Array, Array, float]:
    """The definitions over again, from a full float64 SVD and pairs of tokens."""
    u, values, _ = np.linalg.svd(weight, full_matrices=False)
    u = u[:, :k][:, values[:k] > 1e-10 * values[0]]
    seen = [token for token, count in enumerate(counts) if count]
    logs = [math.log(counts[token]) for token in seen]
    ones = np.array([abs(sum(vector)) / math.sqrt(len(vector)) for vector in u.T])
    correlations = np.array([abs(stats.pearsonr(vector[seen], logs)[0]) for vector in u.T])
    design = np.column_stack([np.ones(len(seen)), u[seen]])
    fitted = design @ np.linalg.pinv(design) @ logs
    return ones, correlations, 1 - np.var(logs - fitted) / np.var(logs)


def leading_from_head(found: Alignment) -> tuple[list[float], list[float]]:
    return found.ones.tolist(), found.frequency.tolist()


class TestAgainstNumpy:
    @pytest.mark.parametrize("shape", [(300, 12), (5, 9), (40, 3), (12, 12), (8193, 10), (20_000, 17), (9, 1)])
    @pytest.mark.parametrize("offset", [0.0, 0.5, 30.0])
    def test_definitions(self, shape: tuple[int, int], offset: float) -> None:
        weight = random_matrix(*shape) + offset
        counts = random_counts(shape[0])
        counts[:4] = [1, 5, 2, 7]
        found = head_alignment(weight, counts)
        assert found.tokens_seen == sum(count > 0 for count in counts)
        for part, matrix in ((found.plain, weight), (found.centred, weight - weight.mean(axis=0))):
            ones, correlations, r_squared = by_svd(matrix, counts, 8)
            np.testing.assert_allclose(part.ones, ones, atol=1e-9, strict=True)
            np.testing.assert_allclose(part.frequency, correlations, atol=1e-8, strict=True)
            if found.tokens_seen >= len(ones) + 2:
                assert part.r_squared == pytest.approx(r_squared, abs=1e-8)
            else:
                assert math.isnan(part.r_squared)

    @pytest.mark.parametrize("rows", [300, 9000])
    @pytest.mark.parametrize("condition", [1e2, 9e3, 1.1e4, 1e6, 1e9])
    def test_vectors_of_small_values(self, condition: float, rows: int) -> None:
        """Whether the Gram matrix serves or a QR factorisation must."""
        values = np.geomspace(1, 1 / condition, 8)
        vectors = orthogonal(rows, 8, 1)
        weight = vectors * values @ orthogonal(12, 8, 2).T
        found = leading_vectors(weight)[0]
        np.testing.assert_allclose(found.values, values, rtol=1e-6)
        np.testing.assert_allclose(np.abs(np.sum(found.vectors * vectors, axis=0)), np.ones(8), atol=1e-10)

    def test_centred_vectors_under_a_mean_that_dwarfs_them(self) -> None:
        weight = random_matrix(9000, 16) * 1e-7 + 10 * random_matrix(1, 16, seed=1)
        expected = np.linalg.svd(weight - weight.mean(axis=0), full_matrices=False)[0][:, :8]
        found = leading_vectors(weight)[1]
        np.testing.assert_allclose(np.abs(np.sum(found.vectors * expected, axis=0)), np.ones(8), atol=1e-9)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float32])
    def test_the_files_numbers_are_taken_as_they_are(self, dtype: torch.dtype) -> None:
        weight = torch.from_numpy(random_matrix(200, 6)).to(dtype)
        ones, correlations, _ = by_svd(weight.double().numpy(), random_counts(200), 8)
        found = head_alignment(weight, random_counts(200)).plain
        np.testing.assert_allclose(found.ones, ones, atol=1e-12)
        np.testing.assert_allclose(found.frequency, correlations, atol=1e-12)


class TestByHand:
    def test_columns_along_two_axes(self) -> None:
        # u_1 = (1, 0, 0, 0), u_2 = (0, 1, 1, 0) / sqrt 2; log counts 0, 0, log 4 on the first three tokens.
        weight = torch.tensor([[3.0, 0], [0, 1], [0, 1], [0, 0]])
        found = head_alignment(weight, np.array([1, 1, 4, 0])).plain
        np.testing.assert_allclose(found.ones, [0.5, math.sqrt(2) / 2], rtol=1e-14)
        # (1, 0, 0) falls and (0, 1, 1) rises with (0, 0, log 4): both have |r| = 1/2.
        np.testing.assert_allclose(found.frequency, [0.5, 0.5], rtol=1e-14)
        # Turned for a positive correlation, u_1 is (-1, 0, 0, 0).
        assert found.bottom[0].tolist() == [0, 1, 2, 3]
        assert found.top[1].tolist() == [1, 2, 0, 3]
        np.testing.assert_allclose(found.bottom_entries[0], [-1, 0, 0, 0], atol=1e-15)
        np.testing.assert_allclose(found.top_entries[1], [0.5**0.5, 0.5**0.5, 0, 0], atol=1e-15)
        assert math.isnan(found.r_squared)  # three tokens, two vectors and an intercept explain everything

    def test_ten_at_each_end(self) -> None:
        vector = np.arange(-12.0, 18.0)[:, None]
        found = align(vector / np.linalg.norm(vector), np.arange(1, 31))
        assert found.top[0].tolist() == list(range(29, 19, -1))
        assert found.bottom[0].tolist() == list(range(10))
        np.testing.assert_allclose(found.top_entries[0] * np.linalg.norm(vector), range(17, 7, -1))
        turned = align(-vector / np.linalg.norm(vector), np.arange(1, 31))
        assert (turned.top.tolist(), turned.bottom.tolist()) == (found.top.tolist(), found.bottom.tolist())

    @pytest.mark.parametrize("pairs", [3, 4, 10, 1000, 50_000])
    def test_chance(self, pairs: int) -> None:
        """At the bound, the two-sided p-value of a correlation is 1 %."""
        bound = correlation_by_chance(pairs)
        t = bound * math.sqrt((pairs - 2) / (1 - bound**2))
        assert 2 * stats.t.sf(t, pairs - 2) == pytest.approx(0.01, rel=1e-6)
        if pairs >= 1000:
            assert bound == pytest.approx(2.5758 / math.sqrt(pairs), rel=2e-3)

    def test_chance_is_met_by_random_pairs(self) -> None:
        generator = np.random.default_rng(5)
        logs = np.log(generator.zipf(1.5, 50).astype(float))
        drawn = generator.standard_normal((20_000, 50))
        r = np.array([np.corrcoef(row, logs)[0, 1] for row in drawn])
        assert np.mean(np.abs(r) > correlation_by_chance(50)) == pytest.approx(0.01, abs=0.002)

    @pytest.mark.parametrize("pairs", [0, 1, 2])
    def test_too_few_pairs_for_chance(self, pairs: int) -> None:
        assert math.isnan(correlation_by_chance(pairs))


class TestLimits:
    counts = np.array([400, 90, 30, 9, 2, 1, 1, 0, 0, 0])

    def test_a_shift_of_all_logits(self) -> None:
        """W = 1 v^T: the softmax sees nothing of it."""
        weight = np.ones((10, 1)) @ random_matrix(1, 4)
        found = head_alignment(weight, self.counts)
        assert found.plain.ones.tolist() == pytest.approx([1.0], abs=1e-15)
        assert np.isnan(found.plain.frequency).tolist() == [True]
        assert found.plain.r_squared == 0
        np.testing.assert_allclose(found.plain.top_entries, np.full((1, 10), 10**-0.5))
        assert leading_from_head(found.centred) == ([], [])
        assert found.centred.top.shape == found.centred.bottom_entries.shape == (0, 10)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_a_direction_that_is_log_frequency(self, sign: int) -> None:
        logs = np.log(self.counts + 1.0)
        logs[self.counts > 0] = np.log(self.counts[self.counts > 0])
        weight = sign * np.outer(logs, [3.0, 4.0]) + 1e-3 * np.outer(orthogonal(10, 1, 3)[:, 0], [4.0, -3.0])
        found = head_alignment(weight, self.counts).plain
        assert found.frequency[0] == pytest.approx(1, abs=1e-5)
        assert found.ones[0] == pytest.approx(logs.sum() / math.sqrt(10) / np.linalg.norm(logs), rel=1e-5)
        assert found.r_squared == pytest.approx(1, abs=1e-5)
        assert found.top[0, :4].tolist() == [0, 1, 2, 3]

    def test_a_shift_and_a_frequency(self) -> None:
        """The shift comes first in W; without it, frequency does."""
        logs = np.log(self.counts + 0.5)
        weight = np.outer(np.ones(10), [50.0, 0, 0]) + np.outer(logs, [0, 1.0, 0])
        found = head_alignment(weight, self.counts)
        assert found.plain.ones[0] > 0.99
        assert found.centred.ones.tolist() == pytest.approx([0.0], abs=1e-14)
        assert found.centred.frequency[0] > 0.99
        assert len(found.plain.ones) == 2

    def test_rank_one(self) -> None:
        u = random_matrix(30, 1)
        found = head_alignment(u @ random_matrix(1, 5, seed=1), random_counts(30))
        assert found.plain.ones.tolist() == pytest.approx([abs(u.sum()) / math.sqrt(30) / np.linalg.norm(u)])
        assert len(found.centred.ones) == 1

    def test_wider_than_its_vocabulary(self) -> None:
        found = head_alignment(random_matrix(4, 9), np.array([3, 2, 1, 5]))
        assert found.plain.ones.shape == (4,)
        assert (found.plain.ones**2).sum() == pytest.approx(1)  # four orthonormal vectors span all of R^4
        assert found.centred.ones.shape == (3,)

    def test_equal_values_span_the_same_space(self) -> None:
        vectors = orthogonal(50, 4, 7)
        found = leading_vectors(vectors @ orthogonal(4, 4, 8))[0].vectors
        np.testing.assert_allclose(found @ found.T, vectors @ vectors.T, atol=1e-12)

    @pytest.mark.parametrize("counts", [[5, 5, 5, 5, 5, 5], [1, 1, 1, 0, 0, 0], [9, 1, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0]])
    def test_a_text_that_no_correlation_can_come_from(self, counts: list[int]) -> None:
        weight = random_matrix(6, 2) + 0.4
        found = head_alignment(weight, np.array(counts)).plain
        assert np.isnan(found.frequency).all()
        assert math.isnan(found.r_squared)
        assert (found.top_entries.sum(axis=1) > 0).all()  # all entries, as there are fewer than ten

    def test_a_vector_whose_entries_cancel_is_turned_by_its_largest(self) -> None:
        vector = np.array([[-0.8], [0.2], [0.3], [0.3]])
        found = align(vector / np.linalg.norm(vector), np.full(4, 3))
        assert found.top[0].tolist() == [0, 1, 2, 3]

    def test_r_squared_of_vectors_without_relation_is_what_chance_gives(self) -> None:
        found = [align(orthogonal(2000, 8, seed), random_counts(2000, seed)).r_squared for seed in range(30)]
        seen = np.mean([np.count_nonzero(random_counts(2000, seed)) for seed in range(30)])
        assert np.mean(found) == pytest.approx(8 / (seen - 1), rel=0.25)


class TestInvariances:
    weight = random_matrix(60, 8) + 0.7
    counts = random_counts(60)

    def assert_same(self, weight: Array, counts: Counts) -> None:
        for found, expected in zip(
            head_alignment(weight, counts)[:2], head_alignment(self.weight, self.counts)[:2], strict=True
        ):
            np.testing.assert_allclose(found.ones, expected.ones, atol=1e-10)
            np.testing.assert_allclose(found.frequency, expected.frequency, atol=1e-10)
            np.testing.assert_allclose(found.top_entries, expected.top_entries, atol=1e-10)
            assert found.r_squared == pytest.approx(expected.r_squared, abs=1e-10)

    @pytest.mark.parametrize("scale", [1e-20, -3.0, 1e15])
    def test_scale(self, scale: float) -> None:
        self.assert_same(self.weight * scale, self.counts)

    def test_rotation_of_the_hidden_space(self) -> None:
        self.assert_same(self.weight @ orthogonal(8, 8, 3), self.counts)

    def test_order_of_the_vocabulary(self) -> None:
        order = np.random.default_rng(4).permutation(60)
        self.assert_same(self.weight[order], self.counts[order])
        moved = head_alignment(self.weight[order], self.counts[order]).plain
        assert order[moved.top].tolist() == head_alignment(self.weight, self.counts).plain.top.tolist()

    def test_a_text_twice_as_long(self) -> None:
        self.assert_same(self.weight, 2 * self.counts)

    def test_a_shift_of_all_logits_is_unseen_by_the_centred_head_alone(self) -> None:
        shifted = head_alignment(self.weight + 100 * random_matrix(1, 8, seed=5), self.counts)
        here = head_alignment(self.weight, self.counts)
        np.testing.assert_allclose(shifted.centred.frequency, here.centred.frequency, atol=1e-9)
        assert shifted.plain.ones[0] > 0.999

    def test_the_head_is_not_changed(self) -> None:
        weight = torch.from_numpy(self.weight.copy())
        head_alignment(weight, self.counts)
        assert np.array_equal(weight.numpy(), self.weight)


class TestBadInput:
    @pytest.mark.parametrize("counts", [[1, 2], [0, 0, 0], [[1, 2, 3]], [1, -2, 3]])
    def test_counts(self, counts: list[int]) -> None:
        with pytest.raises(InputError, match="Token counts must be 3 numbers"):
            head_alignment(np.eye(3), np.array(counts))

    def test_heads(self) -> None:
        with pytest.raises(InputError, match="zero everywhere"):
            head_alignment(torch.zeros(4, 3), np.arange(4))
        with pytest.raises(InputError, match=r"must be a matrix \(vocab_size, hidden_size\)"):
            head_alignment(torch.zeros(4), np.arange(4))
        with pytest.raises(NotFiniteError, match="NaN or infinite"):
            head_alignment(torch.full((4, 3), math.nan), np.arange(4))

    def test_fewer_vectors_on_request(self) -> None:
        assert head_alignment(random_matrix(20, 5), random_counts(20), count=2).plain.ones.shape == (2,)
        assert alignment.LEADING == 8
