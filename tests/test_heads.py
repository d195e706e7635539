"""Heads of a checkpoint, from the command line and as a job: numbers, resuming, and what is refused."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch
from command_line import saturation

from saturation import settings
from saturation.checkpoints.resolve import resolve_one
from saturation.errors import InputError, NotFiniteError, TextError
from saturation.jobs import head_request, heads_report, state_file
from saturation.jobs import heads as heads_job
from saturation.jobs.head_request import HeadsRequest
from saturation.jobs.heads import HeadsResult, measure_heads, run_job
from saturation.jobs.request import Request
from saturation.jobs.state_file import Split, StateFile, split
from saturation.measures import trained_heads
from saturation.measures.trained_heads import Training
from saturation.store import Store, queries

TOKENS = 330  # 21 windows of 16: 16 train, 2 validate, and 2 with the last 10 tokens evaluate
QUICK = {"steps": 30, "check_every": 10, "batch": 64}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(tiny.text(TOKENS), encoding="utf-8")
    return path


def store_in(cache: Path) -> Store:
    """A store without the bundled packs, whose import takes longer than a test."""
    return Store(cache / "measurements.duckdb", bundled=cache / "none")


def measure(model: Path, cache: Path, text: Path, heads: HeadsRequest, **request: Any) -> HeadsResult:
    return measure_heads(
        store_in(cache), resolve_one(str(model), cache), Request(text=str(text), **request), heads, training=QUICK
    )


class Cut(reference.Model):
    """A reference model with its head cut to a rank by numpy."""

    rank = 0

    @property
    def head(self) -> np.ndarray:
        u, s, v = np.linalg.svd(super().head, full_matrices=False)
        return (u[:, : self.rank] * s[: self.rank]) @ v[: self.rank]


def exact(folder: Path, text: Path, rank: int, first: int = 0) -> float:
    """Nats per token of a model with its head cut to a rank, in float64, from token `first` on."""
    model, ids = Cut(folder), tiny.ids(text.read_text())
    model.rank = rank
    before = ids[first - 1] if first else 0
    return reference.measure(model, ids[first:], before, tiny.LENGTH, text.read_text()).nats_per_token


class TestTruncated:
    @pytest.mark.parametrize("shape", ["gpt_neox", "gpt2", "opt", "llama", "gemma"])
    def test_on_the_whole_text(self, tiny_model: Any, cache: Path, text: Path, shape: str) -> None:
        found = saturation(
            "heads", tiny_model(shape), "--text", text, "--truncated-only", "--ranks", "2,5,12", "--json"
        ).json
        for row in found["rows"]:
            assert row["truncated_loss"] == pytest.approx(exact(tiny_model(shape), text, row["rank"]), abs=1e-5)
            assert (row["trained_loss"], row["learning_rate"]) == (None, None)
        values = reference.spectrum(reference.Model(tiny_model(shape)).head)
        assert [row["w_error"] for row in found["rows"]] == [
            pytest.approx(float(np.sqrt((values[rank:] ** 2).sum() / (values**2).sum())), abs=1e-7)
            for rank in (2, 5, 12)
        ]
        assert found["own_loss"] == pytest.approx(found["rows"][-1]["truncated_loss"], abs=1e-5)
        assert found["own_loss"] == pytest.approx(found["rows"][-1]["centred_truncated_loss"], abs=1e-5)
        assert found["own_accuracy"] == found["rows"][-1]["truncated_accuracy"]
        assert (found["tokens"], found["computed"], found["trained"]) == (TOKENS, 1, [])
        assert found["checkpoint"]["hidden_size"] == 12

    def test_default_ranks_and_what_is_stored(self, tiny_model: Any, cache: Path, text: Path) -> None:
        first = measure(tiny_model("opt"), cache, text, HeadsRequest(train=False))
        again = measure(tiny_model("opt"), cache, text, HeadsRequest(train=False))
        assert first.truncated.series["ranks"] == [1, 2, 4, 8, 12]
        assert (first.computed, again.computed) == (1, 0)
        assert heads_report.rows(first) == heads_report.rows(again)
        other = measure(tiny_model("opt"), cache, text, HeadsRequest(ranks=(2,), train=False))
        assert other.computed == 1
        assert other.truncated.series["nats_per_token"][0] == pytest.approx(first.truncated.series["nats_per_token"][1])

    def test_a_softcap_has_no_centred_counterpart(
        self, tiny_model: Any, cache: Path, text: Path, monkeypatch: Any
    ) -> None:
        load = heads_job.load_model

        def capped(*arguments: Any) -> Any:
            parts = load(*arguments)
            head = type(parts.head)(parts.head.weight, None, 2.0)
            return type(parts)(parts.base, parts.blocks, head, parts.vocab_size, parts.device, head)

        monkeypatch.setattr(heads_job, "load_model", capped)
        found = measure(tiny_model("gpt2"), cache, text, HeadsRequest(ranks=(12,), train=False))
        (row,) = heads_report.rows(found)
        assert row["centred_truncated_loss"] is None
        assert row["truncated_loss"] == pytest.approx(found.truncated.scalars["own_nats_per_token"], abs=1e-5)
        assert "  12  0.0000" in heads_report.as_text(found)


ASKED = HeadsRequest(ranks=(3, 12), learning_rates=(0.01, 0.05), seeds=2, init="normal")


class TestTrained:
    def test_all_losses_are_of_the_last_tenth(self, tiny_model: Any, cache: Path, text: Path) -> None:
        found = measure(tiny_model("llama"), cache, text, ASKED)
        assert found.truncated.tokens == TOKENS - 18 * 16
        for rank, nats in zip((3, 12), found.truncated.series["nats_per_token"], strict=True):
            assert nats == pytest.approx(exact(tiny_model("llama"), text, rank, first=18 * 16), abs=1e-5)
        assert found.computed == 1 + 2 * 2 * 2
        assert {item.tokens for item in found.trained} == {42}
        keys = {(item.scalars["rank"], item.scalars["learning_rate"], item.scalars["seed"]) for item in found.trained}
        assert keys == {(rank, rate, seed) for rank in (3, 12) for rate in (0.01, 0.05) for seed in (0, 1)}
        w_error = dict(zip((3, 12), found.truncated.series["w_error"], strict=True))
        assert all(item.scalars["w_error"] == w_error[int(item.scalars["rank"])] for item in found.trained)

    def test_a_truncated_start_that_trains_no_step_is_the_truncated_head(
        self, tiny_model: Any, cache: Path, text: Path
    ) -> None:
        """A rate of nothing: the states in the file, split and scored, give the truncated head's own numbers."""
        asked = HeadsRequest(ranks=(3, 12), learning_rates=(1e-12,), init="truncated")
        found = measure(tiny_model("gpt_neox"), cache, text, asked)
        for row in heads_report.rows(found):
            assert row["trained_loss"] == pytest.approx(row["truncated_loss"], abs=2e-3)
            assert row["trained_accuracy"] == pytest.approx(row["truncated_accuracy"], abs=1.5 / 42)

    def test_the_rate_is_chosen_by_the_validation_loss(self, tiny_model: Any, cache: Path, text: Path) -> None:
        found = measure(tiny_model("opt"), cache, text, ASKED)
        for row in heads_report.rows(found):
            by_rate = {
                rate: [item.scalars for item in found.trained
                       if (item.scalars["rank"], item.scalars["learning_rate"]) == (row["rank"], rate)]
                for rate in (0.01, 0.05)
            }  # fmt: skip
            means = {
                rate: np.mean([one["validation_nats_per_token"] for one in seeds]) for rate, seeds in by_rate.items()
            }
            assert row["learning_rate"] == min(means, key=lambda rate: means[rate])
            chosen = by_rate[row["learning_rate"]]
            assert row["trained_loss"] == pytest.approx(np.mean([one["nats_per_token"] for one in chosen]))

    def test_goes_on_after_the_last_head_that_was_stored(
        self, tiny_model: Any, cache: Path, text: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train, trained = heads_job.train_head, []

        def interrupted(*arguments: Any) -> Any:
            if len(trained) == 3:
                raise KeyboardInterrupt
            trained.append(arguments[3])
            return train(*arguments)

        monkeypatch.setattr(heads_job, "train_head", interrupted)
        with pytest.raises(KeyboardInterrupt):
            measure(tiny_model("opt"), cache, text, ASKED)
        monkeypatch.setattr(heads_job, "train_head", train)
        told: list[tuple[int, int, str]] = []
        store = store_in(cache)
        checkpoint = resolve_one(str(tiny_model("opt")), cache)
        request = Request(text=str(text))
        rest = measure_heads(store, checkpoint, request, ASKED, lambda *what: told.append(what), training=QUICK)
        assert rest.computed == 5
        assert told[0] == (0, 5, "loading the model")
        assert told[-1] == (5, 5, "done")
        assert (4, 5, "rank 3, normal start, learning rate 0.05, seed 1: step 30 of 30") in told
        assert list((cache / "states").iterdir()) == []
        whole = measure(tiny_model("opt"), cache, text, ASKED)
        assert (whole.computed, heads_report.rows(whole)) == (0, heads_report.rows(rest))

    def test_of_both_starts_the_validation_loss_chooses(self, tiny_model: Any, cache: Path, text: Path) -> None:
        asked = HeadsRequest(ranks=(3,), learning_rates=(0.01, 0.05))
        found = measure(tiny_model("opt"), cache, text, asked)
        assert sorted((item.labels["init"][0], item.scalars["learning_rate"]) for item in found.trained) == [
            ("normal", 0.01),
            ("normal", 0.05),
            ("truncated", 0.01),
            ("truncated", 0.05),
        ]
        least = min(found.trained, key=lambda item: item.scalars["validation_nats_per_token"])
        (row,) = heads_report.rows(found)
        assert (row["init"], row["trained_loss"]) == (least.labels["init"][0], least.scalars["nats_per_token"])
        assert row["trained_loss"] <= row["truncated_loss"] + 0.05

    def test_what_a_head_depends_on(self, tiny_model: Any, cache: Path, text: Path) -> None:
        """One by one: how many are computed anew after the change of a setting."""
        asked = HeadsRequest(ranks=(3, 12), learning_rates=(0.01,), init="normal")
        changes: list[tuple[dict[str, Any], int]] = [
            ({}, 3),
            ({"seeds": 2}, 2),
            ({"learning_rates": (0.01, 0.02)}, 2),
            ({"init": "truncated"}, 2),
            ({"ranks": (3, 8, 12)}, 2),
            ({}, 0),
        ]
        for change, anew in changes:
            assert measure(tiny_model("opt"), cache, text, replace(asked, **change)).computed == anew, change

    def test_another_text_window_or_number_of_tokens_is_another_measurement(
        self, tiny_model: Any, cache: Path, text: Path
    ) -> None:
        few = HeadsRequest(ranks=(2,), learning_rates=(0.05,), init="normal")
        for request in ({}, {"max_tokens": 200}, {"context_length": 8}):
            assert measure(tiny_model("opt"), cache, text, few, **request).computed == 2
        assert measure(tiny_model("opt"), cache, text, few, device="cpu").computed == 0


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads_job, "Training", partial(Training, **QUICK))


@pytest.mark.usefixtures("quick")
class TestCommandLine:
    def test_a_reader_s_table(self, tiny_model: Any, cache: Path, text: Path) -> None:
        arguments = ("heads", tiny_model("opt"), "--text", text, "--ranks", "3", "--learning-rates", "0.05")
        shown = saturation(*arguments)
        assert (shown.code, shown.stderr) == (0, "")
        found = saturation(*arguments, "--json").json
        row = found["rows"][0]
        assert f"{row['trained_loss']:.4f}" in shown.stdout
        assert f"{row['truncated_loss']:.4f}" in shown.stdout
        assert found["trained"][0]["train_steps"] == row["train_steps"]
        assert found["computed"] == 0

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("--ranks", "13"), "A head of rank 13 cannot be cut from this one; ranks go from 1 to 12."),
            (("--ranks", "0"), "A head of rank 0 cannot be made; ranks start at 1."),
            (("--learning-rates", "0"), "A learning rate of 0.0 cannot be used; it must be above 0."),
            (("--seeds", "0"), "0 seeds train no head; take at least one."),
            (
                ("--max-tokens", "100"),
                "The text has 100 tokens, 7 window(s) of 16; to train heads it needs at least ten: "
                "give a longer text or a shorter --context-length.",
            ),
        ],
    )
    def test_refusals(self, tiny_model: Any, cache: Path, text: Path, options: tuple[str, ...], sentence: str) -> None:
        assert saturation("heads", tiny_model("opt"), "--text", text, *options).sentence == sentence

    @pytest.mark.parametrize("options", [("--ranks", "a"), ("--learning-rates", "x"), ("--init", "zero")])
    def test_wrong_arguments(self, tiny_model: Any, cache: Path, options: tuple[str, ...]) -> None:
        assert saturation("heads", tiny_model("opt"), *options).code == 2

    def test_the_lab_trains_on_its_long_text(self, cache: Path) -> None:
        arguments = ("--ranks", "2", "--learning-rates", "0.05", "--max-tokens", "4000", "--json")
        assert saturation("heads", "lab/w8", *arguments).json["text"] == "lab-language-long"
        assert saturation("heads", "lab/w8", "--truncated-only", *arguments).json["text"] == "lab-language"


def test_the_starts_that_can_be_asked_for_are_those_that_can_be_trained() -> None:
    assert head_request.STARTS == trained_heads.INITS


def test_a_job_of_the_dashboard(tiny_model: Any, cache: Path, text: Path) -> None:
    told: list[tuple[int, int, str]] = []
    options = {
        "targets": [str(tiny_model("opt"))],
        "text": str(text),
        "ranks": [2, 12],
        "train": False,
        "max_tokens": 200,
    }
    run_job(settings.load(), options, lambda *what: told.append(what))
    assert (told[0][:2], told[-1]) == ((0, 1000), (1000, 1000, "done"))
    stored = measure(tiny_model("opt"), cache, text, HeadsRequest(ranks=(2, 12), train=False), max_tokens=200)
    assert stored.computed == 0


def test_a_job_of_several_checkpoints(tiny_model: Any, cache: Path, text: Path) -> None:
    told: list[tuple[int, int, str]] = []
    targets = [str(tiny_model("opt")), str(tiny_model("gpt2"))]
    options = {"targets": targets, "text": str(text), "ranks": [2], "train": False, "max_tokens": 200}
    run_job(settings.load(), options, lambda *what: told.append(what))
    places = [done for done, _, _ in told]
    assert places == sorted(places)
    assert told[-1] == (2000, 2000, f"{targets[1]}: done")
    stored = queries.truncated_heads(Store(settings.load().store_path), "local")
    assert stored["model"].nunique() == 2


def test_the_split_has_whole_windows() -> None:
    assert split(1_000_000, 32) == Split(800_000, 900_000, 1_000_000)
    assert split(330, 16) == Split(256, 288, 330)
    assert split(146, 16) == Split(128, 144, 146)
    with pytest.raises(TextError, match="A tenth of the text's 145 tokens is too little"):
        split(145, 16)
    with pytest.raises(TextError, match=r"9 window\(s\) of 16; to train heads it needs at least ten"):
        split(144, 16)


class TestStateFile:
    def test_holds_states_in_the_order_of_adding(self, tmp_path: Path) -> None:
        kept = StateFile(tmp_path / "states", 5, 3)
        vectors = torch.arange(15.0).view(5, 3)
        kept.add(vectors[:2], torch.tensor([4, 3]))
        kept.add(vectors[2:], torch.tensor([2, 1, 0]))
        part = kept.part(1, 4)
        assert torch.equal(part.vectors, vectors[1:4].half())
        assert part.targets.tolist() == [3, 2, 1]
        assert list((tmp_path / "states").iterdir()) == []  # no name: gone with the process
        kept.close()

    def test_refuses_more_than_is_allowed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state_file, "MOST_BYTES", 1000)
        with pytest.raises(InputError, match=r"use --max-tokens 50 or fewer\."):
            StateFile(tmp_path, 51, 10)

    def test_refuses_what_the_disk_does_not_hold(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.posix_fallocate", full)
        with pytest.raises(InputError, match=r"There is no room in .* \(No space left on device\)"):
            StateFile(tmp_path, 10, 10)

    def test_refuses_states_beyond_half_precision(self, tmp_path: Path) -> None:
        kept = StateFile(tmp_path, 1, 1)
        with pytest.raises(NotFiniteError, match="exceed 65,504"):
            kept.add(torch.tensor([[70000.0]]), torch.tensor([0]))
        kept.close()
