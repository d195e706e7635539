"""The queue in the store: asked twice is done once, priorities, who may end a job, and what becomes of the dead."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import store_rows
from hypothesis import given as examples
from hypothesis import settings as limits
from hypothesis import strategies as st

from saturation.store import Store, queue
from saturation.store.queue import MOST_DEATHS, Asked, Outcome

DONE = Outcome("done", computed=("spectrum",), bytes_read=10, weight_bytes=40, seconds=1.5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "measurements.duckdb", bundled=tmp_path)


def asked(step: int, measure: str | None = "spectrum", kind: str = "measure") -> Asked:
    return Asked(kind, f"lab/w8@{step}", f'{{"step": {step}}}', measure)


def both(*steps: int) -> list[Asked]:
    return [asked(step, measure) for step in steps for measure in ("spectrum", "loss")]


def one(store: Store, worker: str, kinds: Sequence[str], request_id: str | None = None) -> queue.Given | None:
    """The group that is next, None where there is none."""
    found = queue.give(store, worker, kinds, request_id)
    assert len(found) <= 1
    return found[0] if found else None


def states(store: Store, request_id: str) -> list[str]:
    return queue.jobs_of(store, request_id)["state"].tolist()


def targets(store: Store, worker: str = "a", kinds: tuple[str, ...] = ("measure",)) -> list[str]:
    """What is given out, in order, until nothing is left."""
    found = []
    while given := one(store, worker, kinds):
        found.append(given.target)
    return found


class TestAsking:
    def test_jobs_are_given_in_order_and_all_of_a_checkpoint_at_once(self, store: Store) -> None:
        queue.ask(store, "w8", both(5, 3))
        first = one(store, "a", ["measure"])
        assert first is not None
        assert (first.target, first.measures, first.force) == ("lab/w8@5", ("spectrum", "loss"), False)
        assert set(first.job_ids) == {job.job_id for job in both(5)}
        second = one(store, "b", ["measure"])
        assert second is not None
        assert second.target == "lab/w8@3"
        assert one(store, "a", ["measure"]) is None
        assert queue.workers(store) == {"a", "b"}

    def test_asked_twice_is_done_once(self, store: Store) -> None:
        first = queue.ask(store, "w8", both(1, 2))
        given = one(store, "a", ["measure"])
        assert given is not None
        second = queue.ask(store, "more of w8", both(1, 2, 3))
        assert queue.active(store) == 6
        assert targets(store) == ["lab/w8@2", "lab/w8@3"]
        assert first != second
        assert queue.ask(store, "w8 again", both(2, 1)) == first  # the same jobs, in whatever order
        assert queue.requests(store)["title"].tolist() == ["w8 again", "more of w8"]

    def test_what_has_ended_is_done_again_when_asked_again(self, store: Store) -> None:
        request_id = queue.ask(store, "w8", both(1))
        given = one(store, "a", ["measure"])
        assert given is not None
        queue.finish(store, "a", [(given, replace(DONE, state="failed", error="No."))])
        assert states(store, request_id) == ["failed", "failed"]
        queue.ask(store, "w8", both(1))
        found = queue.jobs_of(store, request_id)
        assert found["state"].tolist() == ["waiting", "waiting"]
        assert found["error"].isna().all()

    def test_what_a_page_waits_for_goes_first(self, store: Store) -> None:
        queue.ask(store, "sweep", [asked(step) for step in (1, 2, 3, 4)])
        queue.ask(store, "page", [asked(9), asked(3)], priority=10)
        queue.ask(store, "sweep", [asked(3)])  # a lower wish does not take the higher one back
        assert targets(store) == ["lab/w8@3", "lab/w8@9", "lab/w8@1", "lab/w8@2", "lab/w8@4"]

    def test_kinds_and_requests_are_kept_apart(self, store: Store) -> None:
        queue.ask(store, "heads", [asked(1, None, "heads")])
        request_id = queue.ask(store, "w8", [asked(2)])
        assert one(store, "a", ["ngram"]) is None
        given = one(store, "a", ["measure", "heads"], request_id)
        assert given is not None
        assert (given.target, given.kind, given.measures) == ("lab/w8@2", "measure", ("spectrum",))
        assert one(store, "a", ["measure", "heads"], request_id) is None
        assert targets(store, kinds=("measure", "heads")) == ["lab/w8@1"]

    def test_force_holds_for_one_time(self, store: Store) -> None:
        queue.ask(store, "w8", [asked(1)], force=True)
        given = one(store, "a", ["measure"])
        assert given is not None
        assert given.force
        queue.finish(store, "a", [(given, DONE)])
        queue.ask(store, "w8", [asked(1)])
        again = one(store, "a", ["measure"])
        assert again is not None
        assert not again.force


class TestEnding:
    def test_values_and_states_are_written_together(self, store: Store) -> None:
        request_id = queue.ask(store, "w8", both(1, 2))
        given = one(store, "a", ["measure"])
        assert given is not None
        measured = store_rows.measurement(scalars={"singular_entropy": 0.5})
        queue.finish(store, "a", [(given, replace(DONE, measured=(measured,)))])
        assert list(store.load([measured.measurement_id])) == [measured.measurement_id]
        found = queue.jobs_of(store, request_id)
        assert found["state"].tolist() == ["done", "done", "waiting", "waiting"]
        assert found["computed"].tolist()[:2] == [True, False]
        assert found["bytes_read"].tolist()[:2] == [10, 10]
        assert queue.ended(store, request_id) == (1, 2)
        assert queue.active(store, request_id) == 2

    def test_only_the_worker_that_has_a_job_ends_it(self, store: Store) -> None:
        request_id = queue.ask(store, "w8", [asked(1)])
        late = one(store, "late", ["measure"])
        assert late is not None
        queue.release(store, ["late"])
        given = one(store, "quick", ["measure"])
        assert given is not None
        queue.finish(store, "late", [(late, replace(DONE, state="failed", error="Too late."))])
        assert states(store, request_id) == ["running"]
        queue.finish(store, "quick", [(given, DONE)])
        assert states(store, request_id) == ["done"]

    def test_jobs_of_the_dead_wait_again_until_too_many_died(self, store: Store) -> None:
        request_id = queue.ask(store, "w8", [asked(1)])
        for worker in range(MOST_DEATHS):
            assert states(store, request_id) == ["waiting"]
            assert queue.give(store, str(worker), ["measure"]) is not None
            queue.release(store, ["nobody"])
            assert states(store, request_id) == ["running"]
            queue.release(store, [str(worker)])
        found = queue.jobs_of(store, request_id)
        assert found["state"].tolist() == ["failed"]
        assert found["error"][0].startswith(f"The worker died {MOST_DEATHS} times while it was at this;")
        queue.retry(store, request_id)
        assert one(store, "b", ["measure"]) is not None
        queue.release(store, ["b"])
        assert states(store, request_id) == ["waiting"]  # counted anew

    def test_a_worker_that_stops_in_order_gives_back_without_blame(self, store: Store) -> None:
        request_id = queue.ask(store, "w8", [asked(1)])
        for _ in range(MOST_DEATHS + 1):
            assert one(store, "a", ["measure"]) is not None
            queue.give_back(store, "a")
        assert states(store, request_id) == ["waiting"]


class TestCancelling:
    def test_what_waits_ends_at_once_and_what_runs_is_marked(self, store: Store) -> None:
        request_id = queue.ask(store, "w8", both(1, 2))
        given = one(store, "a", ["measure"])
        assert given is not None
        assert queue.cancelled(store, "a") == set()
        queue.cancel(store, request_id)
        assert states(store, request_id) == ["running", "running", "cancelled", "cancelled"]
        assert queue.cancelled(store, "a") == {given.group_id}
        assert queue.cancelled(store, "b") == set()
        queue.finish(store, "a", [(given, Outcome("cancelled"))])
        assert states(store, request_id) == ["cancelled"] * 4
        queue.retry(store, request_id)
        assert targets(store) == ["lab/w8@1", "lab/w8@2"]

    def test_what_somebody_else_wants_goes_on(self, store: Store) -> None:
        mine = queue.ask(store, "mine", [asked(1), asked(2)])
        theirs = queue.ask(store, "theirs", [asked(2), asked(3)])
        queue.cancel(store, mine)
        assert states(store, theirs) == ["waiting", "waiting"]
        assert states(store, mine) == ["cancelled", "waiting"]
        queue.dismiss(store, mine)
        assert queue.requests(store)["title"].tolist() == ["theirs"]
        assert targets(store) == ["lab/w8@2", "lab/w8@3"]
        assert queue.active(store) == 2

    def test_asked_again_while_it_was_being_cancelled(self, store: Store) -> None:
        request_id = queue.ask(store, "w8", [asked(1)])
        given = one(store, "a", ["measure"])
        assert given is not None
        queue.cancel(store, request_id)
        queue.ask(store, "w8", [asked(1)])
        queue.finish(store, "a", [(given, Outcome("cancelled"))])
        assert states(store, request_id) == ["waiting"]

    def test_a_dead_workers_cancelled_job_stays_cancelled(self, store: Store) -> None:
        request_id = queue.ask(store, "w8", [asked(1)])
        assert one(store, "a", ["measure"]) is not None
        queue.cancel(store, request_id)
        queue.release(store, ["a"])
        assert states(store, request_id) == ["cancelled"]

    def test_dismissing_leaves_nothing_behind(self, store: Store) -> None:
        queue.dismiss(store, queue.ask(store, "w8", both(1)))
        for table in ("jobs", "requests", "request_jobs"):
            assert store.frame(f"SELECT * FROM {table}").empty


def test_requests_are_summed_up(store: Store) -> None:
    """Three checkpoints with an audit before them: one done, one failed, one waiting; the audit is not counted."""
    request_id = queue.ask(store, "w8", [asked(0, None, "audit"), *both(1, 2, 3)])
    for outcome in (Outcome("done"), DONE, replace(DONE, state="failed", error="Broken.")):
        given = one(store, "a", ["measure", "audit"])
        assert given is not None
        queue.finish(store, "a", [(given, outcome)])
    (row,) = queue.requests(store).to_dict("records")
    assert row["request_id"] == request_id
    assert (row["kind"], row["groups"], row["ended"], row["failed"]) == ("measure", 3, 2, 1)
    assert (row["waiting"], row["running"], row["cancelled"], row["error"]) == (2, 0, 0, "Broken.")
    assert sorted(row["measures"]) == ["loss", "spectrum"]
    waiting = queue.waiting_measures(store, "lab")
    assert sorted(waiting.itertuples(index=False, name=None)) == [("lab/w8@3", "loss"), ("lab/w8@3", "spectrum")]
    assert queue.waiting_measures(store, "la").empty


ACTS = st.lists(
    st.tuples(st.sampled_from(["ask", "give", "done", "fail", "die", "cancel", "retry"]), st.integers(0, 2)),
    max_size=25,
)


@limits(max_examples=10, deadline=None)
@examples(ACTS)
def test_whatever_happens_a_job_is_in_one_place_and_everything_can_be_drained(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("queue")
    store = Store(folder / "measurements.duckdb", bundled=folder)
    wanted = [both(1, 2), both(2, 3), [asked(4)]]
    requests = [queue.request_of(jobs) for jobs in wanted]
    store.ensure()
    held: dict[str, list[queue.Given]] = {"0": [], "1": [], "2": []}
    for act, number in acts:
        worker = str(number)
        if act == "ask":
            queue.ask(store, f"r{number}", wanted[number])
        elif act == "give" and (given := one(store, worker, ["measure"])):
            held[worker].append(given)
        elif act in ("done", "fail") and held[worker]:
            queue.finish(store, worker, [(held[worker].pop(), DONE if act == "done" else Outcome("failed", "No."))])
        elif act == "die":
            queue.release(store, [worker])
            held[worker].clear()
        elif act == "cancel":
            queue.cancel(store, requests[number])
        elif act == "retry":
            queue.retry(store, requests[number])
        running = store.frame("SELECT job_id, worker FROM jobs WHERE state = 'running'")
        given_out = {(job, who) for who, groups in held.items() for group in groups for job in group.job_ids}
        assert set(running.itertuples(index=False, name=None)) == given_out
        assert store.frame("SELECT * FROM jobs WHERE state <> 'running' AND worker NOT NULL").empty
    for worker, groups in held.items():
        for group in groups:
            queue.finish(store, worker, [(group, DONE)])
    while given := one(store, "last", ["measure"]):
        queue.finish(store, "last", [(given, DONE)])
    assert queue.active(store) == 0


def test_places_follow_one_another_over_many_requests(store: Store) -> None:
    for step in range(5):
        queue.ask(store, str(step), [asked(step)])
    places = store.frame("SELECT place FROM jobs ORDER BY target")["place"].tolist()
    assert all(after > before for before, after in pairwise(places))
