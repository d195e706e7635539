"""Singular values of the head and the numbers that sum them up: hand-worked, invariances, limits, bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from saturation.errors import InputError, NotFiniteError
from saturation.measures import spectrum
from saturation.measures.spectrum import head_spectra, singular_values

Array = NDArray[np.float64]


def random_matrix(rows: int, columns: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, columns))


def orthogonal(rows: int, columns: int, seed: int) -> Array:
    return np.linalg.qr(random_matrix(rows, columns, seed))[0]


def with_singular_values(values: Array, rows: int) -> Array:
    return orthogonal(rows, len(values), 1) * values @ orthogonal(len(values), len(values), 2).T


class TestSingularValues:
    def test_by_hand(self) -> None:
        # [[3, 0], [4, 5]]: W^T W = [[25, 20], [20, 25]] has the eigenvalues 45 and 5.
        np.testing.assert_allclose(singular_values(torch.tensor([[3.0, 0], [4, 5]])), [math.sqrt(45), math.sqrt(5)])

    def test_centred_by_hand(self) -> None:
        # The row mean of [[1, 2], [3, 2], [5, 2]] is (3, 2); what is left is (-2, 0), (0, 0), (2, 0).
        weight = torch.tensor([[1.0, 2], [3, 2], [5, 2]])
        np.testing.assert_allclose(singular_values(weight, centred=True), [math.sqrt(8), 0], atol=1e-15)

    @pytest.mark.parametrize("centred", [False, True])
    @pytest.mark.parametrize("shape", [(300, 7), (7, 7), (5, 9), (8192, 3), (8193, 3), (20_000, 5)])
    def test_equal_numpys(self, shape: tuple[int, int], centred: bool) -> None:
        weight = random_matrix(*shape) + 0.3
        expected = np.linalg.svd(weight - centred * weight.mean(axis=0), compute_uv=False)
        found = singular_values(torch.from_numpy(weight), centred)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * expected[0], strict=True)

    def test_one_value_a_column_in_descending_order(self) -> None:
        values = singular_values(random_matrix(50, 12))
        assert values.shape == (12,)
        assert (np.diff(values) < 0).all()

    @pytest.mark.parametrize("rows", [300, 9000])
    @pytest.mark.parametrize("condition", [1e2, 1e3, 9e3, 1.1e4, 1e5, 1e6, 1e7, 1e8, 1e9])
    def test_every_condition_number(self, condition: float, rows: int) -> None:
        expected = np.geomspace(1, 1 / condition, 24)
        found = singular_values(with_singular_values(expected, rows))
        np.testing.assert_allclose(found, expected, rtol=1e-7)

    def test_one_small_value_below_many_equal_ones(self) -> None:
        """The hardest shape for products of the rows: near the limit of the condition number, at the full size."""
        expected = np.append(np.ones(255), 1 / 9.9e3)
        left, right = (np.linalg.qr(np.random.default_rng(0).normal(size=(rows, 256)))[0] for rows in (4000, 256))
        weight = torch.from_numpy((left * expected) @ right.T)
        np.testing.assert_allclose(singular_values(weight), expected, rtol=1e-7)

    @pytest.mark.parametrize("spread", [1e-1, 1e-4, 1e-7])
    def test_centred_values_under_a_mean_that_dwarfs_them(self, spread: float) -> None:
        # The collapse that the paper describes: one common direction, and little else.
        weight = random_matrix(9000, 16) * spread + 10 * random_matrix(1, 16, seed=1)
        expected = np.linalg.svd(weight - weight.mean(axis=0), compute_uv=False)
        np.testing.assert_allclose(singular_values(weight, centred=True), expected, rtol=1e-7)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float32])
    def test_the_files_numbers_are_taken_as_they_are(self, dtype: torch.dtype) -> None:
        weight = torch.from_numpy(random_matrix(200, 6)).to(dtype)
        expected = np.linalg.svd(weight.to(torch.float64).numpy(), compute_uv=False)
        np.testing.assert_allclose(singular_values(weight), expected, rtol=1e-12)

    def test_the_memory_layout_does_not_matter(self) -> None:
        weight = torch.from_numpy(random_matrix(40, 90))
        np.testing.assert_allclose(
            singular_values(weight.T[::2, ::5]), np.linalg.svd(weight.numpy().T[::2, ::5], compute_uv=False)
        )

    def test_the_head_is_not_changed(self) -> None:
        weight = torch.from_numpy(random_matrix(30, 4))
        before = weight.clone()
        head_spectra(weight)
        assert torch.equal(weight, before)

    def test_trainable_weights_can_be_given(self) -> None:
        weight = torch.nn.Parameter(torch.eye(3))
        np.testing.assert_allclose(singular_values(weight), [1, 1, 1])


class TestInvariances:
    weight = random_matrix(60, 8)

    @settings(max_examples=25, deadline=None)
    @given(scale=st.floats(-18, 18).map(lambda power: 10**power))
    def test_scale(self, scale: float) -> None:
        for centred in (False, True):
            found = singular_values(self.weight * scale, centred)
            np.testing.assert_allclose(found, scale * singular_values(self.weight, centred), rtol=1e-10)

    def test_rotation_of_the_hidden_space(self) -> None:
        rotated = self.weight @ orthogonal(8, 8, 3)
        for found, expected in zip(head_spectra(rotated), head_spectra(self.weight), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10)

    def test_order_of_the_vocabulary(self) -> None:
        shuffled = self.weight[np.random.default_rng(4).permutation(60)]
        for found, expected in zip(head_spectra(shuffled), head_spectra(self.weight), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10)

    def test_a_shift_of_all_logits_is_unseen_by_the_centred_spectrum_alone(self) -> None:
        shifted = self.weight + 100 * random_matrix(1, 8, seed=5)
        np.testing.assert_allclose(head_spectra(shifted).centred, head_spectra(self.weight).centred, rtol=1e-8)
        assert head_spectra(shifted).plain[0] > 10 * head_spectra(self.weight).plain[0]


class TestLimits:
    def test_identity(self) -> None:
        plain, centred = head_spectra(torch.eye(5))
        np.testing.assert_allclose(plain, np.ones(5))
        np.testing.assert_allclose(centred, [1, 1, 1, 1, 0], atol=1e-15)  # I - 11^T / 5 is a projection
        assert spectrum.singular_entropy(plain) == pytest.approx(0, abs=1e-14)
        assert spectrum.effective_rank(plain) == pytest.approx(5)
        assert spectrum.stable_rank(plain) == pytest.approx(5)
        assert spectrum.condition_number(plain) == pytest.approx(1)

    def test_rank_one(self) -> None:
        weight = np.outer(random_matrix(40, 1), random_matrix(1, 6, seed=1))
        values = singular_values(weight)
        assert values[0] == pytest.approx(np.linalg.norm(weight), rel=1e-12)
        np.testing.assert_allclose(values[1:], 0, atol=1e-14 * values[0])
        assert spectrum.singular_entropy(values) == pytest.approx(math.log(6), abs=1e-12)
        assert spectrum.effective_rank(values) == pytest.approx(1, rel=1e-12)
        assert spectrum.stable_rank(values) == pytest.approx(1, rel=1e-12)
        assert spectrum.top_share(values) == pytest.approx(1, rel=1e-12)

    def test_the_value_that_is_zero_is_left_out_of_the_entropy(self) -> None:
        assert spectrum.singular_entropy(np.array([1.0, 1.0, 0.0])) == pytest.approx(math.log(1.5))
        assert spectrum.condition_number(np.array([1.0, 1.0, 0.0])) == math.inf


class TestSummaries:
    values = np.array([3.0, 2.0, 1.0])

    def test_by_hand(self) -> None:
        # p = 1/2, 1/3, 1/6; entropy = log 2 / 2 + log 3 / 3 + log 6 / 6.
        entropy = math.log(2) / 2 + math.log(3) / 3 + math.log(6) / 6
        assert spectrum.singular_entropy(self.values) == pytest.approx(math.log(3) - entropy, rel=1e-14)
        assert spectrum.effective_rank(self.values) == pytest.approx(math.exp(entropy), rel=1e-14)
        assert spectrum.stable_rank(self.values) == pytest.approx(14 / 9, rel=1e-14)
        assert spectrum.top_share(self.values) == 0.5
        assert spectrum.condition_number(self.values) == 3

    def test_w_error_by_hand(self) -> None:
        expected = [1, math.sqrt(5 / 14), math.sqrt(1 / 14), 0]
        np.testing.assert_allclose(spectrum.w_error(self.values), expected, rtol=1e-14)

    def test_w_error_is_that_of_the_truncated_matrix(self) -> None:
        weight = random_matrix(30, 6)
        u, s, v = np.linalg.svd(weight, full_matrices=False)
        errors = spectrum.w_error(singular_values(weight))
        for rank in range(7):
            truncated = (u[:, :rank] * s[:rank]) @ v[:rank]
            relative = np.linalg.norm(weight - truncated) / np.linalg.norm(weight)
            assert errors[rank] == pytest.approx(relative, abs=1e-10)

    def test_w_error_keeps_small_tails(self) -> None:
        errors = spectrum.w_error(np.array([1.0, 1e-6, 1e-9]))
        np.testing.assert_allclose(errors[2], 1e-9, rtol=1e-6)

    @given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30))
    def test_bounds(self, values: list[float]) -> None:
        given_values, n = np.array(values), len(values)
        assert 0 <= spectrum.singular_entropy(given_values) <= math.log(n) + 1e-12
        assert 1 - 1e-9 <= spectrum.effective_rank(given_values) <= n + 1e-9
        assert 1 - 1e-9 <= spectrum.stable_rank(given_values) <= n + 1e-9
        assert 1 / n - 1e-12 <= spectrum.top_share(given_values) <= 1

    @pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, math.nan], [1.0, math.inf], [1.0, -1e-20]])
    @pytest.mark.parametrize(
        "summary",
        ["singular_entropy", "effective_rank", "stable_rank", "top_share", "condition_number", "w_error"],
    )
    def test_what_is_no_spectrum_is_refused(self, summary: str, bad: list[float]) -> None:
        with pytest.raises(InputError, match="A spectrum needs finite singular values"):
            getattr(spectrum, summary)(np.array(bad))


class TestBadHeads:
    @pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 3), (3, 0), ()])
    def test_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(InputError, match=r"must be a matrix \(vocab_size, hidden_size\)"):
            head_spectra(torch.ones(shape))

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
    def test_not_finite(self, bad: float, dtype: torch.dtype) -> None:
        weight = torch.ones(4, 3, dtype=dtype)
        weight[2, 1] = bad
        with pytest.raises(NotFiniteError, match="NaN or infinite"):
            head_spectra(weight)

    def test_zero(self) -> None:
        with pytest.raises(InputError, match="zero everywhere"):
            head_spectra(torch.zeros(4, 3))
