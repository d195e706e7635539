"""Jobs of the dashboard: a real worker, and everything that can become of one."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tiny
from command_line import rows
from test_sweep import break_step, run

from saturation import settings
from saturation.errors import InputError, JobError, UnknownNameError
from saturation.jobs import board
from saturation.jobs.board import Job
from saturation.jobs.worker import work
from saturation.settings import Settings
from saturation.store import Store, queries

__all__ = ["run"]  # a fixture of another file


@pytest.fixture
def here(cache: Path) -> Settings:
    return settings.load(cache)


def job(**changes: object) -> Job:
    started = datetime.now(UTC) - timedelta(hours=1)
    base = Job("abc123", "lab/w8@0", ("lab/w8@0",), ("spectrum",), None, "running", 0, 1, "", None, started, None, None)
    return replace(base, **changes)


def finished(here: Settings, job_id: str, seconds: float = 120) -> Job:
    """The job once its worker has come to an end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = next(item for item in board.jobs(here) if item.id == job_id)
        if found.state not in board.ACTIVE:
            return found
        time.sleep(0.1)
    raise AssertionError(f"The job did not end: {found}")


@pytest.fixture
def sleeper() -> Callable[[], subprocess.Popen[bytes]]:
    """A process that has nothing to do with any job."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.communicate(b"")


class TestARealWorker:
    def test_two_jobs_one_after_the_other(self, here: Settings, run: Path) -> None:
        """The first measures a run; the second waits for it and is cancelled."""
        text = str(run.parent / "text.txt")
        first = board.submit(here, [str(run / "step2"), str(run / "step100")], ["spectrum", "loss"], text)
        second = board.submit(here, [str(run / "step10")], ["spectrum"])
        listed = {item.id: item for item in board.jobs(here)}
        assert listed[first].state in board.ACTIVE
        assert (listed[first].title, listed[second].title) == (f"{run / 'step2'} and 1 more", str(run / "step10"))
        assert listed[second].state == "waiting"
        board.cancel(here, second)
        assert board.read(here, second).state == "cancelled"
        done = finished(here, first)
        assert (done.state, done.done, done.total, done.error) == ("done", 2, 2, None), done
        assert done.started < done.finished
        found = queries.provenance(Store(here.store_path), "local")
        assert list(zip(found["step"], found["measure"], strict=True)) == [
            (2, "loss"),
            (2, "spectrum"),
            (100, "loss"),
            (100, "spectrum"),
        ]
        board.dismiss(here, first)
        board.dismiss(here, second)
        assert [path.name for path in here.jobs_path.iterdir()] in ([], ["worker.lock"])

    def test_a_running_job_is_stopped_at_once(self, here: Settings, run: Path, tmp_path: Path) -> None:
        long = tmp_path / "long.txt"
        long.write_text(tiny.text(2_000_000), encoding="utf-8")
        job_id = board.submit(here, [str(run)], ["loss"], str(long))
        deadline = time.monotonic() + 120
        while board.read(here, job_id).state == "waiting" and time.monotonic() < deadline:
            time.sleep(0.1)
        worker = board.read(here, job_id)
        assert worker.state == "running"
        board.cancel(here, job_id)
        assert board.read(here, job_id).state == "cancelled"
        with pytest.raises(ProcessLookupError):
            os.kill(worker.pid, 0)


class TestWork:
    """The worker's own function, in this process."""

    def test_progress_and_rows(self, here: Settings, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        board.save(here, job(targets=(str(run),), state="waiting", started=datetime.now(UTC)))
        seen: list[tuple[str, int, int]] = []
        save = board.save

        def note(settings: Settings, item: Job) -> None:
            seen.append((item.state, item.done, item.total))
            save(settings, item)

        monkeypatch.setattr(board, "save", note)
        assert work(here, "abc123").state == "done"
        assert list(dict.fromkeys(seen)) == [
            ("running", 0, 1),
            ("running", 0, 3),
            ("running", 1, 3),
            ("running", 2, 3),
            ("running", 3, 3),
            ("done", 3, 3),
        ]
        assert board.read(here, "abc123").pid == os.getpid()
        assert rows(here.cache)["measurements"] == 3

    def test_one_that_fails_does_not_stop_the_rest(self, here: Settings, run: Path) -> None:
        break_step(run, 10, "model.decoder.embed_tokens.weight")
        board.save(here, job(targets=(str(run),), state="waiting"))
        found = work(here, "abc123")
        assert (found.state, found.done, found.total) == ("failed", 3, 3)
        assert found.error == (
            "The head holds NaN or infinite values; this checkpoint cannot be measured. (1 of 3 failed)"
        )
        assert rows(here.cache)["checkpoints"] == 2

    def test_a_target_that_names_nothing(self, here: Settings) -> None:
        board.save(here, job(targets=("/nowhere",), state="waiting"))
        found = work(here, "abc123")
        assert (found.state, found.error) == ("failed", "There is no file or folder /nowhere; check the path.")
        assert found.finished is not None  # for the type checker
        assert found.started <= found.finished <= datetime.now(UTC)

    @pytest.mark.parametrize("state", ["cancelled", "done", "failed"])
    def test_a_job_that_is_over_is_left_alone(self, here: Settings, state: str) -> None:
        before = job(state=state)
        board.save(here, before)
        assert work(here, "abc123") == before
        assert board.read(here, "abc123") == before


class TestBoard:
    @pytest.mark.parametrize("pid", [None, 2**22 + 5])
    def test_a_dead_worker_is_marked_failed(self, here: Settings, pid: int | None) -> None:
        board.save(here, job(pid=pid))
        found = board.jobs(here)[0]
        assert (found.state, found.error) == (
            "failed",
            "The worker stopped before the end; start again: what was measured is kept.",
        )
        assert board.read(here, "abc123") == found

    def test_a_worker_that_was_only_just_started_is_given_time(self, here: Settings) -> None:
        board.save(here, job(started=datetime.now(UTC)))
        assert board.jobs(here)[0].state == "running"

    def test_a_process_that_took_over_the_workers_id(self, here: Settings, sleeper: subprocess.Popen[bytes]) -> None:
        board.save(here, job(pid=sleeper.pid))
        board.cancel(here, "abc123")
        assert board.read(here, "abc123").state == "cancelled"
        board.save(here, job(pid=sleeper.pid))
        assert board.jobs(here)[0].state == "failed"
        assert sleeper.poll() is None  # it was not signalled

    def test_newest_first(self, here: Settings) -> None:
        now = datetime.now(UTC)
        for hours, name in ((2, "b"), (1, "c"), (3, "a")):
            board.save(here, job(id=name, state="done", started=now - timedelta(hours=hours)))
        assert [item.id for item in board.jobs(here)] == ["c", "b", "a"]

    def test_no_jobs(self, here: Settings) -> None:
        assert board.jobs(here) == []

    @pytest.mark.parametrize(
        "content", [b"", b"{", b'{"id": "half', b"[]", b"null", b"{}", b"\xff", b'{"started": 3, "finished": null}']
    )
    def test_a_file_that_is_half_written_or_foreign_is_passed_over(self, here: Settings, content: bytes) -> None:
        board.save(here, job(state="done"))
        (here.jobs_path / "half.json").write_bytes(content)
        (here.jobs_path / "my notes.json").write_bytes(content)
        (here.jobs_path / "abc123.77.part").write_bytes(content)
        assert [item.id for item in board.jobs(here)] == ["abc123"]
        with pytest.raises(JobError, match="There is no job half; it may have been dismissed"):
            board.read(here, "half")

    def test_every_prefix_of_a_job_file(self, here: Settings) -> None:
        board.save(here, job(state="done"))
        whole = (here.jobs_path / "abc123.json").read_bytes()
        json.loads(whole)
        for length in range(0, len(whole), 7):
            (here.jobs_path / "half.json").write_bytes(whole[:length])
            assert [item.id for item in board.jobs(here)] == ["abc123"]

    def test_a_job_is_read_as_it_was_written(self, here: Settings) -> None:
        written = job(state="failed", error="It broke.", finished=datetime.now(UTC), text="a.txt", pid=7, total=3)
        board.save(here, written)
        assert board.read(here, "abc123") == written

    @pytest.mark.parametrize("name", ["nothing", "../secret", "a/b", ""])
    def test_no_such_job(self, here: Settings, name: str) -> None:
        for action in (board.read, board.cancel, board.dismiss):
            with pytest.raises(JobError, match=r"There is no job|is no job"):
                action(here, name)

    def test_a_running_job_is_not_dismissed(self, here: Settings) -> None:
        board.save(here, job())
        with pytest.raises(JobError, match=r"^This job still runs; cancel it first\.$"):
            board.dismiss(here, "abc123")

    def test_cancelling_what_is_over_changes_nothing(self, here: Settings) -> None:
        board.save(here, job(state="done"))
        board.cancel(here, "abc123")
        assert board.read(here, "abc123").state == "done"

    @pytest.mark.parametrize(
        ("targets", "measures", "error", "message"),
        [
            ([], ["spectrum"], JobError, "No checkpoint was chosen; pick at least one step."),
            (["lab/w8"], [], InputError, "No measure was named"),
            (["lab/w8"], ["spectre"], UnknownNameError, "There is no measure 'spectre'; did you mean spectrum?"),
        ],
    )
    def test_what_cannot_be_submitted(
        self, here: Settings, targets: list[str], measures: list[str], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message.replace("?", r"\?")):
            board.submit(here, targets, measures)
        assert board.jobs(here) == []
