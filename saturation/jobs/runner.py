"""Works on the queue: takes what is next, lets a lane do it, and is the one process that writes what comes back."""

import queue as threads
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from saturation.errors import DamagedStoreError, StoreBusyError, StoreError
from saturation.jobs import plan
from saturation.jobs.lanes import Lane
from saturation.jobs.presence import Presence, Watch
from saturation.settings import Settings
from saturation.store import Store, queries, queue
from saturation.store.queue import Given, Outcome

Value = TypeVar("Value")
Ended = list[tuple[Given, Outcome | Exception]]
LOOK_SECONDS = 0.5
# The dead are looked for even where nothing was written: their locks say so, not the store.
WATCH_SECONDS = 2.0
# What has ended is written together, so long as every lane has enough to do: a write costs 0.1 s, whatever it holds.
GATHER_SECONDS = 2.0
# Somebody else may keep the store locked for long; what was computed meanwhile is held, not lost.
PATIENCE_SECONDS = 600.0


class Runner:
    """One worker of the queue. Its lanes are made by `lanes(presence)`, so that they can tell their progress.

    request_id: only this request's jobs, until all have ended, whoever does them; without it all jobs, until none has
    been there for idle_seconds. report(done, total, message): groups of the request.
    """

    def __init__(
        self,
        settings: Settings,
        lanes: Callable[[Presence], Sequence[Lane]],
        request_id: str | None = None,
        idle_seconds: float = 0.0,
        report: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self._store = Store(settings.store_path)
        self._make_lanes = lanes
        self._request_id, self._idle_seconds = request_id, idle_seconds
        self._report = report
        self._presence = Presence(settings.workers_path)
        self._watch = Watch(settings.workers_path)
        self._ended: threads.Queue[tuple[Given, Outcome | Exception]] = threads.Queue()
        self._unwritten: Ended = []
        self._flying: dict[str, Lane] = {}
        self._signature: tuple[int, ...] | None = None
        self._room = True
        self._counted = (0, 0)
        self._watched = float("-inf")

    def run(self) -> None:
        """Work until there is nothing left to do. Raises StoreError where results cannot be written.

        Whatever ends it, jobs that it was given and did not end go back to the queue, at the latest when the next
        worker finds its lock free.
        """
        self._store.ensure()
        try:
            with self._presence:
                lanes = self._make_lanes(self._presence)
                try:
                    self._work(lanes)
                finally:
                    for lane in lanes:
                        lane.close()
                    try:
                        self._settle()
                    finally:
                        self._patiently(lambda: queue.give_back(self._store, self._presence.worker))
        except OSError as error:
            raise StoreError(f"The folder {self._presence.folder} cannot be written ({error.strerror}).") from error

    def _work(self, lanes: Sequence[Lane]) -> None:
        idle_since = time.monotonic()
        while True:
            if self._unwritten or self._room or self._changed():
                for lane, group, held in self._turn(lanes):
                    lane.start(group, held, lambda group, outcome: self._ended.put((group, outcome)))
            if self._flying:
                idle_since = time.monotonic()
            self._tell()
            if not self._flying and self._finished(time.monotonic() - idle_since):
                return
            self._wait(LOOK_SECONDS, lanes)

    def _changed(self) -> bool:
        """Whether others may have written anything, or died."""
        return self._store.signature() != self._signature or time.monotonic() - self._watched >= WATCH_SECONDS

    def _turn(self, lanes: Sequence[Lane]) -> list[tuple[Lane, Given, Mapping[str, object]]]:
        """Write how groups ended, and take what is next: the store is opened once for all of it, where it can be.

        Raises what a lane ended with, once all others are written.
        """
        room = bool(self._unwritten) or self._room

        def turn() -> list[tuple[Lane, Given, Mapping[str, object]]]:
            with self._store.together() if room else nullcontext():
                self._finish()
                self._look()
                found = self._fill(lanes)
                self._count()
            return found

        found = self._patiently(turn)
        self._room = False
        self._signature = self._store.signature()  # our own writing is no news
        self._flying |= {group.group_id: lane for lane, group, _ in found}
        self._raise_failed()
        return found

    def _look(self) -> None:
        """Put jobs of the dead back and stop what nobody wants."""
        self._watched = time.monotonic()
        dead = self._watch.dead(queue.workers(self._store) - {self._presence.worker})
        if dead:
            queue.release(self._store, dead)
        if self._flying:
            for group_id in queue.cancelled(self._store, self._presence.worker):
                if group_id in self._flying:
                    self._flying[group_id].stop(group_id)

    def _fill(self, lanes: Sequence[Lane]) -> list[tuple[Lane, Given, Mapping[str, object]]]:
        """What each lane has room for, with what the store has of it."""
        found: list[tuple[Lane, Given, Mapping[str, object]]] = []
        for lane in lanes:
            room = lane.slots - sum(other is lane for other in self._flying.values())
            if room > 0:
                given = queue.give(self._store, self._presence.worker, lane.kinds, self._request_id, room)
                held = self._held(given)
                found += [(lane, group, {} if group.force else held) for group in given]
        return found

    def _held(self, given: Sequence[Given]) -> dict[str, object]:
        """Ids of what the store has of these checkpoints, so that it is not computed again."""
        at = [plan.read(group)[0] for group in given if group.kind == plan.MEASURE and not group.force]
        if not at:
            return {}
        places = [(checkpoint.family, checkpoint.model, checkpoint.step) for checkpoint in at]
        return {key: {} for key in queries.measurement_ids(self._store, places)}

    def _wait(self, seconds: float, lanes: Sequence[Lane] = ()) -> None:
        """Wait so long for a group that ends, and then for others while the lanes have enough to do."""
        with suppress(threads.Empty):
            self._take(seconds)
            until = time.monotonic() + GATHER_SECONDS
            while self._busy(lanes):
                self._take(max(0.0, until - time.monotonic()))
            while True:
                self._take(0)

    def _take(self, seconds: float) -> None:
        """Note a group that has ended. Raises queue.Empty."""
        given, outcome = self._ended.get(block=seconds > 0, timeout=seconds)
        self._unwritten.append((given, outcome))
        self._flying.pop(given.group_id, None)
        self._presence.forget(given.group_id)

    def _busy(self, lanes: Sequence[Lane]) -> bool:
        """Whether all lanes that work have as much as they can do at once."""
        flying = Counter(map(id, self._flying.values()))
        return bool(flying) and all(flying[id(lane)] >= lane.at_once for lane in lanes if flying[id(lane)])

    def _finish(self) -> None:
        """Write how groups ended: from then on their values are safe."""
        good = [(given, outcome) for given, outcome in self._unwritten if isinstance(outcome, Outcome)]
        if good:
            queue.finish(self._store, self._presence.worker, good)
        self._unwritten = [pair for pair in self._unwritten if isinstance(pair[1], Exception)]

    def _settle(self) -> None:
        """Write what has ended by now. Raises what a lane ended with."""
        self._wait(0)
        self._patiently(self._finish)
        self._raise_failed()

    def _raise_failed(self) -> None:
        failed, self._unwritten = self._unwritten, []
        for _, outcome in failed:
            if isinstance(outcome, Exception):
                raise outcome

    def _finished(self, idle: float) -> bool:
        if self._request_id is None:
            return idle >= self._idle_seconds
        return self._patiently(lambda: queue.active(self._store, self._request_id)) == 0

    def _count(self) -> None:
        if self._report is not None and self._request_id is not None:
            self._counted = queue.ended(self._store, self._request_id)

    def _tell(self) -> None:
        if self._report is not None:
            self._report(*self._counted, self._presence.message())

    def _patiently(self, action: Callable[[], Value]) -> Value:
        """The store's answer, however long another process keeps it locked within PATIENCE_SECONDS.

        A damaged store has been replaced when it says so (see `store.recovery`): it is asked again.
        """

        def waiting(state: object) -> None:
            self._presence.note("waiting for the store, which another process keeps locked")

        attempts = Retrying(
            retry=retry_if_exception_type((StoreBusyError, DamagedStoreError)),
            stop=stop_after_delay(PATIENCE_SECONDS),
            wait=wait_random(0.1, 1.0),
            before_sleep=waiting,
            reraise=True,
        )
        answer = attempts(action)
        self._presence.note("")
        return answer
