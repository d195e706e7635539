"""The process behind a job: waits for its turn, works, and writes its progress."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module

from filelock import FileLock

from saturation.errors import JobError, SaturationError
from saturation.families.registry import unknown
from saturation.jobs import board
from saturation.jobs.request import Request
from saturation.settings import Settings
from saturation.store import Store

# A page polls about once a second; writing the progress file more often is wasted.
REPORT_SECONDS = 0.25
Report = Callable[[int, int, str], None]


# Where the work of each kind is done: `run_job(settings, options, report)` of a module that is imported when asked for.
KINDS = {
    "heads": "saturation.jobs.heads",
    "ngram": "saturation.jobs.ngram",
    "playground": "saturation.jobs.playground",
}


def work(settings: Settings, job_id: str) -> board.Job:
    """Run a job to its end and return it. An error of the user's input ends it as failed, with the sentence."""
    with FileLock(settings.jobs_path / "worker.lock"):  # one job at a time; the lock dies with its process
        job = board.read(settings, job_id)
        if job.state not in board.ACTIVE:
            return job
        job = replace(job, state="running", message="starting", pid=os.getpid())
        board.save(settings, job)
        last = 0.0

        def report(done: int, total: int, message: str) -> None:
            nonlocal job, last
            step = done != job.done or total != job.total
            job = replace(job, done=done, total=total, message=message)
            if step or time.monotonic() - last > REPORT_SECONDS:
                board.save(settings, job)
                last = time.monotonic()

        state, error = "done", None
        try:
            _run(settings, job, report)
        except SaturationError as problem:
            state, error = "failed", str(problem)
        job = replace(job, state=state, error=error, message=state, finished=datetime.now(UTC))
        board.save(settings, job)
    return job


def _run(settings: Settings, job: board.Job, report: Report) -> None:
    """Raises SaturationError with what failed."""
    if job.kind != "measure":
        if job.kind not in KINDS:
            raise unknown("kind of job", job.kind, ["measure", *KINDS])
        import_module(KINDS[job.kind]).run_job(settings, job.options, report)
        return
    from saturation.checkpoints.resolve import resolve
    from saturation.jobs.measure import Measurer
    from saturation.jobs.sweep import sweep

    checkpoints = [checkpoint for target in job.targets for checkpoint in resolve(target, settings.cache)]
    measurer = Measurer(Store(settings.store_path), Request(measures=job.measures, text=job.text))
    failed = sweep(measurer, checkpoints, report).failed
    if failed:
        more = f" ({len(failed)} of {len(checkpoints)} failed)" if len(checkpoints) > 1 else ""
        raise JobError(next(iter(failed.values())) + more)
