"""The bundled runs: whole, sound, what the README says of them, and the same when a run is trained again."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from saturation.checkpoints.load import read_head
from saturation.checkpoints.source import LocalSource
from saturation.families import registry
from saturation.jobs.lab_findings import Finding, Lab, findings
from saturation.lab.config import bundled_runs
from saturation.lab.trainer import train
from saturation.measures.spectrum import singular_entropy, singular_values
from saturation.settings import ROOT
from saturation.store import Store, queries

README = (ROOT / "README.md").read_text(encoding="utf-8")
RUNS = list(bundled_runs())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("bundled") / "measurements.duckdb")
    store.ensure()
    return store


@pytest.fixture(scope="module")
def along(store: Store) -> pd.DataFrame:
    return queries.trajectory(store, "lab", RUNS)


@pytest.fixture(scope="module")
def lab(store: Store) -> Lab:
    return Lab(store)


@pytest.fixture(scope="module")
def told(lab: Lab) -> dict[str, Finding]:
    return {found.title: found for found in findings(lab)}


@pytest.mark.parametrize("name", RUNS)
def test_every_checkpoint_of_every_run_is_measured(along: pd.DataFrame, name: str) -> None:
    """All but the extra steps of w8, which are left for a visitor to measure."""
    rows = along[along["model"] == name]
    assert set(rows["step"]) == set(dataclasses.replace(bundled_runs()[name], extra_steps=()).checkpoint_steps)
    assert rows["text_name"].unique().tolist() == [bundled_runs()[name].text]
    for column in ("nats_per_token", "anisotropy", "singular_entropy", "centred_singular_entropy"):
        assert np.isfinite(rows[column]).all()
    assert rows["doubtful"].isna().all()


def test_no_run_beats_the_exact_entropy(along: pd.DataFrame) -> None:
    known = along[along["floor"].notna()]
    assert known["model"].nunique() >= 20
    assert (known["nats_per_token"] > known["floor"]).all()
    natural = along[along["text_name"] == "lab-python"]
    assert natural["floor"].isna().all()


def test_entropies_lie_between_none_and_all_in_one_value(along: pd.DataFrame) -> None:
    for column in ("singular_entropy", "centred_singular_entropy"):
        assert (along[column] >= -1e-9).all()
        assert (along[column] <= np.log(along["hidden_size"]) + 1e-9).all()


def test_the_overview_opens_on_a_run_that_turns(lab: Lab) -> None:
    first = next(iter(registry.family("lab").groups.values()))[0]
    row = lab.rows[first]
    assert row["saturated"]
    assert row["degradation"] > 0.1
    assert row["floor"] == pytest.approx(4.1158, abs=1e-3)
    assert lab.table["degradation"].is_monotonic_decreasing


def test_every_finding_can_be_told(told: dict[str, Finding]) -> None:
    assert list(told) == [
        *("The whole signature", "What the loss goes with", "Width", "A collapsed head with a sound loss"),
        "One second moment for the whole vocabulary",
        *("Learning rate", "Weight decay", "Width, rate or precision", "Precision", "Interventions on the head"),
    ]


def test_the_readme_shows_the_table_of_the_pack(lab: Lab) -> None:
    rows = [line.strip("| ").split(" | ") for line in README.splitlines() if line.startswith("| ")]
    shown = {cells[0]: cells for cells in rows if cells[0] in RUNS and len(cells) == 7}
    assert len(shown) >= 8
    for name, cells in shown.items():
        row = lab.rows[name]
        assert cells[2:] == [
            f"{row['best_value']:.3f}",
            f"{row['final_value']:.3f}",
            f"{100 * row['degradation']:.1f} %",
            f"{row['anisotropy_last']:.2f}",
            f"{row['entropy_last']:.2f} ({row['centred_entropy_last']:.2f})",
        ]


@pytest.mark.parametrize("name", ["w16-b4-ramp", "w16-b1-coupled", "w16-fp16", "w16-bf16-weights"])
def test_a_run_trained_again_gives_the_same_curve(along: pd.DataFrame, tmp_path: Path, name: str) -> None:
    """From its seed to step 64; other processors round otherwise, which this early moves no digit shown."""
    config = dataclasses.replace(bundled_runs()[name])
    folder = train(config, tmp_path, stop_at=64)
    rows = along[along["model"] == name].set_index("step")
    for step in (0, 1, 8, 64):
        weight, _ = read_head(LocalSource(folder / f"step{step}"))
        found = singular_entropy(singular_values(weight))
        assert found == pytest.approx(rows.loc[step, "singular_entropy"], rel=1e-3, abs=1e-6)
