"""What a page asks of the queue: start work, list it with its progress, cancel, retry, dismiss. Imports no torch.

The dashboard's process never measures: it puts jobs into the queue and sees to it that a worker process runs.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from saturation.checkpoints import library
from saturation.checkpoints.resolve import resolve
from saturation.errors import JobError
from saturation.families import registry
from saturation.families.model import Checkpoint
from saturation.jobs import hosting, perform, plan, quota
from saturation.jobs.presence import Life, Progress, Watch, lives, living
from saturation.jobs.request import MEASURES, Request
from saturation.settings import ROOT, Settings
from saturation.store import Store, queue

ACTIVE = queue.ACTIVE
# Somebody looks at a page and waits; a sweep from the command line comes after.
PAGE_PRIORITY = 10
# How long a worker may take to see that it is no longer wanted before its process is ended.
STOP_SECONDS = 5.0
# A worker that has nothing to do waits a little for more, since starting one takes seconds.
IDLE_SECONDS = 20
RESTART_SECONDS = 15.0
_started: list[subprocess.Popen[bytes]] = []
_restarted: dict[Path, float] = {}


@dataclass(frozen=True)
class Job:
    """What was asked for at once, and how far it has come. state: waiting, running, done, failed or cancelled.

    kind: measure, heads, ngram or playground. done of total: checkpoints, or the share of other work in percent.
    """

    id: str
    title: str
    kind: str
    state: str
    done: int
    total: int
    failed: int
    measures: tuple[str, ...]
    message: str
    error: str | None
    asked: datetime
    started: datetime | None
    finished: datetime | None

    @property
    def share(self) -> float:
        """How far it is, between 0 and 1."""
        return self.done / max(self.total, 1)


def submit(settings: Settings, targets: Sequence[str], measures: Sequence[str], text: str | None = None) -> str:
    """Ask for measures of targets, before all that waits; returns the job's id. Raises SaturationError."""
    return submit_each(settings, dict.fromkeys(targets, tuple(measures)), text)


def submit_each(settings: Settings, wanted: Mapping[str, tuple[str, ...]], text: str | None = None) -> str:
    """The same with the measures of each target."""
    hosting.check_targets(settings, list(wanted), text)
    if not wanted:
        raise JobError("No checkpoint was chosen; pick at least one step.")
    checkpoints, jobs = [], []
    for target, measures in wanted.items():
        found = _checkpoints(settings, target)
        checkpoints += found
        jobs += plan.jobs(found, Request(measures=measures, text=text))
    jobs.sort(key=lambda job: job.kind != plan.AUDIT)  # a model is audited before any of its checkpoints is measured
    return _ask(settings, plan.title(checkpoints), jobs, len(checkpoints))


def start(settings: Settings, kind: str, title: str, options: Mapping[str, Any]) -> str:
    """Ask for work of another kind and return the job's id; options are plain values. Raises UnknownNameError."""
    if kind not in perform.KINDS:
        raise registry.unknown("kind of job", kind, [*perform.KINDS])
    counted = hosting.check_work(settings, kind, options)
    return _ask(settings, title, [plan.other(kind, title, dict(options))], counted)


def _checkpoints(settings: Settings, target: str) -> list[Checkpoint]:
    """What a target names, by what is known already where that is enough, without asking the hub."""
    name, _, step = target.rpartition("@")
    family, _, model = name.partition("/")
    if family in registry.families() and step.isdecimal():
        known = {number or 0: found for number, found in library.checkpoints(settings.cache, family, model).items()}
        if int(step) in known:
            return [known[int(step)]]
    return resolve(target, settings.cache)


def _ask(settings: Settings, title: str, jobs: Sequence[queue.Asked], checkpoints: int) -> str:
    store = Store(settings.store_path)
    with quota.admitted(settings, store, checkpoints) as keep:
        job_id = queue.ask(store, title, jobs, PAGE_PRIORITY)
        keep(job_id)
    ensure_worker(settings)
    return job_id


def ensure_worker(settings: Settings) -> None:
    """Start a worker process, unless one runs that takes whatever waits. It ends by itself when nothing is left."""
    _started[:] = [worker for worker in _started if worker.poll() is None]
    settings.workers_path.mkdir(parents=True, exist_ok=True)
    if _held(settings):
        return
    environment = os.environ | {"SATURATION_CACHE": str(settings.cache), "SATURATION_MODE": settings.mode}
    with (settings.workers_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "saturation", "work", "--idle", str(IDLE_SECONDS), "--single"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _started.append(worker)
    _restarted[settings.workers_path] = time.monotonic()


def single(settings: Settings) -> FileLock:
    """The lock of the one worker that pages start."""
    return FileLock(settings.workers_path / "single.lock")


def _held(settings: Settings) -> bool:
    lock = single(settings)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _revive(settings: Settings) -> None:
    """Start a worker for jobs that nobody is at: theirs has died. Not again and again, should it die at once."""
    if time.monotonic() - _restarted.get(settings.workers_path, float("-inf")) < RESTART_SECONDS:
        return
    if not living(settings.workers_path):
        ensure_worker(settings)


def jobs(settings: Settings, revive: bool = True) -> list[Job]:
    """All that was asked for, newest first; on a hosted server what this session asked for.

    revive: start a worker where jobs are left that nobody is at.
    """
    store = Store(settings.store_path)
    if not store.path.exists():
        return []
    found = queue.requests(store)
    if found.empty:
        return []
    if revive and settings.mode != "demo" and int(found["waiting"].sum() + found["running"].sum()):
        _revive(settings)
    doing = {group: progress for life in lives(settings.workers_path) for group, progress in life.doing.items()}
    own = [row for row in found.to_dict("records") if quota.owns(settings, row["request_id"])]
    return [_job(settings, store, row, doing) for row in own]


def _job(settings: Settings, store: Store, row: dict[Hashable, Any], doing: Mapping[str, Progress]) -> Job:
    state = _state(row)
    done, total, message = int(row["ended"]), int(row["groups"]), ""
    if state == "running":
        groups = queue.running_groups(store, row["request_id"])
        now = [doing[group] for group in groups if group in doing]
        message = "; ".join(progress.line() for progress in now)
        if row["kind"] != plan.MEASURE and now:
            done, total = now[0].done, now[0].total
    return Job(
        id=row["request_id"],
        title=row["title"],
        kind=row["kind"],
        state=state,
        done=done,
        total=total,
        failed=int(row["failed"]),
        measures=tuple(measure for measure in MEASURES if measure in row["measures"]),
        message=hosting.said(settings, message or state),
        error=None if pd.isna(row["error"]) else hosting.said(settings, row["error"]),
        asked=row["asked_at"].to_pydatetime(),
        started=None if pd.isna(row["started_at"]) else row["started_at"].to_pydatetime(),
        finished=None if pd.isna(row["finished_at"]) else row["finished_at"].to_pydatetime(),
    )


def _state(row: dict[Hashable, Any]) -> str:
    if row["running"] or (row["waiting"] and row["ended"]):
        return "running"
    if row["waiting"]:
        return "waiting"
    if row["failed"]:
        return "failed"
    return "cancelled" if row["cancelled"] else "done"


def find(settings: Settings, job_id: str) -> Job:
    """One job. Raises JobError when there is none of this id, or another session's."""
    for job in jobs(settings, revive=False):
        if job.id == job_id:
            return job
    raise JobError(f"There is no job {job_id}; it may have been dismissed.")


def cancel(settings: Settings, job_id: str) -> None:
    """Stop a job; every checkpoint that is finished stays measured. A worker that does not see it in time is ended."""
    store = Store(settings.store_path)
    hosting.may_write(settings)
    find(settings, job_id)
    if not quota.release(settings, job_id):  # it goes on for another session that asked for the same
        return
    queue.cancel(store, job_id)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if find(settings, job_id).state not in ACTIVE:
            return
        time.sleep(0.1)
    for life in lives(settings.workers_path):
        if set(life.doing) & set(queue.running_groups(store, job_id)):
            _end(settings, life)
    queue.release(store, Watch(settings.workers_path).dead(queue.workers(store)))
    ensure_worker(settings)


def _end(settings: Settings, life: Life) -> None:
    """End a worker that hangs in a computation; the system frees its lock, and what it was at can be put back."""
    try:
        command = Path(f"/proc/{life.pid}/cmdline").read_bytes()
    except OSError:
        return
    if life.pid == os.getpid() or b"saturation" not in command:  # the number may be another program's by now
        return
    os.kill(life.pid, signal.SIGKILL)
    deadline = time.monotonic() + STOP_SECONDS
    while living(settings.workers_path, [life.worker]) and time.monotonic() < deadline:
        time.sleep(0.05)


def retry(settings: Settings, job_id: str) -> None:
    """Let what failed or was cancelled of a job run again; on a public server it counts as asked for anew."""
    hosting.may_write(settings)
    job, store = find(settings, job_id), Store(settings.store_path)
    with quota.admitted(settings, store, job.total if job.kind == plan.MEASURE else 1) as keep:
        queue.retry(store, job_id)
        keep(job_id)
    ensure_worker(settings)


def dismiss(settings: Settings, job_id: str) -> None:
    """Take a finished job off the list. Raises JobError for one that still runs."""
    hosting.may_write(settings)
    if find(settings, job_id).state in ACTIVE:
        raise JobError("This job still runs; cancel it first.")
    if not quota.release(settings, job_id):
        return
    queue.dismiss(Store(settings.store_path), job_id)
