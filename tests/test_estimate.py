"""What measuring would cost: downloads and memory by hand, time by a line through what was measured."""

from pathlib import Path

import pandas as pd
import pytest
import store_rows

from saturation.jobs import catalogue, estimate
from saturation.jobs.estimate import ANCHORS
from saturation.jobs.memory import Sizes
from saturation.jobs.request import MEASURES
from saturation.settings import Settings
from saturation.store import Store

SIZES = Sizes(hidden_size=512, vocab_size=50304, layers=6, parameters=70_000_000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_rows.empty_store(tmp_path / "measurements.duckdb")


def known(**done: bool) -> pd.DataFrame:
    """Two steps on the hub, one here; of step 1 some measures are done."""
    rows = [
        {"step": step, "place": place, "weight_bytes": size}
        for step, place, size in ((0, "hub", float("nan")), (1, "hub", 166e6), (2, "here", 166e6))
    ]
    return pd.DataFrame([row | {name: row["step"] == 1 and done.get(name, False) for name in MEASURES} for row in rows])


def test_downloads_by_hand(store: Store) -> None:
    head = 50304 * 512 * 4
    assert estimate.estimate(store, known(), SIZES, [0, 1, 2], ["spectrum"]).download == 2 * head
    assert estimate.estimate(store, known(), SIZES, [0, 1, 2], ["spectrum", "loss"]).download == 280e6 + 166e6
    assert estimate.estimate(store, known(spectrum=True), SIZES, [1, 2], ["spectrum"]).download == 0
    assert estimate.estimate(store, known(spectrum=True), SIZES, [1], ["spectrum", "alignment"]).download == head


def test_without_past_runs_the_anchors_tell_the_time(store: Store) -> None:
    work, seconds = ANCHORS["spectrum"]
    assert work == 50304 * 512**2
    found = estimate.estimate(store, known(), SIZES, [0, 2], ["spectrum"])
    assert found.seconds == pytest.approx(2 * seconds, rel=1e-6)
    assert found.runs == 0
    both = estimate.estimate(store, known(), SIZES, [0], ["loss", "anisotropy"])
    assert both.seconds == estimate.estimate(store, known(), SIZES, [0], ["loss"]).seconds  # one pass


def test_past_runs_on_a_line_are_given_back(store: Store) -> None:
    """2 s each, and as much again for each unit of work: what lies between two sizes lies between their times."""
    rate = 0.45 / ANCHORS["spectrum"][0]
    rows = [
        store_rows.measurement(
            store_rows.checkpoint(step=step, hidden_size=width, vocab_size=1000, parameters=10_000 * width),
            seconds=1000 * width**2 * rate,
            scalars={"singular_entropy": 0.1},
        )
        for step, width in enumerate((64, 128, 256))
    ]
    store.add(rows)
    found = estimate.estimate(store, known(), Sizes(192, 1000, 2, 1), [0], ["spectrum"])
    assert found.seconds == pytest.approx(1000 * 192**2 * rate, rel=1e-6)
    assert found.runs == 3


def test_what_does_not_fit_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATURATION_MEMORY_GB", "4")
    large = Sizes(5120, 50688, 36, 11_800_000_000)
    assert not estimate.estimate(store, known(), large, [0], ["loss"]).fits
    assert estimate.estimate(store, known(), large, [0], ["spectrum"]).fits
    assert estimate.estimate(store, known(), SIZES, [0], ["loss"]).fits


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((0, 1_020_000_000, 0.2), "About 1 s of computing, 1.0 GB of memory."),
        ((250_000, 700_000_000, 89), "About 89 s of computing, up to 1 MB to download, 700 MB of memory."),
        ((2_300_000_000, 9_000_000_000, 600), "About 10 min of computing, up to 2.3 GB to download, 9.0 GB of memory."),
        ((0, 9_000_000_000, 36_000), "About 10 h of computing, 9.0 GB of memory."),
    ],
)
def test_in_words(values: tuple[int, int, float], sentence: str) -> None:
    assert estimate.Estimate(*values, fits=True, runs=1).sentence() == sentence


def test_sizes_are_those_measured_else_those_stated(store: Store, tmp_path: Path) -> None:
    assert catalogue.sizes(store, "pythia", "70m") == Sizes(512, 50304, 6, 70_426_624)
    assert catalogue.sizes(store, "nobody", "nothing") is None
    assert catalogue.sizes(store, "local", "run~1") is None
    store.add([store_rows.measurement(scalars={"singular_entropy": 0.1})])
    assert catalogue.sizes(store, "local", "run~1") == Sizes(2, 5, 3, 90)
    catalogue.table(store, "local", "run~1", catalogue.weights(Settings(tmp_path, "local"), store, "local", "run~1"))
