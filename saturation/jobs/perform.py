"""Do the work of a group of jobs and say how it ended. Nothing here writes to the queue."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

from saturation.errors import CancelledError, SaturationError
from saturation.jobs import plan
from saturation.jobs.request import Request
from saturation.settings import Settings
from saturation.store.queue import Given, Outcome

Report = Callable[[int, int, str], None]
Gate = AbstractContextManager[object]
# Where the work of each other kind is done: `run_job(settings, options, report)` of a module, imported when asked for;
# it may return how many bytes it read.
KINDS = {
    plan.AUDIT: "saturation.jobs.audit",
    "heads": "saturation.jobs.heads",
    "ngram": "saturation.jobs.ngram",
    "playground": "saturation.jobs.playground",
}
# Those that wait for the network and leave the processor to others.
LIGHT = (plan.AUDIT,)
COMPUTERS = 4
log = logging.getLogger(__name__)


class Desk:
    """Where one process works: computers by request, so that a text is tokenized once, and the gate they share."""

    def __init__(self, cache: Path, gate: Gate, most_bytes: int | None = None) -> None:
        self.cache, self.gate, self.most_bytes = cache, gate, most_bytes
        self._computers: dict[Request, Any] = {}
        self._lock = threading.Lock()

    def measure(self, given: Given, held: Mapping[str, Any], report: Report) -> Outcome:
        """Compute what is not held of a checkpoint. held: ids of the measurements that the store has."""
        return _ended(lambda: self._measure(given, held, report), given)

    def _measure(self, given: Given, held: Mapping[str, Any], report: Report) -> Outcome:
        checkpoint, request = plan.read(given)
        result = self._computer(request).compute(
            checkpoint,
            given.measures,
            lambda ids: {key: held[key] for key in ids if key in held},
            lambda what, done, total: report(done, total, what),
        )
        return Outcome(
            "done",
            computed=result.computed,
            measured=tuple(item for item in result.measurements if item.measure in result.computed),
            bytes_read=result.bytes_read,
            weight_bytes=result.checkpoint.weight_bytes or 0,
        )

    def _computer(self, request: Request) -> Any:
        with self._lock:
            from saturation.checkpoints.load import preload
            from saturation.jobs.measure import Computer

            preload()
            computer = self._computers.pop(request, None) or Computer(request, self.cache, self.gate, self.most_bytes)
            self._computers = dict([*self._computers.items(), (request, computer)][-COMPUTERS:])
            return computer


def other(settings: Settings, given: Given, gate: Gate, report: Report) -> Outcome:
    """Work of another kind, which stores what it finds by itself."""

    def run() -> Outcome:
        work = import_module(KINDS[given.kind]).run_job
        if given.kind in LIGHT:
            return Outcome("done", bytes_read=work(settings, json.loads(given.settings), report) or 0)
        with gate:
            return Outcome("done", bytes_read=work(settings, json.loads(given.settings), report) or 0)

    return _ended(run, given)


def _ended(work: Callable[[], Outcome], given: Given) -> Outcome:
    """What work returns, or how it failed; whatever it raises, the worker goes on with the next job."""
    start = time.monotonic()
    try:
        outcome = work()
    except CancelledError:
        outcome = Outcome("cancelled")
    except SaturationError as error:
        outcome = Outcome("failed", str(error))
    except MemoryError:
        outcome = Outcome("failed", f"{given.target} needs more memory than is free; close something and ask again.")
    except Exception as error:  # a defect of ours must not take the other jobs along
        log.exception("%s failed", given.target)
        line = str(error).strip().partition("\n")[0] or "no reason given"
        outcome = Outcome(
            "failed", f"{given.target} met an unexpected {type(error).__name__} ({line}); please report it."
        )
    return Outcome(**vars(outcome) | {"seconds": time.monotonic() - start})
