"""Which checkpoint a result file is of, by its configuration and its names."""

import pytest

from saturation.errors import InputError
from saturation.evaluations.names import Evidence, Subject, model_named, subject
from saturation.families import registry


def told(args: dict[str, str], file: str = "results.json", folder: str = "", model: str | None = None) -> Subject:
    """The checkpoint that is found, on a machine whose only run lies at /runs/mine."""
    places = {"/runs/mine/checkpoint-4000": ("mine~1", 4000), "/runs/mine/final": ("final~2", None)}
    return subject(Evidence(args, file, folder, places.get), model)


PYTHIA = {"pretrained": "EleutherAI/pythia-70m"}


class TestNames:
    @pytest.mark.parametrize(
        ("args", "file", "folder", "found"),
        [
            (PYTHIA | {"revision": "step3000"}, "results.json", "", ("pythia", "70m", 3000)),
            (PYTHIA, "70m_step53000.json", "pythia-70m", ("pythia", "70m", 53000)),
            (PYTHIA | {"revision": "main"}, "results.json", "step64", ("pythia", "70m", 64)),
            (PYTHIA | {"revision": "a" * 40}, "x-step64.json", "", ("pythia", "70m", 64)),
            ({"pretrained": "EleutherAI/pythia-v1.1-70m", "revision": "step1"}, "a.json", "", ("pythia", "70m", 1)),
            (
                {"pretrained": "EleutherAI/pythia-v1.1-160m-deduped", "revision": "step1"},
                "160m_step1.json",
                "pythia-160m-deduped",
                ("pythia-deduped", "160m", 1),
            ),
            ({"pretrained": "gpt2"}, "results.json", "", ("gpt2", "small", None)),
            ({"pretrained": "openai-community/gpt2-XL"}, "results.json", "", ("gpt2", "xl", None)),
            ({"pretrained": "LLM360/Amber", "revision": "main"}, "results.json", "", ("amber", "7b", 359)),
            ({"pretrained": "LLM360/Amber", "revision": "ckpt_100"}, "results.json", "", ("amber", "7b", 100)),
            (
                {"pretrained": "allenai/OLMo-2-0425-1B", "revision": "stage1-step10000-tokens21B"},
                "results.json",
                "",
                ("olmo2", "1b", 10000),
            ),
            ({"pretrained": "me/run"}, "results.json", "me__run", ("hub", "me--run", None)),
            ({"pretrained": "me/run", "revision": "checkpoint-70"}, "results.json", "", ("hub", "me--run", 70)),
            ({"pretrained": "me/run-step9"}, "results.json", "me__run-step9", ("hub", "me--run-step9", None)),
            ({"pretrained": "me/run", "subfolder": "checkpoint-70"}, "results.json", "", ("hub", "me--run", 70)),
            (
                {"pretrained": "/runs/mine/checkpoint-4000"},
                "results_2026-01-01T10-00-00.123.json",
                "__runs__mine__checkpoint-4000",
                ("local", "mine~1", 4000),
            ),
            ({"pretrained": "/runs/mine/final"}, "mine_step7.json", "", ("local", "final~2", 7)),
            ({"pretrained": "/runs/mine/final", "revision": "x"}, "r.json", "", ("local", "final~2", None)),
            ({}, "results_2024-05-01T10-00-00.5.json", "EleutherAI__pythia-70m_step5", ("pythia", "70m", 5)),
            ({}, "pythia-70m-step5_eval_results_01-20-2023-14-41-42.json", "", ("pythia", "70m", 5)),
            ({}, "polypythias-70m-seed1-step5.JSON", "", ("polypythias", "70m-seed1", 5)),
        ],
    )
    def test_what_tells_the_checkpoint(
        self, args: dict[str, str], file: str, folder: str, found: tuple[str, str, int | None]
    ) -> None:
        assert told(args, file, folder) == Subject(*found)

    @pytest.mark.parametrize(
        ("args", "file", "folder", "sentence"),
        [
            (
                PYTHIA | {"revision": "step3000"},
                "70m_step4000.json",
                "",
                "Its name says step 4000, but its configuration says step 3000; rename it.",
            ),
            (
                PYTHIA,
                "70m_step4000.json",
                "step5",
                "Its folder 'step5' says step 5, but its name says step 4000; rename it.",
            ),
            (
                PYTHIA | {"revision": "step1"},
                "160m_step1.json",
                "",
                "'160m_step1.json' says that it is of pythia/160m, but it evaluated EleutherAI/pythia-70m "
                "(pythia/70m); rename it, or give the model (--model family/model).",
            ),
            (
                PYTHIA | {"revision": "step1"},
                "step1.json",
                "pythia-70m-deduped",
                "'pythia-70m-deduped' says that it is of pythia-deduped/70m, but it evaluated EleutherAI/pythia-70m "
                "(pythia/70m); rename it, or give the model (--model family/model).",
            ),
            (
                PYTHIA | {"revision": "main"},
                "results.json",
                "",
                "Nothing tells which step of pythia/70m it is of; put it into the file's name, like "
                "results_step1000.json.",
            ),
            (
                PYTHIA | {"revision": "tuned"},
                "step1.json",
                "",
                "Its revision 'tuned' is no step of pythia/70m; give the model (--model family/model) and put the step "
                "into the file's name.",
            ),
            (
                PYTHIA | {"revision": "step1", "peft": "me/adapter"},
                "step1.json",
                "",
                "It was evaluated with an adapter (peft), so it is not of EleutherAI/pythia-70m alone; give the model "
                "(--model family/model).",
            ),
            (
                {"pretrained": "out/checkpoint-5"},
                "results.json",
                "",
                "It names its model 'out/checkpoint-5', which is neither organisation/name nor a full path; give the "
                "model (--model family/model).",
            ),
            (
                {},
                "results.json",
                "step5",
                "Neither its configuration nor its name tells the model; give the model (--model family/model).",
            ),
            (
                {},
                "pythia-70m_step5.json",
                "pythia-160m",
                "Its name says pythia/70m, but its folder 'pythia-160m' says pythia/160m; give the model (--model "
                "family/model).",
            ),
        ],
    )
    def test_what_does_not_is_said(self, args: dict[str, str], file: str, folder: str, sentence: str) -> None:
        with pytest.raises(InputError) as caught:
            told(args, file, folder)
        assert str(caught.value) == sentence

    @pytest.mark.parametrize(
        ("args", "file", "found"),
        [
            ({}, "step5.json", ("pythia", "160m", 5)),
            (PYTHIA | {"revision": "step5"}, "70m.json", ("pythia", "160m", 5)),
            (PYTHIA | {"revision": "tuned"}, "step5.json", ("pythia", "160m", 5)),
            ({"pretrained": "out/checkpoint-5"}, "results.json", ("pythia", "160m", 5)),
            ({"pretrained": "/runs/mine/checkpoint-4000", "peft": "x"}, "results.json", ("pythia", "160m", 4000)),
        ],
    )
    def test_a_stated_model_leaves_only_the_step(self, args: dict[str, str], file: str, found: tuple) -> None:
        assert told(args, file, model="pythia/160m") == Subject(*found)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("pythia/70m", ("pythia", "70m")),
            ("EleutherAI/pythia-70m", ("pythia", "70m")),
            ("local/mine", ("local", "mine")),
            ("hub/me--run", ("hub", "me--run")),
            ("lab/w128", ("lab", "w128")),
        ],
    )
    def test_stated_models(self, text: str, found: tuple[str, str]) -> None:
        assert model_named(text) == found

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("pythia", "'pythia' names no model; write family/model."),
            ("pythia/71m", "There is no model '71m' in pythia; did you mean 70m or 31m or 14m?"),
            ("pithia/70m", "There is no family 'pithia'; did you mean pythia or polypythias or pythia-deduped?"),
        ],
    )
    def test_stated_models_that_do_not_exist(self, text: str, sentence: str) -> None:
        with pytest.raises(InputError) as caught:
            model_named(text)
        assert str(caught.value) == sentence

    def test_no_two_models_share_a_repository(self) -> None:
        names = [
            name.lower()
            for family in registry.families().values()
            for model in family.models.values()
            for name in (model.repository, *model.aliases)
            if name
        ]
        assert len(names) == len(set(names))
