"""The runner: when workers die, stores are locked, jobs are cancelled, memory is short, and how its threads overlap."""

import threading
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import store_rows
from command_line import saturation
from test_sweep import run

from saturation import settings
from saturation.errors import JobError, StoreBusyError, StoreError
from saturation.jobs import lanes, memory, perform, plan, runner
from saturation.jobs.lanes import ThreadLane
from saturation.jobs.presence import Presence, Watch, lives, living
from saturation.jobs.runner import Runner
from saturation.settings import Settings
from saturation.store import Store, queue
from saturation.store import store as store_module
from saturation.store.connection import connect
from saturation.store.queue import Asked, Given, Outcome

__all__ = ["run"]  # a fixture of another file


@pytest.fixture
def here(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(runner, "WATCH_SECONDS", 0.05)
    return settings.load(cache)


@pytest.fixture
def store(here: Settings) -> Store:
    store = Store(here.store_path)
    store.ensure()
    return store


class Lane:
    """Answers each group with what `answer` makes of it, on a thread of its own."""

    kinds = (plan.MEASURE,)

    def __init__(self, answer: Callable[[Given], Outcome | Exception], slots: int = 1) -> None:
        self.answer, self.slots, self.at_once = answer, slots, slots
        self.started: list[str] = []
        self.stopped = threading.Event()
        self.closed = False

    def start(self, given: Given, held: Mapping[str, Any], ended: lanes.Ended) -> None:
        self.started.append(given.target)
        threading.Thread(target=lambda: ended(given, self.answer(given)), daemon=True).start()

    def stop(self, group_id: str) -> None:
        self.stopped.set()

    def close(self) -> None:
        self.closed = True


def asked(step: int) -> Asked:
    checkpoint = {"family": "local", "model": "m", "step": step, "source": "s", "revision": None, "commit": None}
    return Asked(
        plan.MEASURE,
        f"local/m@{step}",
        plan._json(
            {
                "checkpoint": checkpoint | {"path": None},
                "request": {
                    "text": None,
                    "max_tokens": None,
                    "context_length": None,
                    "dtype": "float32",
                    "device": "cpu",
                    "head_tensor": None,
                    "tokenizer": None,
                    "keep": False,
                },
            }
        ),
        "spectrum",
    )


def states(store: Store, request_id: str) -> list[str]:
    return queue.jobs_of(store, request_id)["state"].tolist()


def work(here: Settings, lane: Lane, request_id: str | None = None) -> None:
    Runner(here, lambda presence: [lane], request_id).run()


class TestRunner:
    def test_it_does_everything_and_ends(self, here: Settings, store: Store) -> None:
        request_id = queue.ask(store, "m", [asked(step) for step in range(5)])
        told: list[tuple[int, int]] = []
        lane = Lane(lambda given: Outcome("done"), slots=2)
        Runner(
            here, lambda presence: [lane], request_id, report=lambda done, total, _: told.append((done, total))
        ).run()
        assert states(store, request_id) == ["done"] * 5
        assert lane.started == [f"local/m@{step}" for step in range(5)]
        assert lane.closed
        assert told[-1] == (5, 5)
        assert told == sorted(told)
        assert list(here.workers_path.iterdir()) == []

    def test_the_store_is_written_once_a_turn(
        self, here: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ending a job and giving out the next one, on every lane: whoever reads meanwhile is kept out once."""
        request_id = queue.ask(store, "m", [asked(step) for step in range(5)])
        opened, before = [], store_module.connect
        monkeypatch.setattr(store_module, "connect", lambda *given: opened.append(given[1]) or before(*given))
        first, other = Lane(lambda given: Outcome("done")), Lane(lambda given: Outcome("done"))
        other.kinds = ("others",)
        Runner(here, lambda presence: [first, other], request_id, report=lambda *told: None).run()
        assert opened.count(False) <= 5 + 2  # a turn to begin with, one after each job, and giving back at the end

    @pytest.mark.parametrize(
        ("at_once", "seconds", "written"), [(1, 60.0, [4]), (1, 0.0, [1, 1, 1, 1]), (3, 60.0, [2, 1, 1])]
    )
    def test_what_ends_is_gathered_while_there_is_enough_to_do(
        self,
        here: Settings,
        store: Store,
        monkeypatch: pytest.MonkeyPatch,
        at_once: int,
        seconds: float,
        written: list[int],
    ) -> None:
        """Four jobs that end one after the other, all given out; what waits for an idle lane would take a minute."""
        monkeypatch.setattr(runner, "GATHER_SECONDS", seconds)
        finish, sizes = queue.finish, []

        def counted(store: Store, worker: str, ended: list) -> None:
            sizes.append(len(ended))
            finish(store, worker, ended)

        def answer(given: Given) -> Outcome:
            time.sleep(0.4 * int(given.target.partition("@")[2]))
            return Outcome("done")

        monkeypatch.setattr(queue, "finish", counted)
        request_id = queue.ask(store, "m", [asked(step) for step in (1, 2, 3, 4)])
        lane = Lane(answer, slots=4)
        lane.at_once = at_once
        work(here, lane, request_id)
        assert sizes == written
        assert states(store, request_id) == ["done"] * 4

    def test_jobs_of_others_are_left_to_a_worker_without_a_request(self, here: Settings, store: Store) -> None:
        mine, theirs = queue.ask(store, "m", [asked(1)]), queue.ask(store, "n", [asked(2)])
        work(here, Lane(lambda given: Outcome("done")), mine)
        assert (states(store, mine), states(store, theirs)) == (["done"], ["waiting"])
        work(here, Lane(lambda given: Outcome("done")))
        assert states(store, theirs) == ["done"]

    def test_it_takes_over_from_the_dead_and_waits_for_the_living(self, here: Settings, store: Store) -> None:
        request_id = queue.ask(store, "m", [asked(1), asked(2)])
        assert len(queue.give(store, "dead", [plan.MEASURE])) == 1
        with Presence(here.workers_path) as other:
            (given,) = queue.give(store, other.worker, [plan.MEASURE])
            lane = Lane(lambda given: Outcome("done"))
            thread = threading.Thread(target=work, args=(here, lane, request_id))
            thread.start()
            deadline = time.monotonic() + 20
            while states(store, request_id) != ["done", "running"] and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.3)
            assert thread.is_alive()  # the other one still has a job
            queue.finish(store, other.worker, [(given, Outcome("done"))])
            thread.join(20)
        assert states(store, request_id) == ["done", "done"]
        assert lane.started == ["local/m@1"]

    def test_what_nobody_wants_is_stopped(self, here: Settings, store: Store) -> None:
        request_id = queue.ask(store, "m", [asked(1)])
        lane = Lane(lambda given: (lane.stopped.wait(20), Outcome("cancelled"))[1])
        thread = threading.Thread(target=work, args=(here, lane, request_id))
        thread.start()
        while not lane.started:
            time.sleep(0.02)
        queue.cancel(store, request_id)
        thread.join(20)
        assert states(store, request_id) == ["cancelled"]

    def test_a_store_that_is_locked_meanwhile_costs_nothing(
        self, here: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The value is held until the store can be written, however often that fails."""
        measured = store_rows.measurement(scalars={"singular_entropy": 0.5})
        request_id = queue.ask(store, "m", [asked(1)])
        finish, times = queue.finish, iter(range(3))

        def busy(*given: Any) -> None:
            if next(times, None) is not None:
                raise StoreBusyError("measurements.duckdb was locked by process 1 for 15 s; try again.")
            finish(*given)

        monkeypatch.setattr(queue, "finish", busy)
        work(here, Lane(lambda given: Outcome("done", measured=(measured,))), request_id)
        assert states(store, request_id) == ["done"]
        assert list(store.load([measured.measurement_id])) == [measured.measurement_id]

    def test_a_store_that_cannot_be_written_ends_it_and_the_jobs_wait(
        self, here: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request_id = queue.ask(store, "m", [asked(1), asked(2)])

        def full(*given: Any) -> None:
            raise StoreError("The disk is full; free some space.")

        monkeypatch.setattr(queue, "finish", full)
        with pytest.raises(StoreError, match="The disk is full"):
            work(here, Lane(lambda given: Outcome("done")), request_id)
        assert states(store, request_id) == ["waiting", "waiting"]
        assert living(here.workers_path) == set()

    def test_a_lane_that_breaks_ends_it_and_the_jobs_wait(self, here: Settings, store: Store) -> None:
        request_id = queue.ask(store, "m", [asked(1), asked(2)])
        with pytest.raises(JobError, match="went away"):
            work(here, Lane(lambda given: JobError("The scheduler went away.")), request_id)
        assert states(store, request_id) == ["waiting", "waiting"]


class TestPresence:
    def test_the_dead_are_told_from_the_living(self, tmp_path: Path) -> None:
        watch = Watch(tmp_path)
        with Presence(tmp_path) as one:
            one.tell("group", 3, 7, "reading")
            assert living(tmp_path) == {one.worker}
            assert watch.dead([one.worker, "0123"]) == {"0123"}
            deadline = time.monotonic() + 10
            while not lives(tmp_path)[0].doing and time.monotonic() < deadline:
                time.sleep(0.05)
            assert lives(tmp_path)[0].doing["group"].line() == "reading 43%"
        assert watch.dead([one.worker]) == {one.worker}

    def test_one_that_stands_still_is_dead_by_this_processs_own_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Wall clocks play no part: only how long this process has seen the same beat."""
        watch, now = Watch(tmp_path, frozen_seconds=60), [1000.0]
        monkeypatch.setattr("saturation.jobs.presence.time.monotonic", lambda: now[0])
        monkeypatch.setattr("saturation.jobs.presence.BEAT_SECONDS", 1e6)  # stopped
        with Presence(tmp_path) as one:
            assert watch.dead([one.worker]) == set()
            now[0] += 59
            assert watch.dead([one.worker]) == set()
            one._beat += 1
            one._write()
            now[0] += 2
            assert watch.dead([one.worker]) == set()
            now[0] += 61
            assert watch.dead([one.worker]) == {one.worker}
            one._ended.set()

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"worker": "x"}', '{"doing": 3}'])
    def test_what_cannot_be_read_is_no_news(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "0123.json").write_text(content)
        assert lives(tmp_path) == []

    def test_a_full_disk_costs_the_news_only(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*given: object, **options: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        with Presence(tmp_path) as one:
            assert living(tmp_path, [one.worker]) == {one.worker}


class TestThreads:
    def test_reading_overlaps_with_computing_and_computing_with_nothing(
        self, here: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Eight groups that read for 0.1 s and compute for 0.1 s take about 0.9 s, not 1.6 s."""
        spans: list[tuple[str, float, float]] = []

        def span(name: str) -> None:
            start = time.monotonic()
            time.sleep(0.1)
            spans.append((name, start, time.monotonic()))

        def measure(desk: perform.Desk, given: Given, held: object, report: object) -> Outcome:
            span("reading")
            with desk.gate:
                span("computing")
            return Outcome("done")

        monkeypatch.setattr(perform.Desk, "measure", measure)
        store = Store(here.store_path)
        request_id = queue.ask(store, "m", [asked(step) for step in range(8)])
        Runner(here, lambda presence: [ThreadLane(here, presence.tell, (plan.MEASURE,))], request_id).run()
        computing = sorted((start, end) for name, start, end in spans if name == "computing")
        assert len(computing) == 8
        assert all(later[0] >= earlier[1] for earlier, later in pairwise(computing))
        both = sum(
            max(0.0, min(end, other_end) - max(start, other))
            for start, end in computing
            for name, other, other_end in spans
            if name == "reading"
        )
        assert both > 0.3

    def test_a_defect_of_ours_fails_its_job_and_no_other(
        self, here: Settings, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        measured = perform.Desk._measure

        def broken(desk: perform.Desk, given: Given, *others: Any) -> Outcome:
            if given.target.endswith("@10"):
                raise ZeroDivisionError("division by zero")
            return measured(desk, given, *others)

        monkeypatch.setattr(perform.Desk, "_measure", broken)
        outcome = saturation("sweep", run, "--measures", "spectrum")
        assert outcome.code == 1
        assert "@10 met an unexpected ZeroDivisionError (division by zero); please report it." in outcome.stderr
        assert outcome.stdout.startswith("3 checkpoints: 2 measured, 0 were stored, 1 failed")


class TestMemory:
    def test_what_does_not_fit_is_refused_with_the_number(
        self, here: Settings, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "SMALL", 0)
        monkeypatch.setenv("SATURATION_MEMORY_GB", "0.5")
        outcome = saturation("sweep", run, "--measures", "spectrum", "--steps", "2")
        assert "needs about 0.6 GB of memory and 0.5 GB may be used; use a larger machine" in outcome.stderr
        monkeypatch.setenv("SATURATION_MEMORY_GB", "2")
        assert saturation("sweep", run, "--measures", "spectrum", "--steps", "2").code == 0

    def test_by_hand(self) -> None:
        row = memory.Sizes(1000, 50_000, layers=10, parameters=200_000_000, head_item_bytes=2)
        head, blocks = 50_000 * 1000 * 2, 8 * (2 * 8192 * 1000 + 4 * 1000**2)
        assert memory.needed(row, ["spectrum"], "float32") == memory.PROCESS_BYTES + head + blocks
        whole = memory.needed(row, ["spectrum", "loss"], "float32")
        assert whole == memory.PROCESS_BYTES + memory.WORKING_BYTES + 800_000_000 + head + 12 * 8192 * 1000 * 4
        assert whole - memory.needed(row, ["loss"], "bfloat16") == 400_000_000

    def test_the_machine_has_some(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SATURATION_MEMORY_GB", raising=False)
        assert 5e8 < memory.bound() < 1e14

    @pytest.mark.parametrize("value", ["much", "0", "-3", "inf", "nan"])
    def test_a_setting_that_is_no_size(self, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SATURATION_MEMORY_GB", value)
        with pytest.raises(Exception, match=f"SATURATION_MEMORY_GB is '{value}'; set it to a number of gigabytes"):
            memory.bound()


def test_the_lock_of_another_process_is_waited_for(here: Settings, store: Store) -> None:
    """A reader that keeps the file open for a while delays the runner and nothing else."""
    request_id = queue.ask(store, "m", [asked(1)])
    with connect(here.store_path, read_only=True):
        thread = threading.Thread(target=work, args=(here, Lane(lambda given: Outcome("done")), request_id))
        thread.start()
        time.sleep(0.3)
        assert thread.is_alive()
    thread.join(20)
    assert states(store, request_id) == ["done"]
