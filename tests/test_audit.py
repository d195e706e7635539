"""The audit on hand-made runs with known faults."""

import pytest

from saturation.checkpoints.audit import audit, duplicates, missing_steps

PYTHIA = [0, *(2**k for k in range(10)), *range(1000, 144000, 1000)]


def test_a_clean_run_has_nothing_to_report() -> None:
    found = audit({step: f"id{step}" for step in PYTHIA})
    assert (found.duplicates, found.missing, found.doubtful) == ([], [], {})


def test_branches_left_at_the_final_weights_are_exactly_the_doubtful_ones() -> None:
    stale = PYTHIA[20:106]  # 86 of 154 branches, as users report of pythia-2.8b
    ids = {step: "final" if step in stale or step == 143000 else f"id{step}" for step in PYTHIA}
    found = audit(ids)
    assert found.duplicates == [[*stale, 143000]]
    assert list(found.doubtful) == stale
    assert found.doubtful[stale[0]] == f"same weights as step {stale[1]}, {stale[2]}, {stale[3]}, ..."


def test_equal_branches_in_the_middle_are_all_doubtful() -> None:
    ids = {1: "a", 2: "b", 3: "b", 4: "b", 5: "c"}
    found = audit(ids)
    assert found.duplicates == [[2, 3, 4]]
    assert found.doubtful == {
        2: "same weights as step 3, 4",
        3: "same weights as step 2, 4",
        4: "same weights as step 2, 3",
    }


def test_groups_come_in_order_of_their_first_step() -> None:
    assert duplicates({5: "x", 1: "y", 2: "x", 9: "y", 3: "z"}) == [[1, 9], [2, 5]]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], []),
        ([7], []),
        (PYTHIA, []),
        ([step for step in PYTHIA if step not in (5000, 77000, 78000)], [5000, 77000, 78000]),
        ([0, 100, 200, 400, 500, 600], [300]),
        ([0, 1, 2, 4, 8, 16, 32], []),  # doubling throughout: no spacing to hold it to
        (list(range(359)), []),
        ([10, 20, 30, 45, 50, 60, 70], []),  # 45 is off the grid; nothing is known to be missing
    ],
)
def test_missing_steps(steps: list[int], expected: list[int]) -> None:
    assert missing_steps(steps) == expected


def test_a_head_of_another_shape_is_doubtful() -> None:
    found = audit({0: "a", 1: "b", 2: "c"}, head_shapes={0: (50304, 512), 1: (50304, 768), 2: (50304, 512)})
    assert found.doubtful == {1: "head of shape 50304 x 768 where most steps have 50304 x 512"}


def test_another_precision_is_no_fault_but_another_size_is() -> None:
    sizes = {0: 100_000_000, 1: 50_000_100, 2: 100_000_900, 3: 43_000_000, 4: 100_000_000, 5: 200_000_000}
    found = audit({step: f"id{step}" for step in sizes}, sizes)
    assert found.doubtful == {3: "weights of 43.0 MB where most steps have 100.0 MB"}
