"""Running jobs: a quiet line in the sidebar of every page, the full list on the Measure page."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from saturation.errors import SaturationError
from saturation.jobs import board
from saturation.jobs.leads import Lead, leads
from saturation.settings import Settings
from saturation.ui import data, link
from saturation.ui.pages import named
from saturation.ui.words import plain, sentence

EVERY = 1.5  # seconds between looks at a running job
FAILED = "_failed"
REDRAW = 10.0  # seconds at least between redraws of a page while a job writes results
DOING = {"measure": "Measuring", "heads": "Heads of", "ngram": "Counting", "playground": "Playing"}
STATES = {
    "waiting": ("waiting", "gray"),
    "running": ("running", "blue"),
    "done": ("done", "green"),
    "failed": ("failed", "red"),
    "cancelled": ("cancelled", "gray"),
}


def active(jobs: list[board.Job]) -> list[board.Job]:
    return [job for job in jobs if job.state in board.ACTIVE]


@dataclass(frozen=True)
class Drawn:
    """What a page is drawn from: taken before its first query, so that nothing written later is missed."""

    moment: float
    signature: tuple[int, ...]
    running: frozenset[str]


def begin() -> None:
    """Note the state of the store and of the jobs; called when a page opens."""
    st.session_state["_drawn"] = Drawn(time.monotonic(), data.store().signature(), _running())


def sidebar() -> None:
    """Show running jobs, and say which ended in an error; redraw the page when their results are there."""
    for failure in st.session_state.pop(FAILED, []):
        st.toast(sentence(failure), icon=":material/error:", duration="infinite")
    if st.session_state["_drawn"].running:
        st.fragment(_sidebar, run_every=EVERY)()


def listing() -> None:
    """All jobs with progress, cancel, errors; looks again by itself while one runs."""
    st.fragment(_listing, run_every=EVERY if st.session_state["_drawn"].running or _running() else None)()


def _running() -> frozenset[str]:
    return frozenset(job.id for job in active(board.jobs(data.settings())))


def _redraw_when_due() -> None:
    """Run the whole page again when a job ended, or when results came in and the last redraw is a while ago."""
    drawn: Drawn = st.session_state["_drawn"]
    running = _running()
    written = data.store().signature() != drawn.signature
    ended = drawn.running - running
    failed = [job for job in board.jobs(data.settings()) if job.id in ended and job.state == "failed"]
    st.session_state.setdefault(FAILED, []).extend(f"{_doing(job)} {job.title} failed: {job.error}" for job in failed)
    if ended or (written and (not running or time.monotonic() - drawn.moment > REDRAW)):
        st.rerun()


def _sidebar() -> None:
    _redraw_when_due()
    for job in active(board.jobs(data.settings())):
        st.progress(min(job.share, 1.0), text=f"{_doing(job)} {plain(job.title)}: {_share(job)}{_stage(job)}")


def _listing() -> None:
    _redraw_when_due()
    jobs = board.jobs(data.settings())
    if not jobs:
        st.caption("No job yet. What you start appears here and goes on when you leave the page.")
    found = leads(data.store()) if jobs else {}
    for job in jobs:
        _job(job, found.get(job.id, ()))


def _job(job: board.Job, made: tuple[Lead, ...]) -> None:
    word, colour = STATES[job.state]
    running = job.state in board.ACTIVE
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{plain(job.title)}** :{colour}-badge[{word}]")
        with st.container(horizontal=True, vertical_alignment="center"):
            what = ", ".join(job.measures) or _doing(job).lower()
            about = plain(job.message) if running else f"{what} · {_took(job)}"
            st.caption(f"{_share(job)} · {about}", width="stretch")
            if job.state in ("failed", "cancelled"):
                st.button(
                    "Retry",
                    key=f"retry-{job.id}",
                    on_click=_quietly,
                    args=(board.retry, job.id),
                    type="tertiary",
                    icon=":material/replay:",
                )
            st.button(
                "Cancel" if running else "Dismiss",
                key=f"end-{job.id}-{running}",
                on_click=_quietly,
                args=(board.cancel if running else board.dismiss, job.id),
                type="tertiary",
                icon=":material/close:",
            )
        if running:
            st.progress(min(job.share, 1.0))
        if made:
            with st.container(horizontal=True, gap="small", key=f"made-{job.id}"):
                for lead in made:
                    page = named(lead.page)
                    address = lead.address if "family" in lead.address else {**link.shown(), **lead.address}
                    st.page_link(page.path, label=page.name, icon=page.icon, query_params=dict(address))
        if job.error:
            others = f" ({job.failed} of {job.total} failed)" if job.failed > 1 else ""
            st.error(sentence(job.error) + others, icon=":material/error:")


def _doing(job: board.Job) -> str:
    return DOING.get(job.kind, DOING["measure"])


def _share(job: board.Job) -> str:
    """How far a job is: counted for checkpoints, in percent where its parts are many and mean nothing to a reader."""
    if job.kind == "measure":
        return f"{job.done} of {job.total}"
    return f"{job.share:.0%}"


def _stage(job: board.Job) -> str:
    """What a job is at, where its share alone would stand still for minutes."""
    return "" if job.kind == "measure" else f" · {plain(job.message)}"


def _quietly(action: Callable[[Settings, str], None], job_id: str) -> None:
    """Act on a job; one that ended or went away meanwhile is no error to the user."""
    try:
        action(data.settings(), job_id)
    except SaturationError as error:
        st.toast(data.said(error))


def _took(job: board.Job) -> str:
    if job.started is None or job.finished is None:
        return "never begun"
    seconds = max((job.finished - job.started).total_seconds(), 0.0)
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
