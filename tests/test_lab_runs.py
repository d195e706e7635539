"""The bundled runs: what the file says, and that the registry says the same."""

import dataclasses

import pytest

from saturation.families import registry
from saturation.lab.config import RunConfig, bundled_runs
from saturation.lab.language import Language
from saturation.lab.models import build_model
from saturation.texts import NAMED

LAB = registry.family("lab")
RUNS = bundled_runs()


@pytest.mark.parametrize("name", RUNS)
def test_the_registry_says_what_the_run_is(name: str) -> None:
    run, model = RUNS[name], LAB.models[name]
    assert (model.hidden_size, model.layers) == (run.hidden_size, run.layers)
    assert model.vocab_size == run.corpus.vocab_size
    assert model.peak_learning_rate == run.learning_rate
    assert (model.tokens_per_step or LAB.tokens_per_step) == run.tokens_per_step
    assert LAB.text_of(name) == run.text
    assert run.text in NAMED
    assert model.parameters == sum(parameter.numel() for parameter in build_model(run).parameters())


def test_every_run_has_a_model_and_a_group() -> None:
    assert list(LAB.models) == list(RUNS)
    grouped = {name for names in LAB.groups.values() for name in names}
    assert grouped == set(RUNS)


def test_each_run_has_thirty_checkpoints_or_more() -> None:
    assert len(RUNS) >= 20
    assert all(len(run.checkpoint_steps) >= 30 for run in RUNS.values())


def _apart(first: RunConfig, second: RunConfig) -> set[str]:
    """The settings in which two runs differ; length and checkpoints decide no weight on the way."""
    names = {field.name for field in dataclasses.fields(RunConfig)} - {"name", "steps", "extra_steps", "text"}
    names -= {"checkpoint_every"}
    return {name for name in names if getattr(first, name) != getattr(second, name)}


@pytest.mark.parametrize(
    ("base", "group", "knobs"),
    [
        ("w16", "Width", {"hidden_size"}),
        ("w16", "Learning rate", {"learning_rate"}),
        ("w16", "Weight decay", {"weight_decay"}),
        ("w16", "Precision", {"precision", "weight_dtype"}),
        ("t16", "Natural text", {"hidden_size"}),
    ],
)
def test_runs_of_a_group_differ_in_its_knob_only(base: str, group: str, knobs: set[str]) -> None:
    for name in LAB.groups[group]:
        assert _apart(RUNS[base], RUNS[name]) <= knobs


def test_each_intervention_changes_one_thing() -> None:
    changes = [_apart(RUNS["t16"], RUNS[name]) for name in LAB.groups["Interventions"] if name != "t16"]
    assert all(len(change) == 1 for change in changes)
    assert {next(iter(change)) for change in changes} == {
        *("centred_head", "softmaxes", "cosine_penalty", "coupled_adam", "tied", "head_weight_decay"),
    }


def test_width_rate_and_precision_are_crossed() -> None:
    cells = [RUNS[name] for name in LAB.groups["Width, rate or precision"]]
    assert len({(run.hidden_size, run.learning_rate, run.precision) for run in cells}) == len(cells) == 8
    assert all(_apart(cells[0], run) <= {"hidden_size", "learning_rate", "precision"} for run in cells)
    assert {(run.schedule, run.weight_decay) for run in cells} == {("cosine", 0.1)}


def test_the_width_line_lies_below_the_rank() -> None:
    language = RUNS["w8"].corpus
    assert isinstance(language, Language)
    assert 4.0 < language.entropy_rate < 4.1
    assert all(RUNS[name].hidden_size <= language.rank for name in LAB.groups["Width"])
    assert set(RUNS["w8"].checkpoint_steps) >= {1500, 2500, 4500, 6500}
