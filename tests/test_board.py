"""What a page asks of the queue: real workers, and everything that can become of one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from command_line import rows, saturation
from test_sweep import break_step, run

from saturation import settings
from saturation.errors import InputError, JobError, UnknownNameError
from saturation.jobs import board, plan, presence
from saturation.jobs.board import Job
from saturation.jobs.presence import Presence
from saturation.settings import Settings
from saturation.store import Store, queries, queue

__all__ = ["run"]  # a fixture of another file


@pytest.fixture
def here(cache: Path) -> Settings:
    return settings.load(cache)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """No worker is started; the list tells when one would have been."""
    asked: list[Settings] = []
    monkeypatch.setattr(board, "ensure_worker", asked.append)
    return asked


def until(here: Settings, job_id: str, states: tuple[str, ...] = ("done", "failed", "cancelled")) -> Job:
    """The job once it is in one of these states."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = next(job for job in board.jobs(here) if job.id == job_id)
        if found.state in states:
            return found
        time.sleep(0.1)
    raise AssertionError(f"The job did not get there: {found}; {(here.workers_path / 'worker.log').read_text()}")


class TestARealWorker:
    def test_from_asking_to_a_second_worker_after_the_first_was_killed(
        self, here: Settings, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two jobs; the worker is killed in the middle of the first, and the page that lists them brings another."""
        monkeypatch.setattr(board, "RESTART_SECONDS", 5.0)
        long = run.parent / "long.txt"
        long.write_text(tiny.text(300_000), encoding="utf-8")  # a pass of several beats, each of which tells of it
        first = board.submit(here, [str(run / "step2"), str(run / "step100")], ["spectrum", "loss"], str(long))
        second = board.submit(here, [str(run / "step10")], ["spectrum"])
        third = board.submit(here, [str(run / "step10")], ["alignment"], str(long))
        name = queries_name(here, first)
        assert [job.title for job in board.jobs(here)] == [f"{name}@10", f"{name}@10", f"{name}, 2 checkpoints"]
        board.cancel(here, third)
        assert board.find(here, third).state == "cancelled"
        worker = at_work(here, first, "forward pass")
        os.kill(worker.pid, signal.SIGKILL)
        done = until(here, first)
        assert (done.state, done.done, done.total, done.error) == ("done", 2, 2, None), done
        assert done.started is not None
        assert done.finished is not None
        assert done.started < done.finished
        assert until(here, second).state == "done"
        found = queries.provenance(Store(here.store_path), "local")
        assert list(zip(found["step"], found["measure"], strict=True)) == [
            (2, "loss"),
            (2, "spectrum"),
            (10, "spectrum"),
            (100, "loss"),
            (100, "spectrum"),
        ]
        running = [life.pid for life in presence.lives(here.workers_path)]
        assert len(running) == 1
        assert running != [worker.pid]
        for job_id in (first, second, third):
            board.dismiss(here, job_id)
        assert board.jobs(here) == []
        os.kill(running[0], signal.SIGTERM)  # in order: it leaves no file behind
        deadline = time.monotonic() + 20
        while presence.lives(here.workers_path) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert presence.lives(here.workers_path) == []

    def test_a_running_job_is_stopped_and_its_worker_goes_on(self, here: Settings, run: Path, tmp_path: Path) -> None:
        long = tmp_path / "long.txt"
        long.write_text(tiny.text(400_000), encoding="utf-8")
        job_id = board.submit(here, [str(run)], ["loss"], str(long))
        worker = at_work(here, job_id, "forward pass")
        board.cancel(here, job_id)
        assert board.find(here, job_id).state == "cancelled"
        board.retry(here, job_id)
        at_work(here, job_id, "forward pass")
        board.cancel(here, job_id)
        assert until(here, job_id, ("cancelled",)).total == 3
        other = board.submit(here, [str(run / "step2")], ["spectrum"])
        assert until(here, other).state == "done"
        assert [life.pid for life in presence.lives(here.workers_path)] == [worker.pid]
        os.kill(worker.pid, signal.SIGTERM)


def queries_name(here: Settings, job_id: str) -> str:
    return str(queue.jobs_of(Store(here.store_path), job_id)["target"][0]).partition("@")[0]


def at_work(here: Settings, job_id: str, message: str) -> presence.Life:
    """The worker that says it is at a job, and at what."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        groups = set(queue.running_groups(Store(here.store_path), job_id))
        for life in presence.lives(here.workers_path):
            if any(message in progress.message for group, progress in life.doing.items() if group in groups):
                return life
        time.sleep(0.05)
    raise AssertionError((here.workers_path / "worker.log").read_text())


class TestWork:
    """The worker's command in this process: it ends when nothing is left."""

    def test_one_that_fails_does_not_stop_the_rest(self, here: Settings, run: Path, idle: list[Settings]) -> None:
        break_step(run, 10, "model.decoder.embed_tokens.weight")
        job_id = board.submit(here, [str(run)], ["spectrum"])
        assert (board.find(here, job_id).state, len(idle)) == ("waiting", 1)
        assert saturation("work").code == 0
        found = board.find(here, job_id)
        assert (found.state, found.done, found.total, found.failed) == ("failed", 3, 3, 1)
        assert found.error == "The head holds NaN or infinite values; this checkpoint cannot be measured."
        assert rows(here.cache)["checkpoints"] == 2

    def test_other_kinds_of_work(self, here: Settings, idle: list[Settings]) -> None:
        known = board.start(
            here, "playground", "a language", {"vocab_size": 64, "contexts": 64, "rank": 4, "widths": [2]}
        )
        with pytest.raises(UnknownNameError, match=r"did you mean playground\?"):
            board.start(here, "playgrounds", "another", {})
        wrong = board.start(here, "playground", "a third", {"colour": "red"})
        assert saturation("work").code == 0
        assert (board.find(here, known).state, board.find(here, known).kind) == ("done", "playground")
        assert "The playground knows no 'colour'" in str(board.find(here, wrong).error)
        assert len(queries.playground(Store(here.store_path))) >= 1

    def test_a_single_worker_at_a_time(self, here: Settings) -> None:
        here.workers_path.mkdir(parents=True)
        with board.single(here).acquire():
            assert saturation("work", "--single", "--idle", "100").code == 0  # it leaves at once

    def test_the_queue_by_command_line(self, here: Settings, run: Path, idle: list[Settings]) -> None:
        assert saturation("queue", "list").stdout == "The queue is empty.\n"
        job_id = board.submit(here, [str(run)], ["spectrum"])
        assert saturation("queue", "cancel", job_id).code == 0
        (listed,) = saturation("queue", "list", "--json").json["jobs"]
        assert (listed["id"], listed["state"], listed["total"]) == (job_id, "cancelled", 3)
        assert saturation("queue", "retry", job_id).code == 0
        assert saturation("work").code == 0
        assert "done         3 of 3" in saturation("queue", "list").stdout
        assert saturation("queue", "cancel", "nothing").sentence == (
            "There is no job nothing; it may have been dismissed."
        )


class TestBoard:
    def test_jobs_that_nobody_is_at_bring_a_worker(
        self, here: Settings, run: Path, idle: list[Settings], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.submit(here, [str(run)], ["spectrum"])
        idle.clear()
        monkeypatch.setattr(board, "_restarted", {})
        board.jobs(here)
        assert len(idle) == 1
        board.jobs(here, revive=False)
        assert len(idle) == 1
        with Presence(here.workers_path):  # a sweep of the command line, which will come to it
            board.jobs(here)
        assert len(idle) == 1
        board._restarted[here.workers_path] = time.monotonic()
        board.jobs(here)
        assert len(idle) == 1  # one that dies at once is not started without end

    def test_no_jobs(self, here: Settings) -> None:
        assert board.jobs(here) == []
        Store(here.store_path).ensure()
        assert board.jobs(here) == []

    @pytest.mark.parametrize("action", [board.find, board.cancel, board.dismiss, board.retry])
    @pytest.mark.parametrize("name", ["nothing", "../secret", "'; DROP TABLE jobs; --", ""])
    def test_no_such_job(self, here: Settings, action: object, name: str) -> None:
        Store(here.store_path).ensure()
        with pytest.raises(JobError, match=r"^There is no job .*; it may have been dismissed\.$"):
            action(here, name)

    def test_a_job_that_is_active_is_not_dismissed(self, here: Settings, run: Path, idle: list[Settings]) -> None:
        job_id = board.submit(here, [str(run)], ["spectrum"])
        with pytest.raises(JobError, match=r"^This job still runs; cancel it first\.$"):
            board.dismiss(here, job_id)
        board.cancel(here, job_id)
        board.dismiss(here, job_id)

    @pytest.mark.parametrize(
        ("targets", "measures", "error", "message"),
        [
            ([], ["spectrum"], JobError, "No checkpoint was chosen; pick at least one step."),
            (["lab/w8"], [], InputError, "No measure was named"),
            (["lab/w8"], ["spectre"], UnknownNameError, "There is no measure 'spectre'; did you mean spectrum?"),
            (["/nowhere"], ["spectrum"], InputError, "There is no file or folder /nowhere; check the path."),
        ],
    )
    def test_what_cannot_be_submitted(
        self, here: Settings, targets: list[str], measures: list[str], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message.replace("?", r"\?")):
            board.submit(here, targets, measures)
        assert board.jobs(here) == []

    def test_a_worker_that_hangs_is_ended_and_nobody_else(
        self,
        here: Settings,
        run: Path,
        idle: list[Settings],
        sleeper: subprocess.Popen[bytes],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The number of the worker's process may belong to another program by now: that one is left alone."""
        monkeypatch.setattr(board, "STOP_SECONDS", 0.2)
        store = Store(here.store_path)
        job_id = board.submit(here, [str(run / "step2")], ["spectrum"])
        with Presence(here.workers_path) as worker:
            (given,) = queue.give(store, worker.worker, [plan.MEASURE])
            worker.tell(given.group_id, 0, 1, "hanging")
            monkeypatch.setattr(presence.os, "getpid", lambda: sleeper.pid)
            worker._write()
            board.cancel(here, job_id)
            assert sleeper.poll() is None
            queue.finish(store, worker.worker, [(given, queue.Outcome("cancelled"))])
        assert board.find(here, job_id).state == "cancelled"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any job."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.communicate(b"")
