"""Change points and turns: hand-made kinks, the shapes of the paper, and error rates under simulated noise."""

import numpy as np
import pytest

from saturation.errors import InputError
from saturation.measures.changes import changes
from saturation.measures.pieces import cut

PYTHIA = np.array([0, *(2**power for power in range(10)), *range(1000, 144_000, 1000)])


def cone(steps: np.ndarray) -> np.ndarray:
    """Anisotropy of a small Pythia: 0.3, then 0.97 about step 60,000."""
    return 0.3 + 0.67 / (1 + np.exp(-(steps - 60_000) / 3000))


def entropy(steps: np.ndarray) -> np.ndarray:
    """Singular entropy of a small Pythia: falls to 0.3, jumps to 4 from step 50,000 on."""
    return np.where(
        steps < 50_000, 0.3 + 0.9 * np.exp(-steps / 8000), 0.3 * np.exp(np.minimum((steps - 50_000) / 8000, 2.6))
    )


def drifting(count: int, size: float, correlation: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, size, count)
    for place in range(1, count):
        noise[place] = correlation * noise[place - 1] + np.sqrt(1 - correlation**2) * noise[place]
    return noise


def test_two_straight_pieces_are_found_exactly() -> None:
    steps = np.arange(0, 4000, 100)
    values = np.where(steps < 2000, 1.0 - steps / 4000, 0.5 + (steps - 2000) / 2000)
    found = changes(steps, values, 0.05)
    assert found.change_points == (2000,)
    assert found.fitted == pytest.approx(values[1:])
    assert (found.turn.step, found.turn.spacing, found.turn.low_step) == (2000, 100, 2000)
    assert (found.turn.low, found.turn.last) == pytest.approx((0.5, 0.5 + 1900 / 2000))


def test_the_cut_is_the_best_of_all_cuts() -> None:
    places, values = np.linspace(0, 1, 12), np.random.default_rng(1).normal(size=12)

    def cost(ends: tuple[int, ...]) -> float:
        total, start = 0.0, 0
        for end in ends:
            fit = np.polyfit(places[start:end], values[start:end], 1)
            total += float(((values[start:end] - np.polyval(fit, places[start:end])) ** 2).sum()) + 0.8
            start = end
        return total

    cuts = [(12,)] + [(a, 12) for a in range(3, 10)] + [(a, b, 12) for a in range(3, 7) for b in range(a + 3, 10)]
    cuts += [(3, 6, 9, 12)]
    assert tuple(cut(places, values, 0.8, 3)) == min(cuts, key=cost)


def test_uneven_spacing_bends_no_straight_line() -> None:
    assert changes(PYTHIA, 1.0 + PYTHIA / 143_000, 0.05).change_points == ()


@pytest.mark.parametrize("size", [0.0, 0.005, 0.02])
def test_the_papers_cone_turns_where_it_leaves_its_base(size: float) -> None:
    for seed in range(10):
        found = changes(PYTHIA, cone(PYTHIA) + drifting(len(PYTHIA), size, 0.0, seed), 0.05)
        assert 45_000 <= found.turn.step <= 56_000
        assert found.turn.last == pytest.approx(0.97, abs=4 * size + 1e-3)  # a measured value, with its noise


@pytest.mark.parametrize("size", [0.0, 0.01, 0.05])
def test_the_papers_entropy_turns_at_its_minimum(size: float) -> None:
    for seed in range(10):
        values = np.log(entropy(PYTHIA)) + drifting(len(PYTHIA), size, 0.0, seed)
        assert abs(changes(PYTHIA, values, np.log1p(0.1)).turn.step - 50_000) <= 3000


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize(("size", "count"), [(0.002, 20), (0.02, 20), (0.1, 20), (0.02, 154)])
def test_flat_and_falling_curves_hardly_ever_turn(correlation: float, size: float, count: int) -> None:
    steps = np.linspace(1000, 143_000, count).astype(int)
    false = sum(
        changes(steps, base + drifting(count, size, correlation, seed), 0.05).turn is not None
        for seed in range(60)
        for base in (0.2, 0.5 - 0.3 * steps / 143_000)
    )
    assert false <= 4  # of 120


def test_the_first_steps_are_no_low() -> None:
    steps = np.array([0, 1, 2, 4, *range(1000, 21_000, 1000)])
    values = np.r_[0.01, 0.1, 0.3, 0.5, np.linspace(1.0, 0.5, 20)]
    assert changes(steps, values, 0.05).turn is None


def test_a_rise_that_came_back_is_no_turn() -> None:
    steps = np.arange(0, 40)
    values = np.r_[np.linspace(1, 0.2, 15), np.linspace(0.2, 0.9, 10), np.linspace(0.85, 0.2, 15)]
    assert changes(steps, values, 0.05).turn is None


def test_a_rise_below_the_least_is_no_turn() -> None:
    steps = np.arange(0, 40)
    values = np.r_[np.linspace(1, 0.2, 20), np.linspace(0.2, 0.24, 20)]
    assert changes(steps, values, 0.05).turn is None
    assert changes(steps, values, 0.01).turn.step in (19, 20, 21)


def test_a_line_through_a_step_makes_no_rise_of_its_own() -> None:
    values = np.r_[np.full(5, 0.2), np.full(5, 0.9)]
    assert changes(np.arange(1, 11) * 100, values, 0.8).turn is None
    found = changes(np.arange(1, 11) * 100, values, 0.05).turn
    assert (found.low, found.last) == (0.2, 0.9)


def test_scale_and_shift_do_not_matter() -> None:
    values = cone(PYTHIA) + drifting(len(PYTHIA), 0.01, 0.0, 0)
    plain, other = changes(PYTHIA, values, 0.05), changes(PYTHIA, 10 * values - 3, 0.5)
    assert (plain.change_points, plain.turn.step) == (other.change_points, other.turn.step)


def test_too_few_checkpoints_have_no_pieces_and_bad_values_are_refused() -> None:
    found = changes([0, 1, 2, 3], [1.0, 2.0, 3.0, 4.0], 0.1)
    assert (found.change_points, found.turn) == ((), None)
    with pytest.raises(InputError, match="one finite value for every step"):
        changes(range(10), [float("nan")] * 10, 0.1)
