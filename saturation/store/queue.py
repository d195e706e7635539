"""The queue: what was asked for, one job per piece of work, kept in the store so that it outlives every process.

A request is what somebody asked for at once; its jobs may belong to other requests too. Jobs of one group are done
together, since they read the same weights. States: waiting, running, done, failed, cancelled. Only the worker that a
job is given to ends it, in the transaction that stores its values.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from saturation.store.records import Measurement
from saturation.store.store import Store, write_measurements

ACTIVE = ("waiting", "running")
# A job whose worker died so often is not given out again: most likely it is what kills them.
MOST_DEATHS = 3
DIED = "The worker died {times} times while it was at this; it may need more memory than there is. Ask again to retry."
_JOBS = pa.schema(
    {name: pa.string() for name in ("job_id", "group_id", "kind", "target", "measure", "settings")}
    | {"place": pa.int64()}
)


def _digest(*parts: object) -> str:
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Asked:
    """A piece of work. settings: JSON with all that it depends on; measure: where one group has several."""

    kind: str
    target: str
    settings: str
    measure: str | None = None

    @property
    def group_id(self) -> str:
        return _digest(self.kind, self.target, self.settings)

    @property
    def job_id(self) -> str:
        return _digest(self.group_id, self.measure)


@dataclass(frozen=True)
class Given:
    """Jobs of one group that were given to a worker. force: do again what is stored."""

    group_id: str
    kind: str
    target: str
    settings: str
    force: bool
    job_ids: tuple[str, ...]
    measures: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a group's jobs ended. computed: names of the measures that were not stored before; sizes in bytes."""

    state: str
    error: str | None = None
    computed: tuple[str, ...] = ()
    measured: tuple[Measurement, ...] = ()
    bytes_read: int = 0
    weight_bytes: int = 0
    seconds: float = 0.0


def request_of(jobs: Iterable[Asked]) -> str:
    """The id of a request: the same jobs are the same request."""
    return _digest(*sorted(job.job_id for job in jobs))


def ask(store: Store, title: str, jobs: Sequence[Asked], priority: int = 0, force: bool = False) -> str:
    """Put jobs into the queue and return the request's id. What waits or runs already is not put there twice.

    A job that had ended waits again; one that waits gets the higher of the two priorities.
    """
    store.ensure()
    now, request_id = datetime.now(UTC), request_of(jobs)
    rows = {
        job.job_id: asdict(job) | {"job_id": job.job_id, "group_id": job.group_id, "place": place}
        for place, job in enumerate(jobs)
    }
    with store.write() as connection:
        connection.begin()
        connection.register("incoming", pa.Table.from_pylist(list(rows.values()), schema=_JOBS))
        connection.execute(
            """
            INSERT INTO jobs BY NAME
            SELECT * REPLACE (place + (SELECT coalesce(max(place) + 1, 0) FROM jobs) AS place),
                   'waiting' AS state, $priority AS priority, $force AS force, false AS cancel, 0 AS deaths
            FROM incoming
            ON CONFLICT (job_id) DO UPDATE SET
                state = if(state = 'running', state, 'waiting'), priority = greatest(priority, excluded.priority),
                force = force AND state = 'running' OR excluded.force, cancel = false, deaths = 0, error = NULL
            """,
            {"priority": priority, "force": force},
        )
        connection.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?)", [request_id, title, now])
        connection.execute("DELETE FROM request_jobs WHERE request_id = ?", [request_id])
        connection.execute("INSERT INTO request_jobs SELECT ?, job_id FROM incoming", [request_id])
        connection.commit()
    return request_id


def give(store: Store, worker: str, kinds: Sequence[str], request_id: str | None = None, most: int = 1) -> list[Given]:
    """Give a worker the groups that are next, at most so many: of the highest priority, then the oldest.

    request_id: only jobs of this request.
    """
    with store.write() as connection:
        connection.begin()
        groups = connection.execute(
            "SELECT group_id FROM jobs WHERE state = 'waiting' AND kind IN (SELECT unnest($kinds)) AND ($request IS "
            "NULL OR job_id IN (SELECT job_id FROM request_jobs WHERE request_id = $request)) "
            "GROUP BY group_id ORDER BY max(priority) DESC, min(place) LIMIT $most",
            {"kinds": list(kinds), "request": request_id, "most": most},
        ).fetchall()
        if not groups:
            connection.rollback()
            return []
        rows = connection.execute(
            "UPDATE jobs SET state = 'running', worker = ?, started_at = ?, finished_at = NULL "
            "WHERE group_id IN (SELECT unnest(?)) AND state = 'waiting' "
            "RETURNING group_id, job_id, measure, kind, target, settings, force, place",
            [worker, datetime.now(UTC), [group for (group,) in groups]],
        ).fetchall()
        connection.commit()
    rows.sort(key=lambda row: row[-1])
    return [_given([row for row in rows if row[0] == group]) for (group,) in groups]


def _given(rows: Sequence[tuple[Any, ...]]) -> Given:
    group_id, _, _, kind, target, settings, *_ = rows[0]
    return Given(
        group_id=group_id,
        kind=kind,
        target=target,
        settings=settings,
        force=any(row[6] for row in rows),
        job_ids=tuple(row[1] for row in rows),
        measures=tuple(row[2] for row in rows if row[2] is not None),
    )


def finish(store: Store, worker: str, ended: Sequence[tuple[Given, Outcome]]) -> None:
    """Store the values of groups and end their jobs, in one transaction. What another worker was given stays its own.

    A job that was asked for again while it was being cancelled waits again.
    """
    measured = [row for _, outcome in ended for row in outcome.measured]
    with store.write() as connection:
        connection.begin()
        if measured:
            write_measurements(connection, measured)
        for given, outcome in ended:
            connection.execute(
                """
                UPDATE jobs SET
                    state = if($state = 'cancelled' AND NOT cancel, 'waiting', $state), error = $error, force = false,
                    computed = measure IN (SELECT unnest($computed)), bytes_read = $bytes_read,
                    weight_bytes = $weight_bytes, seconds = $seconds, finished_at = $now, worker = NULL
                WHERE state = 'running' AND worker = $worker AND job_id IN (SELECT unnest($jobs))
                """,
                {
                    "state": outcome.state,
                    "error": outcome.error,
                    "computed": list(outcome.computed),
                    "bytes_read": outcome.bytes_read,
                    "weight_bytes": outcome.weight_bytes,
                    "seconds": outcome.seconds,
                    "now": datetime.now(UTC),
                    "worker": worker,
                    "jobs": list(given.job_ids),
                },
            )
        connection.commit()


def workers(store: Store) -> set[str]:
    """The workers that jobs are given to at the moment."""
    with store.read() as connection:
        return {
            row[0] for row in connection.execute("SELECT DISTINCT worker FROM jobs WHERE worker NOT NULL").fetchall()
        }


def release(store: Store, dead: Iterable[str]) -> None:
    """Put the jobs of dead workers back into the queue; one that has seen too many workers die fails."""
    with store.write() as connection:
        connection.execute(
            """
            UPDATE jobs SET
                state = CASE WHEN cancel THEN 'cancelled' WHEN deaths + 1 >= $most THEN 'failed' ELSE 'waiting' END,
                error = CASE WHEN deaths + 1 >= $most THEN $died END, deaths = deaths + 1, worker = NULL
            WHERE state = 'running' AND worker IN (SELECT unnest($dead))
            """,
            {"dead": list(dead), "most": MOST_DEATHS, "died": DIED.format(times=MOST_DEATHS)},
        )


def give_back(store: Store, worker: str) -> None:
    """Let what a worker was given and did not end wait again: it stops in order."""
    with store.write() as connection:
        connection.execute(
            "UPDATE jobs SET state = if(cancel, 'cancelled', 'waiting'), worker = NULL "
            "WHERE state = 'running' AND worker = ?",
            [worker],
        )


def cancel(store: Store, request_id: str) -> None:
    """End a request: what waits is cancelled, what runs is marked for its worker; but for jobs that others want too."""
    with store.write() as connection:
        connection.begin()
        wanted = _only_of(connection, request_id)
        connection.execute(
            "UPDATE jobs SET cancel = true, state = if(state = 'waiting', 'cancelled', state), finished_at = ? "
            "WHERE state IN ('waiting', 'running') AND job_id IN (SELECT unnest(?))",
            [datetime.now(UTC), wanted],
        )
        connection.commit()


def _only_of(connection: duckdb.DuckDBPyConnection, request_id: str) -> list[str]:
    rows = connection.execute(
        "SELECT job_id FROM request_jobs WHERE request_id = $1 "
        "AND job_id NOT IN (SELECT job_id FROM request_jobs WHERE request_id <> $1)",
        [request_id],
    ).fetchall()
    return [row[0] for row in rows]


def cancelled(store: Store, worker: str) -> set[str]:
    """Groups that this worker is at and nobody wants any more."""
    with store.read() as connection:
        rows = connection.execute(
            "SELECT group_id FROM jobs WHERE state = 'running' AND worker = ? GROUP BY ALL HAVING bool_and(cancel)",
            [worker],
        ).fetchall()
    return {row[0] for row in rows}


def retry(store: Store, request_id: str) -> None:
    """Let what failed or was cancelled of a request wait again."""
    with store.write() as connection:
        connection.execute(
            "UPDATE jobs SET state = 'waiting', error = NULL, cancel = false, deaths = 0, finished_at = NULL "
            "WHERE state IN ('failed', 'cancelled') "
            "AND job_id IN (SELECT job_id FROM request_jobs WHERE request_id = ?)",
            [request_id],
        )


def dismiss(store: Store, request_id: str) -> None:
    """Forget a request, and those of its jobs that belong to no other. Measured values stay."""
    with store.write() as connection:
        connection.begin()
        wanted = _only_of(connection, request_id)
        connection.execute("DELETE FROM jobs WHERE job_id IN (SELECT unnest(?))", [wanted])
        connection.execute("DELETE FROM request_jobs WHERE request_id = ?", [request_id])
        connection.execute("DELETE FROM requests WHERE request_id = ?", [request_id])
        connection.commit()


# Groups of a request; those of another kind than its last job prepare the others and are not counted.
_GROUPS = """
    WITH grouped AS (
        SELECT request_id, group_id, any_value(kind) AS kind, min(place) AS place,
               bool_and(state IN ('done', 'failed')) AS ended, bool_or(state = 'failed') AS failed,
               any_value(error) AS error, min(started_at) AS started_at, max(finished_at) AS finished_at,
               list(DISTINCT measure) FILTER (measure NOT NULL) AS measures,
               count(*) FILTER (state = 'waiting') AS waiting, count(*) FILTER (state = 'running') AS running,
               count(*) FILTER (state = 'cancelled') AS cancelled
        FROM request_jobs JOIN jobs USING (job_id) GROUP BY request_id, group_id
    ), groups AS (
        SELECT *, kind = last(kind) OVER (
            PARTITION BY request_id ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS counts FROM grouped
    )
"""


def requests(store: Store) -> pd.DataFrame:
    """Every request, newest first: request_id, title, asked_at, kind, groups and how many of them were worked off or
    failed, jobs that wait, run or were cancelled, the first error, the measures, and when it began and last ended.
    """
    signature = store.signature()  # taken before the query: what is written meanwhile is asked for again
    before = _asked.get(store.path)
    if before is None or before[0] != signature:
        before = _asked[store.path] = signature, _requests(store)
    return before[1].copy()


_asked: dict[Path, tuple[tuple[int, ...], pd.DataFrame]] = {}  # of each store the last answer, as every page asks


def _requests(store: Store) -> pd.DataFrame:
    return store.frame(
        _GROUPS
        + """
        SELECT r.request_id, r.title, r.asked_at, any_value(kind) FILTER (counts) AS kind,
               count(*) FILTER (counts) AS groups, count(*) FILTER (counts AND ended) AS ended,
               count(*) FILTER (failed) AS failed, first(error ORDER BY place) FILTER (error NOT NULL) AS error,
               sum(waiting)::BIGINT AS waiting, sum(running)::BIGINT AS running, sum(cancelled)::BIGINT AS cancelled,
               list_distinct(flatten(list(measures))) AS measures,
               min(started_at) AS started_at, max(finished_at) AS finished_at
        FROM requests r JOIN groups USING (request_id) GROUP BY r.request_id, r.title, r.asked_at
        ORDER BY r.asked_at DESC, r.request_id
        """
    )


def jobs_of(store: Store, request_id: str) -> pd.DataFrame:
    """The jobs of a request in order: job_id, group_id, kind, target, measure, state, error, computed, bytes_read,
    weight_bytes, seconds.
    """
    return store.frame(
        "SELECT j.job_id, group_id, kind, target, measure, state, error, computed, bytes_read, weight_bytes, seconds "
        "FROM request_jobs JOIN jobs j USING (job_id) WHERE request_id = ? ORDER BY place",
        [request_id],
    )


def waiting_measures(store: Store, family: str) -> pd.DataFrame:
    """What is to be measured of a family: columns target and measure."""
    return store.frame(
        "SELECT target, measure FROM jobs WHERE state IN ('waiting', 'running') AND measure NOT NULL "
        "AND starts_with(target, $1 || '/')",
        [family],
    )


def made(store: Store) -> pd.DataFrame:
    """What requests have done so far, in order: columns request_id, kind, target, measure, settings."""
    return store.frame(
        "SELECT request_id, kind, target, measure, settings FROM request_jobs JOIN jobs USING (job_id) "
        "WHERE state = 'done' AND kind <> 'audit' ORDER BY request_id, place"
    )


def running_groups(store: Store, request_id: str) -> list[str]:
    """Groups of a request that a worker is at."""
    with store.read() as connection:
        rows = connection.execute(
            "SELECT DISTINCT group_id FROM request_jobs JOIN jobs USING (job_id) "
            "WHERE request_id = ? AND state = 'running'",
            [request_id],
        ).fetchall()
    return [row[0] for row in rows]


def ended(store: Store, request_id: str) -> tuple[int, int]:
    """How many groups of a request were worked off, and how many it has."""
    with store.read() as connection:
        found = connection.execute(
            _GROUPS + "SELECT count(*) FILTER (ended), count(*) FROM groups WHERE counts AND request_id = ?",
            [request_id],
        ).fetchall()
    return int(found[0][0]), int(found[0][1])


def active(store: Store, request_id: str | None = None) -> int:
    """How many jobs wait or run, of one request or of all."""
    with store.read() as connection:
        found = connection.execute(
            "SELECT count(*) FROM jobs WHERE state IN ('waiting', 'running') AND ($1 IS NULL OR job_id IN "
            "(SELECT job_id FROM request_jobs WHERE request_id = $1))",
            [request_id],
        ).fetchall()
    return int(found[0][0])
