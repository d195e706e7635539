"""The selection and its address, without a browser."""

import pytest

from saturation.ui.selection import Asked, Selection, decode, encode, group_of, resolve

MODELS = {"lab": ["w8", "w16", "w32"], "pythia": ["14m", "70m"], "gpt2": ["small"]}
MEASURED = {"lab": ["w8", "w16"], "pythia": ["70m"], "gpt2": []}
STEPS = {"lab/w8": [0, 1, 2, 500], "lab/w16": [0, 100], "pythia/70m": [0, 143_000]}
METRICS = {"lab": ["loss", "accuracy"], "pythia": ["sciq/acc"]}


def resolved(asked: Asked) -> tuple[Selection, list[str]]:
    return resolve(
        asked,
        MODELS,
        MEASURED.__getitem__,
        lambda family, model: STEPS.get(f"{family}/{model}", []),
        lambda family: METRICS.get(family, []),
    )


class TestSelection:
    def test_nothing_asked_shows_the_last_step_of_the_first_measured_model(self):
        selection, notes = resolved(Asked())
        assert selection == Selection(family="lab", model="w8", models=("w8", "w16"), step=500)
        assert notes == []

    def test_a_family_opens_with_its_first_measured_model(self):
        assert resolved(Asked(family="pythia"))[0].model == "70m"

    @pytest.mark.parametrize(
        "selection",
        [
            Selection("lab", "w16", ("w8", "w16"), 100),
            Selection("lab", "w8", ("w16",), 2, view="centred", scale="log", ranks="all", colour="log"),
            Selection("gpt2", "small", (), None),
            Selection("lab", "w8", ("w8", "w16"), 0, norm="before", divide="sum", by="hidden_size", fitted="best"),
            Selection("lab", "w8", ("w8",), 0, metric="accuracy", numbers={"fit_from": 4.1e8, "law_e": 1.69}),
            Selection("pythia", "70m", ("70m",), 0, metric="sciq/acc"),
        ],
    )
    def test_an_address_brings_back_what_was_selected(self, selection):
        address = encode(selection, MEASURED[selection.family])
        assert resolved(decode(address)) == (selection, [])

    def test_defaults_of_the_view_are_left_out_of_the_address_but_never_the_step(self):
        selection = Selection("lab", "w8", ("w8", "w16"), 500)
        assert encode(selection, ["w8", "w16"]) == {"family": "lab", "model": "w8", "step": "500"}

    @pytest.mark.parametrize(
        ("asked", "shown", "said"),
        [
            (Asked(family="labs"), {"family": "lab"}, "no family “labs” here; showing lab"),
            (Asked(family="xyz"), {"family": "lab"}, "no family “xyz”"),
            (Asked(family="pythia", model="71m"), {"model": "70m"}, "no model of pythia “71m” here; showing 70m"),
            (Asked(models=("w16", "w99")), {"models": ("w16",)}, "“w99” to compare; showing w16"),
            (Asked(models=("w32",)), {"models": ("w8", "w16")}, "showing all of them"),
            (Asked(step="30"), {"step": 2}, "Step 30 of lab/w8 is not measured; showing the nearest, 2."),
            (Asked(step="-4"), {"step": 0}, "the nearest, 0"),
            (Asked(step="last"), {"step": 500}, "“last” is no training step"),
            (Asked(view="sideways"), {"view": "plain"}, "no view “sideways”"),
            (Asked(family="gpt2", step="3"), {"step": None}, "nothing is measured for gpt2/small"),
            (Asked(metric="accurcy"), {"metric": "accuracy"}, "no metric of lab “accurcy” here; showing accuracy"),
            (Asked(family="pythia", metric="loss"), {"metric": "sciq/acc"}, "no metric of pythia “loss”"),
            (Asked(numbers={"law_e": "high"}), {"numbers": {}}, "“high” is no law_e between 0 and 20"),
            (Asked(numbers={"level": "-1", "law_b": "5"}), {"numbers": {"law_b": 5.0}}, "“-1” is no level"),
        ],
    )
    def test_what_does_not_exist_is_said_and_the_nearest_is_shown(self, asked, shown, said):
        selection, notes = resolved(asked)
        assert {key: getattr(selection, key) for key in shown} == shown
        assert len(notes) == 1
        assert said in notes[0]

    def test_unknown_parameters_are_left_alone(self):
        assert decode({"utm": "x", "family": "lab", "models": "w8,,w16"}) == Asked(family="lab", models=("w8", "w16"))


GROUPS = {"lab": {"Width": ["w8", "w16"], "Rate": ["w16", "w32"], "All runs": ["w8", "w16", "w32"]}}


def grouped(asked: Asked) -> tuple[Selection, list[str]]:
    return resolve(
        asked,
        MODELS,
        MEASURED.__getitem__,
        lambda family, model: STEPS.get(f"{family}/{model}", []),
        lambda family: METRICS.get(family, []),
        lambda family: GROUPS.get(family, {}),
    )


class TestGroups:
    """Families whose models come in groups, which may overlap."""

    @pytest.mark.parametrize(
        ("asked", "model", "group", "models"),
        [
            (Asked(), "w8", "Width", ("w8", "w16")),
            (Asked(model="w16"), "w16", "Width", ("w8", "w16")),
            (Asked(model="w16", group="Rate"), "w16", "Rate", ("w16",)),
            (Asked(group="Rate"), "w16", "Rate", ("w16",)),
            (Asked(model="w32"), "w32", "Rate", ("w16",)),
            (Asked(group="All runs"), "w8", "All runs", ("w8", "w16")),
            (Asked(family="pythia"), "70m", None, ("70m",)),
        ],
    )
    def test_the_group_decides_what_is_compared(self, asked, model, group, models):
        selection, notes = grouped(asked)
        assert (selection.model, selection.group, selection.models) == (model, group, models)
        assert notes == []

    def test_it_opens_with_the_first_group_that_has_measurements(self, monkeypatch):
        monkeypatch.setitem(MEASURED, "lab", ["w32"])
        selection, notes = grouped(Asked())
        assert (selection.model, selection.group, notes) == ("w32", "Rate", [])

    def test_the_model_of_a_link_wins_over_its_group(self):
        selection, notes = grouped(Asked(model="w8", group="Rate"))
        assert (selection.model, selection.group) == ("w8", "Width")
        assert notes == ["lab/w8 is not in the group “Rate”; showing “Width”."]

    def test_an_unknown_group_is_said(self):
        selection, notes = grouped(Asked(group="Rates"))
        assert selection.group == "Rate"
        assert notes == ["There is no group of lab “Rates” here; showing Rate."]

    @pytest.mark.parametrize("group", ["Width", "Rate", "All runs"])
    def test_an_address_brings_the_group_back(self, group):
        selection = grouped(Asked(model="w16", group=group))[0]
        comparable = [name for name in GROUPS["lab"][group] if name in MEASURED["lab"]]
        address = encode(selection, comparable, group_of("w16", GROUPS["lab"]))
        assert ("group" in address) == (group != "Width")
        assert grouped(decode(address)) == (selection, [])
