"""What a measurement leaves in the store, and what is then answered from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from command_line import rows, saturation

from saturation.checkpoints.resolve import resolve_one
from saturation.errors import NotFiniteError
from saturation.jobs import measure as measure_module
from saturation.jobs.measure import Measurer
from saturation.jobs.request import Request
from saturation.settings import BUNDLED
from saturation.store import Store

TinyModel = Callable[[str], Path]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(tiny.text(60), encoding="utf-8")
    return tmp_path / "text.txt"


def measure(model: Path, text: Path, *options: object) -> dict[str, Any]:
    return saturation("measure", model, "--text", text, "--json", *options).json


class TestStored:
    def test_two_measures_of_a_text_are_stored_from_one_pass(
        self, tiny_model: TinyModel, text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        passes: list[tuple[bool, bool]] = []
        real = measure_module.measure_text

        def counted(*arguments: Any, **options: Any) -> Any:
            passes.append((options["loss"], options["anisotropy"]))
            return real(*arguments, **options)

        monkeypatch.setattr(measure_module, "measure_text", counted)
        measure(tiny_model("opt"), text)
        measure(tiny_model("opt"), text)
        assert passes == [(True, True)]
        measure(tiny_model("opt"), text, "--max-tokens", "30", "--measures", "loss")
        assert measure(tiny_model("opt"), text, "--max-tokens", "30")["computed"] == ["anisotropy", "alignment"]
        assert passes[1:] == [(True, False), (False, True)]

    def test_the_cost_of_a_pass_is_counted_once(self, tiny_model: TinyModel, text: Path, cache: Path) -> None:
        head, all_weights = 67 * 12 * 4, (tiny_model("llama") / "model.safetensors").stat().st_size
        first = measure(tiny_model("llama"), text)
        assert first["bytes_read"] == head + all_weights
        again = measure(tiny_model("llama"), text)
        assert (again["bytes_read"], again["seconds"]) == (first["bytes_read"], first["seconds"])
        assert measure(tiny_model("llama"), text, "--measures", "loss")["bytes_read"] == all_weights
        for measures in ("spectrum", "alignment", "alignment,spectrum"):
            assert measure(tiny_model("llama"), text, "--measures", measures)["bytes_read"] == head

    def test_a_failure_after_the_spectrum_stores_nothing(
        self, tiny_model: TinyModel, text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*arguments: Any, **options: Any) -> Any:
            raise NotFiniteError("It overflows.")

        monkeypatch.setattr(measure_module, "measure_text", fails)
        assert saturation("measure", tiny_model("opt"), "--text", text).sentence == "It overflows."
        assert rows(cache) == {"checkpoints": 0, "measurements": 0, "scalars": 0, "series": 0}

    def test_two_measurements_of_the_same_leave_one(self, tiny_model: TinyModel, text: Path, cache: Path) -> None:
        measure(tiny_model("opt"), text)
        before = rows(cache)
        measure(tiny_model("opt"), text, "--force")
        assert rows(cache) == before
        assert before["measurements"] == 4

    def test_the_bundled_pack_answers_for_the_bundled_checkpoints(self, cache: Path) -> None:
        """Whatever an id depends on, the packs that come with the project must follow it."""
        store = Store(cache / "measurements.duckdb")
        runs = sorted((BUNDLED / "checkpoints" / "lab").iterdir())
        assert len(runs) >= 2
        for run in runs:
            result = Measurer(store, Request()).measure(resolve_one(f"lab/{run.name}", cache))
            assert (result.computed, [item.measure for item in result.measurements]) == (
                (),
                ["spectrum", "anisotropy", "loss", "alignment"],
            )

    def test_for_a_reader(self, tiny_model: TinyModel, text: Path, cache: Path) -> None:
        numbers = measure(tiny_model("opt"), text)
        lines = saturation("measure", tiny_model("opt"), "--text", text).stdout.splitlines()
        assert lines[0].endswith(": hidden size 12, vocabulary 67, 4,596 parameters")
        assert f"  singular entropy   {numbers['spectrum']['singular_entropy']:.4f} nats" in "\n".join(lines)
        assert f"  loss               {numbers['loss']['nats_per_token']:.4f} nats/token" in lines
        assert f"  accuracy           {100 * numbers['loss']['accuracy']:.2f} %" in lines
        found = numbers["alignment"]
        assert (
            f"  first direction    {found['ones_alignment'][0]:.3f} along all-ones, "
            f"correlation {found['frequency_correlation'][0]:.3f} with log frequency, "
            f"by chance below {found['correlation_by_chance']:.3f} (as stored)"
        ) in lines
        assert f"    highest tokens   {'  '.join(found['centred_top_tokens'][0])}" in lines
