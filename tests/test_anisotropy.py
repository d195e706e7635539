"""Anisotropy against the full cosine matrix: direct, running, and running beyond the sample."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import pairwise_anisotropy

from saturation.errors import InputError, NotFiniteError
from saturation.measures.anisotropy import RunningAnisotropy, RunningCentredAnisotropy, anisotropy

KINDS = pytest.mark.parametrize("centred", [False, True], ids=["plain", "centred"])


def cloud(count: int, width: int = 8, offset: float = 0.5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator) + offset


def running(vectors: torch.Tensor, block: int, centred: bool, sample: int | None = None) -> float:
    sums: RunningAnisotropy | RunningCentredAnisotropy = RunningAnisotropy()
    if centred:
        sums = RunningCentredAnisotropy(len(vectors), **({} if sample is None else {"sample": sample}))
    for part in vectors.split(block):
        sums.update(part)
    return sums.value()


def every_way(vectors: torch.Tensor, centred: bool) -> list[float]:
    return [
        pairwise_anisotropy(vectors.double().numpy(), centred),
        anisotropy(vectors, centred),
        running(vectors, len(vectors), centred),
        running(vectors, 1, centred),
    ]


class TestByHand:
    def test_three_vectors(self) -> None:
        # Cosines: 0 between the axes, sqrt(1/2) of each with the diagonal.
        vectors = torch.tensor([[2.0, 0], [0, 3], [1, 1]])
        assert every_way(vectors, False) == pytest.approx([2 * math.sqrt(0.5) / 3] * 4, abs=1e-7)

    def test_two_vectors(self) -> None:
        assert every_way(torch.tensor([[3.0, 4], [4, 3]]), False) == pytest.approx([24 / 25] * 4, abs=5e-7)

    def test_two_centred_vectors_are_opposite(self) -> None:
        assert every_way(torch.tensor([[3.0, 4], [4, 3]]), True) == pytest.approx([-1] * 4, abs=1e-7)

    def test_opposite_vectors(self) -> None:
        vectors = torch.tensor([[1.0, 2], [-1, -2]])
        assert every_way(vectors, False) == pytest.approx([-1] * 4, abs=1e-7)
        assert every_way(vectors, True) == pytest.approx([-1] * 4, abs=1e-7)

    def test_identical_vectors(self) -> None:
        vectors = torch.tensor([[0.1, 0.7, -3.0]]).repeat(9, 1)
        assert every_way(vectors, False) == pytest.approx([1] * 4, abs=5e-7)
        # Nothing is left of them without their mean: a zero vector has cosine 0 with all others.
        assert every_way(vectors, True)[1:] == [0, 0, 0]

    @pytest.mark.parametrize("zeros", [1, 2, 3])
    def test_zero_vectors_have_cosine_zero(self, zeros: int) -> None:
        vectors = torch.tensor([[1.0, 0], [1, 1], [2, 0]])
        vectors[:zeros] = 0
        assert every_way(vectors, False) == pytest.approx([1 / 3 * math.sqrt(0.5) * (zeros == 1)] * 4, abs=1e-7)

    def test_an_orthonormal_basis(self) -> None:
        assert every_way(torch.eye(6), False) == pytest.approx([0] * 4, abs=1e-7)
        # A regular simplex around its centre has the cosine -1 / (n - 1) in every pair.
        assert every_way(torch.eye(6), True) == pytest.approx([-1 / 5] * 4, abs=1e-7)


class TestInvariances:
    vectors = cloud(40)

    @KINDS
    def test_rotation(self, centred: bool) -> None:
        rotation = torch.linalg.qr(cloud(8, offset=0, seed=3)).Q
        assert anisotropy(self.vectors @ rotation, centred) == pytest.approx(
            anisotropy(self.vectors, centred), abs=1e-7
        )

    @KINDS
    @pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e-3, 1e3, 1e18, 1e30])
    def test_scale(self, centred: bool, scale: float) -> None:
        for found in every_way(self.vectors * scale, centred):
            assert found == pytest.approx(anisotropy(self.vectors, centred), abs=2e-7)

    def test_scale_of_single_vectors_is_unseen_without_centring(self) -> None:
        stretched = self.vectors * torch.linspace(0.1, 10, 40)[:, None]
        assert anisotropy(stretched) == pytest.approx(anisotropy(self.vectors), abs=1e-7)

    def test_a_common_offset_is_unseen_after_centring(self) -> None:
        assert anisotropy(self.vectors.double() + 1000, True) == pytest.approx(anisotropy(self.vectors, True), abs=1e-9)
        assert anisotropy(self.vectors + 1000) > 0.999


class TestRunning:
    @KINDS
    @pytest.mark.parametrize("block", [1, 2, 7, 64, 199, 200, 5000])
    def test_equals_the_cosine_matrix_for_every_block_size(self, block: int, centred: bool) -> None:
        vectors = cloud(200)
        expected = pairwise_anisotropy(vectors.double().numpy(), centred)
        assert running(vectors, block, centred) == pytest.approx(expected, abs=1e-7)

    @KINDS
    @settings(max_examples=40, deadline=None)
    @given(
        count=st.integers(2, 60),
        width=st.integers(1, 9),
        block=st.integers(1, 61),
        seed=st.integers(0, 999),
        offset=st.floats(-5, 5),
    )
    def test_equals_the_cosine_matrix(
        self, centred: bool, count: int, width: int, block: int, seed: int, offset: float
    ) -> None:
        vectors = cloud(count, width, offset, seed)
        expected = pairwise_anisotropy(vectors.double().numpy(), centred)
        assert running(vectors, block, centred) == pytest.approx(expected, abs=1e-6)
        assert anisotropy(vectors, centred) == pytest.approx(expected, abs=1e-9)

    @KINDS
    def test_half_precision_is_summed_in_more(self, centred: bool) -> None:
        vectors = cloud(3000).half()
        assert running(vectors, 100, centred) == pytest.approx(anisotropy(vectors.double(), centred), abs=1e-7)

    def test_vectors_given_are_not_kept_by_reference(self) -> None:
        vectors = cloud(50)
        sums = RunningCentredAnisotropy(50)
        sums.update(vectors)
        expected = sums.value()
        vectors.zero_()
        assert sums.value() == expected


class TestBeyondTheSample:
    """Every `stride`-th vector is held; the rest enters through sums around the mean so far."""

    @pytest.mark.parametrize("block", [128, 4096])
    @pytest.mark.parametrize(
        ("spread", "offset"), [(1, 0.5), (1e-2, 1), (1e-4, 1), (1e-5, 1)], ids=["cloud", "cone", "needle", "ray"]
    )
    def test_equals_the_exact_value(self, spread: float, offset: float, block: int) -> None:
        vectors = cloud(20_000, 16, 0) * spread + offset
        assert running(vectors, block, True, sample=1000) == pytest.approx(anisotropy(vectors, True), abs=1e-7)
        assert running(vectors, block, False) == pytest.approx(anisotropy(vectors), abs=1e-7)

    def test_clusters_of_equal_vectors(self) -> None:
        # An embedding layer: frequent words repeat the very same vector.
        words = cloud(300, 16, 0.2, seed=1)
        share = 1 / torch.arange(1, 301)
        chosen = torch.multinomial(share, 20_000, True, generator=torch.Generator().manual_seed(2))
        vectors = words[chosen]
        assert running(vectors, 512, True, sample=2000) == pytest.approx(anisotropy(vectors, True), abs=1e-6)

    @pytest.mark.parametrize("size", [10, 100, 1000])
    def test_massive_activations(self, size: float) -> None:
        # At the first position of a window, where models park attention: nearly one vector, far from the rest.
        vectors = cloud(20_000, 32)
        sinks = vectors[::128]
        vectors[::128] = size * (cloud(1, 32, seed=7) + 0.1 * cloud(len(sinks), 32, 0, seed=8))
        assert running(vectors, 4096, True) == pytest.approx(anisotropy(vectors, True), abs=1e-6)

    def test_a_drift_through_the_text(self) -> None:
        drift = torch.linspace(0, 2, 20_000)[:, None]
        vectors = cloud(20_000, 16, 0) + drift
        exact = anisotropy(vectors, True)
        # Windows come in an order spread over the text, so that the mean settles early: a part in a million.
        spread = vectors[torch.randperm(20_000, generator=torch.Generator().manual_seed(3))]
        assert running(spread, 512, True, sample=1000) == pytest.approx(exact, abs=1e-6)
        assert running(spread, 512, True) == pytest.approx(exact, abs=1e-7)
        # In the order of the text the first mean is one standard deviation off, and it still is close.
        assert running(vectors, 512, True, sample=1000) == pytest.approx(exact, abs=5e-5)
        assert running(vectors, 512, True) == pytest.approx(exact, abs=5e-6)

    def test_identical_vectors(self) -> None:
        vectors = torch.full((20_000, 4), 0.3)
        assert running(vectors, 512, True, sample=1000) == 0
        assert running(vectors, 512, False) == pytest.approx(1, abs=1e-7)

    def test_fewer_vectors_than_announced(self) -> None:
        vectors = cloud(150)
        sums = RunningCentredAnisotropy(100_000, sample=1000)
        sums.update(vectors)
        assert sums.value() == pytest.approx(anisotropy(vectors, True), abs=1e-9)

    def test_more_vectors_than_announced(self) -> None:
        vectors = cloud(5000)
        sums = RunningCentredAnisotropy(10, sample=1000)
        for part in vectors.split(100):
            sums.update(part)
        assert sums.value() == pytest.approx(anisotropy(vectors, True), abs=1e-6)

    def test_what_is_held_does_not_grow_with_the_text(self) -> None:
        for count in (20_000, 80_000):
            sums = RunningCentredAnisotropy(count, sample=1000)
            for seed in range(count // 500):
                sums.update(cloud(500, 4, seed=seed))
            assert sums._sampled.count == sum(len(block) for block, _ in sums._sampled.by_centre()) == 1000
            assert len(sums._sampled._rows) == 1000
            assert not sums._held


class TestBadInput:
    @pytest.mark.parametrize("count", [0, 1])
    @KINDS
    def test_too_few(self, count: int, centred: bool) -> None:
        with pytest.raises(InputError, match="at least two vectors"):
            running(torch.ones(count, 3), 5, centred)
        with pytest.raises(InputError, match="at least two vectors"):
            anisotropy(torch.ones(count, 3), centred)

    def test_nothing_at_all(self) -> None:
        for sums in (RunningAnisotropy(), RunningCentredAnisotropy(5)):
            with pytest.raises(InputError, match="at least two vectors"):
                sums.value()

    @pytest.mark.parametrize("shape", [(4,), (2, 3, 4)])
    def test_shape(self, shape: tuple[int, ...]) -> None:
        for update in (RunningAnisotropy().update, RunningCentredAnisotropy(5).update, anisotropy):
            with pytest.raises(InputError, match=r"vectors of shape \(n, hidden_size\)"):
                update(torch.ones(shape))

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    @KINDS
    def test_not_finite(self, bad: float, centred: bool) -> None:
        vectors = cloud(5)
        vectors[1, 2] = bad
        for measure in (lambda: running(vectors, 2, centred), lambda: anisotropy(vectors, centred)):
            with pytest.raises(NotFiniteError, match="NaN or infinite"):
                measure()
