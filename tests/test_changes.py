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


def test_a_turn_is_never_before_the_lowest_measured_value() -> None:
    """Fall and floor are quiet, the rise is not: one line runs through all of it, and starts at the first step."""
    steps = np.arange(1, 41) * 1000
    floor = np.interp(steps, [1000, 4000, 8000, 10_000, 15_000, 40_000], [0.55, 0.11, 0.07, 0.1, 0.45, 0.6])
    loud = np.where(steps > 10_000, 0.09 * np.cos(2.5 * np.arange(40)), 0.0)
    found = changes(steps, floor + loud, 0.05)
    assert found.change_points == ()
    assert (found.turn.step, found.turn.low_step, found.turn.low) == (8000, 8000, pytest.approx(0.07))


@pytest.mark.parametrize("size", [0.0, 0.01, 0.03])
@pytest.mark.parametrize(
    ("knots", "heights", "least", "most"),
    [
        pytest.param([1, 8, 22, 40], [0.6, 0.1, 0.1, 0.6], 8000, 28_000, id="a fall, a floor, a rise from 22,000"),
        pytest.param([1, 40], [0.1, 0.6], 1000, 6000, id="a rise from the first step on"),
        pytest.param([1, 3, 5, 40], [0.3, 0.6, 0.1, 0.8], 4000, 9000, id="a bump at the start"),
    ],
)
def test_turns_of_shapes_with_noise(size: float, knots: list[int], heights: list[float], least: int, most: int) -> None:
    steps = np.arange(1, 41) * 1000
    curve = np.interp(steps, 1000 * np.array(knots), heights)
    for seed in range(20):
        values = curve + drifting(40, size, 0.0, seed)
        turn = changes(steps, values, 0.05).turn
        assert turn is not None
        assert least <= turn.step <= most
        assert turn.low_step <= turn.step
        assert values[steps == turn.low_step] == values.min() == turn.low


def test_a_u_turns_at_its_bottom() -> None:
    steps = np.arange(1, 41) * 1000
    turn = changes(steps, 0.1 + 0.5 * ((steps - 20_000) / 20_000) ** 2, 0.05).turn
    assert (turn.low_step, turn.step) == (20_000, 21_000)  # where the piece begins that holds the rise


def test_the_last_of_equal_minima_counts_and_a_dip_near_the_end_is_no_rise() -> None:
    steps, values = np.arange(1, 41) * 1000, np.linspace(0.1, 0.6, 40)
    assert changes(steps, np.r_[0.1, 0.1, values[2:]], 0.05).turn.low_step == 2000
    assert changes(steps, np.r_[values[:38], 0.05, 0.6], 0.05).turn is None
    spike = np.r_[np.full(20, 0.1), 0.9, np.full(19, 0.1)]
    assert changes(steps, spike, 0.05).turn is None


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
