"""Result files of the LM Evaluation Harness, before version 0.4 and since: what is read of them."""

from datetime import UTC, datetime

import pytest
import result_files

from saturation.errors import InputError
from saturation.evaluations.results import arguments, direction, parse


class TestFormats:
    def test_before_version_04(self) -> None:
        found = parse(result_files.old())
        rows = {(row.task, row.metric): row for row in found.results}
        assert set(rows) == {
            ("lambada_openai", "perplexity"),
            ("lambada_openai", "acc"),
            ("crows_pairs_english", "likelihood_difference"),
            ("crows_pairs_english", "pct_stereotype"),
        }
        perplexity = rows["lambada_openai", "perplexity"]
        assert (perplexity.value, perplexity.stderr, perplexity.shots) == (142.5, 5.5, 0)
        assert (perplexity.higher_is_better, perplexity.task_version) == (False, "0")
        assert rows["lambada_openai", "acc"].higher_is_better
        assert rows["crows_pairs_english", "likelihood_difference"].stderr is None
        assert (found.harness, found.evaluated_at, found.skipped) == ("lm-eval before 0.4", None, ())
        assert found.model_args["revision"] == "step3000"

    def test_since_version_04(self) -> None:
        found = parse(result_files.new())
        rows = {(row.task, row.metric): row for row in found.results}
        assert set(rows) == {
            ("wikitext", "word_perplexity"),
            ("gsm8k", "exact_match (strict-match)"),
            ("gsm8k", "exact_match (flexible-extract)"),
            ("arcs", "acc"),
        }
        assert (rows["wikitext", "word_perplexity"].stderr, rows["wikitext", "word_perplexity"].task_version) == (
            None,
            "2.0",
        )
        strict = rows["gsm8k", "exact_match (strict-match)"]
        assert (strict.value, strict.stderr, strict.shots, strict.higher_is_better) == (0.02, 0.004, 5, True)
        assert (rows["arcs", "acc"].task_version, rows["arcs", "acc"].higher_is_better) == (None, True)
        assert found.harness == "lm-eval 0.4.13"
        assert found.evaluated_at == datetime(2025, 6, 15, 15, 6, 40, 500_000, tzinfo=UTC)
        assert dict(found.model_args) == {"pretrained": "EleutherAI/pythia-160m", "revision": "step1000"}

    def test_the_files_own_direction_wins(self) -> None:
        loaded = result_files.new(higher_is_better={"wikitext": {"word_perplexity": True}, "arcs": {"acc": None}})
        rows = {row.metric: row.higher_is_better for row in parse(loaded).results}
        assert (rows["word_perplexity"], rows["acc"]) == (True, True)

    @pytest.mark.parametrize(
        ("metric", "higher"),
        [("acc_norm", True), ("rougeL", True), ("pass@10", True), ("bits_per_byte", False), ("pct_stereotype", False)],
    )
    def test_directions_by_name(self, metric: str, higher: bool) -> None:
        assert direction(metric) is higher

    def test_an_unknown_direction_stays_unknown(self) -> None:
        assert direction("my_score") is None

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("N/A", "'N/A'"),
            (float("nan"), "nan"),
            (float("inf"), "inf"),
            (True, "True"),
            ([1, 2], "[1, 2]"),
            ("x" * 50, "'" + "x" * 36 + "..."),
            (10**400, "1" + "0" * 36 + "..."),
        ],
    )
    def test_what_is_no_number_is_skipped_and_said(self, value: object, said: str) -> None:
        found = parse({"results": {"a": {"acc": value, "f1": 0.5}}, "config": {}})
        assert [row.metric for row in found.results] == ["f1"]
        assert found.skipped == (f"a/acc is {said}, not a finite number.",)

    def test_a_part_of_a_task_is_another_task(self) -> None:
        counts = {"wikitext": {"original": 62, "effective": 10}, "gsm8k": {"original": 7, "effective": 7}}
        limited = result_files.new(**{"n-samples": counts})
        limited["config"]["limit"] = 10.0
        assert {row.task for row in parse(limited).results} == {"wikitext (limit 10)", "gsm8k", "arcs (limit 10)"}
        limited["config"]["limit"] = None
        assert {row.task for row in parse(limited).results} == {"wikitext (10 examples)", "gsm8k", "arcs"}

    @pytest.mark.parametrize(
        ("loaded", "sentence"),
        [
            ([], "It is no result file of the LM Evaluation Harness: it holds no JSON object."),
            ({"config": {}}, "It is no result file of the LM Evaluation Harness: it has no `results`."),
            ({"results": {"a": {"acc": 1}}}, "It is no result file of the LM Evaluation Harness: it has no `config`."),
            ({"results": {}, "config": {}}, "It holds no number: its `results` are empty."),
            (
                {"results": {"a": {"acc": None}}, "config": {}},
                "It holds no number: a/acc is None, not a finite number.",
            ),
        ],
    )
    def test_what_is_no_result_file(self, loaded: object, sentence: str) -> None:
        with pytest.raises(InputError) as caught:
            parse(loaded)
        assert str(caught.value) == sentence

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("pretrained=a/b,revision=step1", {"pretrained": "a/b", "revision": "step1"}),
            ("pretrained=/x,device_map={'a':0,'b':1}", {"pretrained": "/x", "device_map": "{'a':0,'b':1}"}),
            ("pretrained=/odd=name/x", {"pretrained": "/odd=name/x"}),
            ("", {}),
        ],
    )
    def test_model_arguments(self, text: str, found: dict[str, str]) -> None:
        assert arguments(text) == found

    def test_the_name_of_the_model_stands_in_for_its_arguments(self) -> None:
        loaded = result_files.new(config={"model_args": None}, model_name="EleutherAI/pythia-70m")
        assert parse(loaded).model_args["pretrained"] == "EleutherAI/pythia-70m"
