"""The process behind a job: waits for its turn, measures, and writes its progress."""

import os
import time
from dataclasses import replace
from datetime import UTC, datetime

from filelock import FileLock

from saturation.checkpoints.resolve import resolve
from saturation.errors import SaturationError
from saturation.jobs import board
from saturation.jobs.measure import Measurer
from saturation.jobs.request import Request
from saturation.jobs.sweep import sweep
from saturation.settings import Settings
from saturation.store import Store

# A page polls about once a second; writing the progress file more often is wasted.
REPORT_SECONDS = 0.25


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

        try:
            checkpoints = [checkpoint for target in job.targets for checkpoint in resolve(target, settings.cache)]
            measurer = Measurer(Store(settings.store_path), Request(measures=job.measures, text=job.text))
            result = sweep(measurer, checkpoints, report)
            state, error = "done", None
            if result.failed:
                state = "failed"
                more = f" ({len(result.failed)} of {len(checkpoints)} failed)" if len(checkpoints) > 1 else ""
                error = next(iter(result.failed.values())) + more
        except SaturationError as problem:
            state, error = "failed", str(problem)
        job = replace(job, state=state, error=error, message=state, finished=datetime.now(UTC))
        board.save(settings, job)
    return job
