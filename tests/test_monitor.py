"""Watching a training run: the numbers, what it leaves untouched, what it costs, and what it survives."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, Trainer, TrainingArguments

from saturation import settings
from saturation.jobs import live
from saturation.monitor import Monitor, monitor_callback, parse
from saturation.monitor.points import PointFile
from saturation.settings import ROOT, Settings
from saturation.store import Store, queries

BATCH = torch.randint(0, 60, (8, 16), generator=torch.Generator().manual_seed(3))


def model(dropout: float = 0.1, **changes: object) -> GPTNeoXForCausalLM:
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=60,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        eos_token_id=0,
        hidden_dropout=dropout,
        **changes,
    )
    return GPTNeoXForCausalLM(config)


def train(net: torch.nn.Module, steps: int, watch: Callable[[int], None] | None = None) -> list[float]:
    """Losses of a plain loop whose dropout and batches draw random numbers."""
    torch.manual_seed(5)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    net.train()
    losses = []
    for step in range(1, steps + 1):
        ids = torch.randint(0, 60, (4, 16))
        loss = net(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        if watch:
            watch(step)
    return losses


def points(folder: Path, name: str = "mine") -> list[dict[str, object]]:
    found = parse(folder / f"{name}.jsonl")
    assert found is not None
    return [vars(point) for point in found.points]


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def here(cache: Path) -> Settings:
    live._seen.clear()
    live._latest.clear()
    return settings.load(cache)


class TestNumbers:
    def test_they_are_those_of_an_independent_computation(self, tmp_path: Path) -> None:
        """Float64 numpy on the states that transformers gives, after training has changed the weights."""
        net = model()
        monitor = Monitor(net, BATCH, "mine", folder=tmp_path, every=1, most_overhead=1e9)
        train(net, 5, monitor.step)
        found = points(tmp_path)
        assert [point["step"] for point in found] == [0, 1, 2, 3, 4, 5]
        net.eval()
        text = BATCH.reshape(-1)
        inputs = torch.cat([torch.tensor([0]), text[:-1]]).reshape(8, 16)  # each token scored once, eos before all
        with torch.no_grad():
            out = net(input_ids=inputs, output_hidden_states=True)
        head = net.get_output_embeddings().weight.detach().double().numpy()
        last = found[-1]
        for name, matrix in (("singular_values", head), ("centred_singular_values", head - head.mean(axis=0))):
            assert np.allclose(last[name], np.linalg.svd(matrix, compute_uv=False), rtol=1e-9, atol=1e-9)
        for centred, name in ((False, "layers"), (True, "centred_layers")):
            for layer, states in enumerate(out.hidden_states):
                rows = states.reshape(-1, 8).double().numpy()
                rows = rows - rows.mean(axis=0) if centred else rows
                unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
                cosines = unit @ unit.T
                n = len(rows)
                assert last[name][layer] == pytest.approx((cosines.sum() - n) / (n * n - n), abs=1e-6)
        logits = out.logits.reshape(-1, 60).double()
        loss = torch.nn.functional.cross_entropy(logits, text)
        assert last["nats_per_token"] == pytest.approx(float(loss), abs=1e-6)
        assert last["accuracy"] == pytest.approx(float((logits.argmax(1) == text).double().mean()))
        p = np.array(last["singular_values"]) / sum(last["singular_values"])
        assert last["spectrum"]["singular_entropy"] == pytest.approx(np.log(8) + (p * np.log(p)).sum(), abs=1e-9)

    def test_training_is_the_same_bit_for_bit(self, tmp_path: Path) -> None:
        alone, watched = model(), model()
        expected = train(alone, 8)
        monitor = Monitor(watched, BATCH, "mine", folder=tmp_path, every=1, most_overhead=1e9)
        assert train(watched, 8, monitor.step) == expected
        for (name, weight), other in zip(alone.named_parameters(), watched.parameters(), strict=True):
            assert torch.equal(weight, other), name

    def test_modules_keep_their_modes(self, tmp_path: Path) -> None:
        net = model().train()
        net.gpt_neox.layers[0].eval()  # a frozen layer
        before = [module.training for module in net.modules()]
        Monitor(net, BATCH, "mine", folder=tmp_path).step()
        assert [module.training for module in net.modules()] == before

    def test_the_head_alone_of_any_module(self, tmp_path: Path) -> None:
        net = torch.nn.Sequential(torch.nn.Embedding(50, 6), torch.nn.Linear(6, 50))
        monitor = Monitor(net, run="mine", head=net[1].weight, folder=tmp_path, every=1, most_overhead=1e9)
        with torch.no_grad():
            net[1].weight.mul_(3.0)
        monitor.step()
        first, second = points(tmp_path)
        assert second["singular_values"] == pytest.approx([3 * value for value in first["singular_values"]])
        assert (second["layers"], second["nats_per_token"]) == ([], None)

    @pytest.mark.parametrize("wrap", [torch.nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
    def test_the_model_inside_a_wrapper(self, tmp_path: Path, wrap: Callable[[object], torch.nn.Module]) -> None:
        Monitor(wrap(model()), BATCH, "mine", folder=tmp_path).step()
        assert points(tmp_path)[0]["layers"]

    def test_a_tied_head(self, tmp_path: Path) -> None:
        Monitor(model(tie_word_embeddings=True), BATCH, "mine", folder=tmp_path).step()
        assert len(points(tmp_path)[0]["singular_values"]) == 8

    def test_only_the_first_process_measures(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RANK", "1")
        Monitor(model(), BATCH, "mine", folder=tmp_path).step()
        assert list(tmp_path.iterdir()) == []


class TestCost:
    def test_the_interval_stretches_until_the_share_is_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A measure takes 0.5 s and a step 0.1 s: with 1 %, every 500 steps instead of every 100."""
        clock, net = Clock(), model()
        monitor = Monitor(net, BATCH, "mine", folder=tmp_path, clock=clock)
        measure, monitor._cost = monitor._probe.measure, 0.5  # known from before training

        def slow() -> object:
            clock.now += 0.5
            return measure()

        monkeypatch.setattr(monitor._probe, "measure", slow)
        for _ in range(5000):
            clock.now += 0.1
            monitor.step()
            assert monitor.share <= 0.0102
        steps = [point["step"] for point in points(tmp_path)]
        assert all(later - earlier >= 495 for earlier, later in pairwise(steps)), steps
        assert 9 <= len(steps) <= 12

    def test_a_cheap_one_keeps_the_interval(self, tmp_path: Path) -> None:
        clock = Clock()
        monitor = Monitor(model(), BATCH, "mine", folder=tmp_path, clock=clock, every=100)
        for _ in range(1000):
            clock.now += 1.0
            monitor.step()
        assert [point["step"] for point in points(tmp_path)] == list(range(0, 1001, 100))

    def test_a_last_point_at_the_end(self, tmp_path: Path) -> None:
        clock = Clock()
        monitor = Monitor(model(), BATCH, "mine", folder=tmp_path, clock=clock, every=100)
        for _ in range(150):
            clock.now += 1.0
            monitor.step()
        monitor.close()
        monitor.close()
        assert [point["step"] for point in points(tmp_path)] == [0, 100, 150]


class TestNothingStopsTraining:
    def test_a_model_without_a_head(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        monitor = Monitor(torch.nn.Linear(3, 3), BATCH, "mine", folder=tmp_path)
        for _ in range(5):
            monitor.step()
        monitor.close()
        (record,) = caplog.records
        assert record.getMessage() == (
            "Saturation stops watching the run 'mine' at step 0: Linear does not tell its output head; give its weight "
            "(vocab_size, hidden_size) as head=."
        )

    def test_weights_that_become_nan(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        net = model()
        monitor = Monitor(net, BATCH, "mine", folder=tmp_path, every=1, most_overhead=1e9)
        monitor.step()
        with torch.no_grad():
            net.get_output_embeddings().weight.fill_(float("nan"))
        monitor.step()
        monitor.step()
        assert len(caplog.records) == 1
        assert "The head holds NaN or infinite values" in caplog.text
        assert [point["step"] for point in points(tmp_path)] == [0, 1]

    def test_a_disk_that_is_full_for_a_while(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monitor = Monitor(model(), BATCH, "mine", folder=tmp_path, every=1, most_overhead=1e9)
        monitor.step()
        write = os.write
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:40]))
            monitor.step()
            monitor.step()
        monitor.step()
        assert len(caplog.records) == 1
        assert "cannot write what it sees of the run 'mine' (No space left on device)" in caplog.text
        assert [point["step"] for point in points(tmp_path)] == [0, 1, 4]

    @pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 99, "a b"])
    def test_a_name_that_is_no_file(self, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
        Monitor(model(), BATCH, name, folder=tmp_path / "live").step()
        assert "cannot be used; take letters, digits" in caplog.text
        assert not (tmp_path / "live").exists()

    def test_a_keyboard_interrupt_is_the_users(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monitor = Monitor(model(), BATCH, "mine", folder=tmp_path, every=1, most_overhead=1e9)

        def interrupted() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(monitor._probe, "measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            monitor.step()


class TestWarning:
    def watch(self, tmp_path: Path, anisotropy: list[float], entropy: list[float]) -> None:
        monitor = Monitor(model(), BATCH, "mine", folder=tmp_path, most_overhead=1e9)
        for place in range(len(anisotropy)):
            monitor._points = [(1000 * k, anisotropy[k], entropy[k]) for k in range(place + 1)]
            monitor._warn()

    def test_once_in_a_line_when_anisotropy_turns(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        anisotropy = [0.5, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65]
        self.watch(tmp_path, anisotropy, [0.3] * 16)
        (record,) = caplog.records
        assert "in the run 'mine' these rise: last-layer anisotropy since about step" in record.getMessage()
        assert "\n" not in record.getMessage()
        assert record.levelno == logging.WARNING

    @pytest.mark.parametrize(
        ("anisotropy", "entropy"),
        [
            ([0.5, 0.3, 0.2, 0.1] + [0.1] * 16, [0.01, 0.1, 0.2] + [0.3] * 17),  # entropy rises from a random head
            ([0.5 * 0.8**k for k in range(20)], [0.3 * 0.95**k for k in range(20)]),
            ([0.2] * 20, [0.3] * 20),
        ],
    )
    def test_never_for_a_first_descent(
        self, tmp_path: Path, anisotropy: list[float], entropy: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        self.watch(tmp_path, anisotropy, entropy)
        assert caplog.records == []


class TestFile:
    def test_every_prefix_of_a_file_can_be_read(self, tmp_path: Path) -> None:
        """A crash at any byte costs at most the point that was being written."""
        monitor = Monitor(model(), BATCH, "mine", folder=tmp_path, every=1, most_overhead=1e9)
        for _ in range(3):
            monitor.step()
        whole = (tmp_path / "mine.jsonl").read_bytes()
        ends = [place for place in range(len(whole)) if whole[place : place + 1] == b"\n" and place]
        torn = tmp_path / "torn.jsonl"
        for length in range(0, len(whole), 11):
            torn.write_bytes(whole[:length])
            found = parse(torn)
            complete = len([end for end in ends if end <= length and whole[end - 1 : end] == b"}"])
            assert (0 if found is None else 1 + len(found.points)) >= complete - 1
            if found is not None:
                PointFile(torn).add(found.points[-1]) if found.points else None
                again = parse(torn)
                assert again is not None
                assert len(again.points) == len(found.points)

    def test_a_resumed_run_goes_on_in_its_file(self, tmp_path: Path) -> None:
        first = Monitor(model(), BATCH, "mine", folder=tmp_path, every=1, most_overhead=1e9)
        for step in (1, 2, 3, 4, 5):
            first.step(step)
        second = Monitor(model(), BATCH, "mine", folder=tmp_path, every=1, most_overhead=1e9)
        for step in (4, 5):  # from a checkpoint at step 3
            second.step(step)
        found = parse(tmp_path / "mine.jsonl")
        assert found is not None
        assert sorted(point.step for point in found.points) == [0, 1, 2, 3, 4, 5]
        assert found.resumed == (4,)
        assert found.superseded == ()
        third = Monitor(model(), BATCH, "mine", folder=tmp_path, every=1, most_overhead=1e9)
        third.step(3)
        again = parse(tmp_path / "mine.jsonl")
        assert again is not None
        assert again.superseded == (4, 5)

    def test_another_run_of_the_same_name_gets_a_file_of_its_own(self, tmp_path: Path) -> None:
        for _ in range(2):
            Monitor(model(), BATCH, "mine", folder=tmp_path).step()
        Monitor(model(), BATCH[:4], "mine", folder=tmp_path).step(500)  # another batch
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine-2.jsonl", "mine-3.jsonl", "mine.jsonl"]

    def test_a_killed_training_run_loses_at_most_its_last_point(self, tmp_path: Path) -> None:
        code = (
            "import sys\nsys.path.insert(0, 'tests')\nfrom test_monitor import *\nnet = model()\n"
            "monitor = Monitor(net, BATCH, 'mine', folder=sys.argv[1], every=1, most_overhead=1e9)\n"
            "def watch(step):\n    monitor.step(step)\n    print(step, flush=True)\n"
            "train(net, 100000, watch)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 25:
                break
        os.kill(process.pid, signal.SIGKILL)
        said = [25, *(int(line) for line in process.stdout if line.strip())]
        process.wait()
        assert [point["step"] for point in points(tmp_path)][: said[-1] + 1] == list(range(said[-1] + 1))


class TestLive:
    def grow(self, here: Settings, steps: range, net: torch.nn.Module, monitor: Monitor) -> None:
        for step in steps:
            with torch.no_grad():
                net.get_output_embeddings().weight.mul_(1.1)
            monitor.step(step)

    def test_points_come_into_the_store_as_they_are_written(self, here: Settings) -> None:
        store, net = Store(here.store_path), model()
        assert live.bring_in(here, store) == []
        monitor = Monitor(net, BATCH, "mine", every=1, most_overhead=1e9)
        self.grow(here, range(1, 4), net, monitor)
        (news,) = live.bring_in(here, store)
        assert (news.name, news.step, news.points, news.live) == ("mine", 3, 4, True)
        found = queries.trajectory(store, "live")
        assert found["step"].tolist() == [0, 1, 2, 3]
        expected = points(live.folder(here))
        assert found["nats_per_token"].tolist() == [point["nats_per_token"] for point in expected]
        assert found["anisotropy"].tolist() == [point["layers"][-1] for point in expected]
        assert found["singular_entropy"].tolist() == [point["spectrum"]["singular_entropy"] for point in expected]
        before, signature = queries.provenance(store, "live"), store.signature()
        live.bring_in(here, store)
        assert store.signature() == signature  # nothing new, nothing written
        self.grow(here, range(4, 6), net, monitor)
        with (live.folder(here) / "mine.jsonl").open("ab") as file:
            file.write(b'\n{"step": 6, "time": "20')  # being written
        live.bring_in(here, store)
        after = queries.provenance(store, "live")
        assert len(before) == 12
        assert len(after) == 18
        assert after["text_name"].dropna().unique().tolist() == ["fixed batch of 128 tokens"]

    def test_what_training_went_back_behind_is_doubtful(self, here: Settings) -> None:
        store = Store(here.store_path)
        for steps in (range(1, 6), range(3, 4)):
            monitor = Monitor(model(), BATCH, "mine", every=1, most_overhead=1e9)
            self.grow(here, steps, model(), monitor)
        live.bring_in(here, store)
        found = queries.trajectory(store, "live").set_index("step")["doubtful"]
        assert found[[0, 1, 2, 3]].isna().all()
        assert found[[4, 5]].str.contains("resumed at step 3").all()

    def test_a_trainer_and_the_overview(self, here: Settings, tmp_path: Path) -> None:
        """A real Trainer run; its last point is on the page, with a line in the sidebar."""
        rows = [{"input_ids": row, "labels": row} for row in torch.randint(0, 60, (32, 16))]
        arguments = TrainingArguments(
            output_dir=str(tmp_path / "out"),
            max_steps=6,
            per_device_train_batch_size=4,
            report_to=[],
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
        )
        callback = monitor_callback(BATCH, run="from-trainer", every=2, most_overhead=1e9)
        Trainer(model=model(), args=arguments, train_dataset=rows, callbacks=[callback]).train()
        assert [point["step"] for point in points(live.folder(here), "from-trainer")] == [0, 2, 4, 6]
        page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        page.query_params["family"] = "live"
        page.query_params["model"] = "from-trainer"
        page.run()
        assert not page.exception
        assert not page.error
        said = " ".join(element.value for element in [*page.sidebar.caption, *page.caption])
        assert "trainer** at step 6, loss" in said
        assert page.get("plotly_chart")

    def test_the_measure_page_says_how(self, here: Settings) -> None:
        page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page("pages/7_Measure.py").run()
        assert not page.exception
        (loop, trainer) = [element.value for element in page.code]
        assert "monitor.step(step)" in loop
        assert "monitor_callback(batch" in trainer
        for code in (loop, trainer):
            compile(code, "example", "exec")


def test_json_of_a_point_is_one_line(tmp_path: Path) -> None:
    Monitor(model(), BATCH, "mine", folder=tmp_path).step()
    lines = [line for line in (tmp_path / "mine.jsonl").read_text().split("\n") if line]
    assert len(lines) == 2
    header, point = (json.loads(line) for line in lines)
    assert header["run"] == "mine"
    assert header["started"] <= point["time"]
    assert time.time() > 0
