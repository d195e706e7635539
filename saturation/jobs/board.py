"""Jobs that a page starts: one worker process each, one at a time, with progress in a file beside the store.

The dashboard's process never measures: it starts `python -m saturation work JOB` and reads the job's file.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from saturation.errors import JobError
from saturation.jobs.request import Request
from saturation.settings import ROOT, Settings

ACTIVE = ("waiting", "running")
STOP_SECONDS = 5.0
_started: dict[str, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Job:
    """What was asked for, and how far it has come. state: waiting, running, done, failed or cancelled.

    kind: which work it is, one of `worker.KINDS`. `measure` takes targets, measures and text; others take `options`.
    """

    id: str
    title: str
    targets: tuple[str, ...]
    measures: tuple[str, ...]
    text: str | None
    state: str
    done: int
    total: int
    message: str
    error: str | None
    started: datetime
    finished: datetime | None
    pid: int | None
    kind: str = "measure"
    options: Mapping[str, Any] = field(default_factory=dict)


def _file(settings: Settings, job_id: str) -> Path:
    if not job_id.isalnum():
        raise JobError(f"'{job_id}' is no job.")
    return settings.jobs_path / f"{job_id}.json"


def save(settings: Settings, job: Job) -> None:
    """Write a job's state in one step, so that a reader never sees half of it."""
    path = _file(settings, job.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(asdict(job), default=datetime.isoformat), encoding="utf-8")
    part.replace(path)


def read(settings: Settings, job_id: str) -> Job:
    """One job. Raises JobError when there is none of this id."""
    try:
        values = json.loads(_file(settings, job_id).read_text(encoding="utf-8"))
        for name in ("started", "finished"):
            values[name] = datetime.fromisoformat(values[name]) if values[name] else None
        return Job(**values | {name: tuple(values[name]) for name in ("targets", "measures")})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(f"There is no job {job_id}; it may have been dismissed.") from error


def submit(settings: Settings, targets: Sequence[str], measures: Sequence[str], text: str | None = None) -> str:
    """Start a worker for these targets and return the job's id. Raises SaturationError."""
    if not targets:
        raise JobError("No checkpoint was chosen; pick at least one step.")
    Request(measures=tuple(measures), text=text)
    title = targets[0] if len(targets) == 1 else f"{targets[0]} and {len(targets) - 1} more"
    job = replace(_new(title, len(targets)), targets=tuple(targets), measures=tuple(measures), text=text)
    return _launch(settings, job)


def start(settings: Settings, kind: str, title: str, options: Mapping[str, Any]) -> str:
    """Start a worker for work of another kind and return the job's id; options are plain values."""
    return _launch(settings, replace(_new(title, 1), kind=kind, options=dict(options)))


def _new(title: str, total: int) -> Job:
    return Job(
        id=uuid.uuid4().hex[:12],
        title=title,
        targets=(),
        measures=(),
        text=None,
        state="waiting",
        done=0,
        total=total,
        message="starting",
        error=None,
        started=datetime.now(UTC),
        finished=None,
        pid=None,
    )


def _launch(settings: Settings, job: Job) -> str:
    save(settings, job)
    log = _file(settings, job.id).with_suffix(".log")
    environment = os.environ | {"SATURATION_CACHE": str(settings.cache), "SATURATION_MODE": settings.mode}
    with log.open("wb") as stream:
        worker = subprocess.Popen(
            [sys.executable, "-m", "saturation", "work", job.id],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    _started[job.id] = worker
    save(settings, replace(read(settings, job.id), pid=worker.pid))
    return job.id


def _alive(job: Job) -> bool:
    """Whether the job's worker runs. A child of this process is reaped on the way."""
    worker = _started.get(job.id)
    if worker is not None:
        return worker.poll() is None
    if job.pid is None:
        return (datetime.now(UTC) - job.started).total_seconds() < STOP_SECONDS
    try:
        os.kill(job.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs under another user
        pass
    return _is_worker(job)


def _is_worker(job: Job) -> bool:
    """Whether the process of the job's id is its worker: after a restart the id can be another program's."""
    try:
        return job.id.encode() in Path(f"/proc/{job.pid}/cmdline").read_bytes()
    except OSError:  # no /proc on this system
        return True


def jobs(settings: Settings) -> list[Job]:
    """All jobs, newest first. One whose worker died is marked failed, with what to do."""
    if not settings.jobs_path.is_dir():
        return []
    found = []
    for path in settings.jobs_path.glob("*.json"):
        try:
            job = read(settings, path.stem)
            if job.state in ACTIVE and not _alive(job):
                job = _settle(settings, path.stem)
        except JobError:  # dismissed by another page between the listing and the reading
            continue
        found.append(job)
    return sorted(found, key=lambda job: job.started, reverse=True)


def _settle(settings: Settings, job_id: str) -> Job:
    """Read again after the worker's end (it may have finished just now); else mark the job as failed."""
    job = read(settings, job_id)
    if job.state in ACTIVE:
        error = "The worker stopped before the end; start again: what was measured is kept."
        job = replace(job, state="failed", error=error, finished=datetime.now(UTC))
        save(settings, job)
    return job


def cancel(settings: Settings, job_id: str) -> None:
    """Stop a job's worker; every checkpoint that it finished stays measured."""
    job = read(settings, job_id)
    if job.state not in ACTIVE:
        return
    if job.pid is not None and _alive(job):
        _signal(job.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while _alive(job) and time.monotonic() < deadline:
            time.sleep(0.05)
        if _alive(job):
            _signal(job.pid, signal.SIGKILL)
    job = read(settings, job_id)
    if job.state in ACTIVE:
        save(settings, replace(job, state="cancelled", message="cancelled", finished=datetime.now(UTC)))


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def dismiss(settings: Settings, job_id: str) -> None:
    """Take a finished job off the list. Raises JobError for one that still runs."""
    if read(settings, job_id).state in ACTIVE:
        raise JobError("This job still runs; cancel it first.")
    for suffix in (".json", ".log"):
        _file(settings, job_id).with_suffix(suffix).unlink(missing_ok=True)
    _started.pop(job_id, None)
