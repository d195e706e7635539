"""Where jobs are done: on threads of this process, or on the workers of a Dask cluster. Both use the same code."""

import atexit
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Protocol

from saturation.errors import CancelledError, InputError, JobError
from saturation.jobs import memory, perform, plan
from saturation.settings import Settings
from saturation.store.queue import Given, Outcome

Ended = Callable[[Given, Outcome | Exception], None]
Tell = Callable[[str, int, int, str], None]
# One group computes while the next is read; a third would only hold memory.
AT_ONCE = 2
# More are given out already and wait their turn, so that writing the queue overlaps with computing: at least one for
# each worker, and for short jobs as many as two seconds take, since giving out and ending cost 0.1 s, however many.
LEAST_AHEAD, MOST_AHEAD = 1, 16
AHEAD_SECONDS = 2.0
CONNECT_SECONDS = 15
FORKED = "forkserver"
# Dask has its workers give memory back at once, and glibc then asks the system anew for every tensor above 128 kB.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 2**28, "MALLOC_MMAP_THRESHOLD_": 2**25}


class Lane(Protocol):
    """A place that takes groups of some kinds, `slots` of them, and calls back when one has ended.

    It works on `at_once` of them at the same time.
    """

    kinds: tuple[str, ...]

    @property
    def at_once(self) -> int: ...

    @property
    def slots(self) -> int: ...

    def start(self, given: Given, held: Mapping[str, Any], ended: Ended) -> None: ...

    def stop(self, group_id: str) -> None: ...

    def close(self) -> None: ...


class Pace:
    """How long jobs have taken of late, and so how many to have in store."""

    def __init__(self) -> None:
        self._seconds = 1.0

    def note(self, seconds: float) -> None:
        self._seconds = 0.5 * self._seconds + 0.5 * seconds

    @property
    def ahead(self) -> int:
        """Jobs that one worker does in AHEAD_SECONDS; the time of each holds its waiting for the one beside it."""
        return min(MOST_AHEAD, max(LEAST_AHEAD, round(AT_ONCE * AHEAD_SECONDS / max(self._seconds, 0.01))))


class ThreadLane:
    """This process: reading the next checkpoint overlaps with computing the one before. tell: progress of a group."""

    def __init__(self, settings: Settings, tell: Tell, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds
        self._settings, self._tell = settings, tell
        self._gate = threading.Lock()
        self._desk = perform.Desk(settings.cache, self._gate)
        self._stops: dict[str, threading.Event] = {}
        self._pace = Pace()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="job")

    @property
    def at_once(self) -> int:
        return AT_ONCE

    @property
    def slots(self) -> int:
        return AT_ONCE + self._pace.ahead

    def start(self, given: Given, held: Mapping[str, Any], ended: Ended) -> None:
        stopped = self._stops[given.group_id] = threading.Event()

        def report(done: int, total: int, message: str) -> None:
            if stopped.is_set():
                raise CancelledError(f"{given.target} was cancelled.")
            self._tell(given.group_id, done, total, message)

        def work() -> Outcome:
            if given.kind == plan.MEASURE:
                return self._desk.measure(given, held, report)
            return perform.other(self._settings, given, self._gate, report)

        self._threads.submit(work).add_done_callback(lambda future: self._ended(given, future, ended))

    def _ended(self, given: Given, future: "Future[Outcome]", ended: Ended) -> None:
        self._stops.pop(given.group_id, None)
        if not future.cancelled():
            outcome = future.result()
            self._pace.note(outcome.seconds)
            ended(given, outcome)

    def stop(self, group_id: str) -> None:
        """Let a group end as cancelled at its next sign of progress."""
        stopped = self._stops.get(group_id)
        if stopped is not None:
            stopped.set()

    def close(self) -> None:
        for group_id in list(self._stops):
            self.stop(group_id)
        self._threads.shutdown(wait=True, cancel_futures=True)


class DaskLane:
    """The workers of a Dask cluster, each with two threads or more: one computes while the other reads.

    They see checkpoints on the hub, and those on disks that they share with this machine. A worker that dies costs
    its jobs a new start on another one. address: of the scheduler. Raises JobError where nothing answers.
    """

    kinds: tuple[str, ...] = (plan.MEASURE,)

    def __init__(self, address: str | Any, cache: Path, most_bytes: int | None = None) -> None:
        from distributed import Client

        self._address = address if isinstance(address, str) else "of this machine"
        try:
            self._client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise JobError(
                f"No Dask scheduler answers at {address}; check the address (such as tcp://host:8786)."
            ) from error
        self._cache, self._most_bytes = cache, most_bytes
        self._futures: dict[str, Any] = {}
        self._pace = Pace()

    @property
    def at_once(self) -> int:
        return sum(self._client.nthreads().values())

    @property
    def slots(self) -> int:
        threads = self._client.nthreads()
        return sum(threads.values()) + self._pace.ahead * len(threads)

    def start(self, given: Given, held: Mapping[str, Any], ended: Ended) -> None:
        future = self._client.submit(measure_there, given, frozenset(held), self._cache, self._most_bytes, pure=False)
        self._futures[given.group_id] = future
        future.add_done_callback(lambda done: self._ended(given, done, ended))

    def _ended(self, given: Given, future: Any, ended: Ended) -> None:
        self._futures.pop(given.group_id, None)
        if future.status == "finished":
            outcome = future.result()
            self._pace.note(outcome.seconds)
            ended(given, outcome)
        elif future.status == "error":
            error = future.exception()
            if type(error).__name__ == "KilledWorker":
                ended(given, Outcome("failed", f"{given.target} failed: several workers of the cluster died at it."))
            else:
                ended(given, Outcome("failed", f"{given.target} failed on a worker of the cluster: {error}"))
        else:
            ended(given, JobError(f"The Dask scheduler {self._address} went away; run the same again to resume."))

    def stop(self, group_id: str) -> None:
        future = self._futures.pop(group_id, None)
        if future is not None:
            future.cancel()

    def close(self) -> None:
        self._client.close()


_desks: dict[tuple[Path, int | None], perform.Desk] = {}
_gate = threading.Lock()


def measure_there(given: Given, held: frozenset[str], cache: Path, most_bytes: int | None) -> Outcome:
    """What a worker of a cluster runs: the values come back, and the process that asked writes them."""
    place = (cache, most_bytes)
    desk = _desks.setdefault(place, perform.Desk(cache, _gate, most_bytes))
    return desk.measure(given, {key: {} for key in held}, lambda done, total, message: None)


def _end_quietly() -> None:
    """At the end of a worker process DuckDB's binding counts what is left in memory, on the user's terminal."""
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))


def warm_up(workers: int) -> None:
    """Start the process that worker processes will be copies of: it reads torch and transformers once for all of them.

    Called early, it does so while this process reads what it needs itself. Where the system cannot do that, each worker
    reads them for itself.
    """
    if workers > 1 and FORKED in multiprocessing.get_all_start_methods():
        multiprocessing.set_forkserver_preload(["saturation.jobs.warm"])
        with _environment(_of_workers(workers)):
            forkserver.ensure_running()


def _of_workers(workers: int) -> dict[str, str]:
    """Environment of each of so many worker processes: its share of the processors, and its memory kept."""
    from dask.system import CPU_COUNT  # of a container its share, not the machine's

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    threads = max(1, CPU_COUNT // workers)
    return {name: str(value) for name, value in (dict.fromkeys(names, threads) | MALLOC).items()}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Processes that are started meanwhile have these variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class LocalCluster(DaskLane):
    """Worker processes on this machine; each may use its share of the memory and of the processor's cores."""

    def __init__(self, workers: int, cache: Path) -> None:
        warm_up(workers)
        import dask
        from distributed import LocalCluster as Cluster

        how = FORKED if FORKED in multiprocessing.get_all_start_methods() else "spawn"
        config = {f"distributed.nanny.pre-spawn-environ.{name}": to for name, to in _of_workers(workers).items()}
        with dask.config.set(config | {"distributed.worker.multiprocessing-method": how}):
            self._cluster = Cluster(
                n_workers=workers,
                threads_per_worker=AT_ONCE,
                processes=True,
                memory_limit=0,  # a job that does not fit is refused before it starts
                dashboard_address=None,
                silence_logs="ERROR",
            )
        super().__init__(self._cluster, cache, memory.bound() // workers)
        self._client.run(_end_quietly)

    def close(self) -> None:
        super().close()
        self._cluster.close()


def lanes_for(settings: Settings, tell: Tell, workers: int, dask: str | None) -> list[Lane]:
    """Where jobs are done: with a cluster, or several workers, what measures goes there and the rest stays here.

    Raises InputError for no workers, JobError for a scheduler that does not answer.
    """
    if workers < 1:
        raise InputError(f"--workers is {workers}; give at least 1.")
    others = tuple(perform.KINDS)
    if dask is not None:
        return [DaskLane(dask, settings.cache), ThreadLane(settings, tell, others)]
    if workers > 1:
        return [LocalCluster(workers, settings.cache), ThreadLane(settings, tell, others)]
    return [ThreadLane(settings, tell, (plan.MEASURE, *others))]
