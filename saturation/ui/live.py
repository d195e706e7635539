"""Live runs: brought in when a page opens and while it is looked at, with a line in the sidebar for each that grows."""

import time

import streamlit as st

from saturation.families.registry import LIVE
from saturation.jobs import live
from saturation.jobs.live import News
from saturation.ui import data
from saturation.ui.pages import OVERVIEW
from saturation.ui.words import plain

EVERY = 2.0  # seconds between looks at the files
REDRAW = 6.0  # seconds at least between redraws of a page whose run grows
TWO_LINES = """from saturation.monitor import Monitor

monitor = Monitor(model, batch, run="mine")  # batch: token ids (rows, length) that training does not use

for step, inputs in enumerate(loader, 1):
    ...  # forward, backward, optimizer step
    monitor.step(step)
"""
TRAINER = """from saturation.monitor import monitor_callback

Trainer(model=model, args=args, train_dataset=data, callbacks=[monitor_callback(batch, run="mine")]).train()
"""


def bring_in() -> None:
    """Store what has come since the last look, before a page asks the store; starts looking again and again."""
    if data.settings().mode != "local":
        return
    st.session_state["_live"] = (_growing(), time.monotonic())


def sidebar(family: str) -> None:
    """A line for each run that grows; redraws a page that shows one of them."""
    runs, _ = st.session_state.get("_live", ([], 0.0))
    if any(news.live for news in runs):
        st.fragment(_sidebar, run_every=EVERY)(family)


def _growing() -> list[News]:
    return live.bring_in(data.settings(), data.store())


def _sidebar(family: str) -> None:
    before, drawn = st.session_state["_live"]
    runs = _growing()
    steps = {news.name: news.points for news in before}
    grown = any(steps.get(news.name) != news.points for news in runs)
    if grown and family == LIVE and time.monotonic() - drawn > REDRAW:
        st.rerun()
    for news in runs:
        if news.live:
            st.caption(f":green[:material/sensors:] {line(news)}")


def line(news: News) -> str:
    """Where a run is, in a line."""
    loss = "" if news.loss is None else f", loss {news.loss:.3f}"
    return f"**{plain(news.name)}** at step {news.step:,}{loss} · {_ago(news.age)}"


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s ago" if seconds < 90 else f"{seconds / 60:.0f} min ago"


def listing() -> None:
    """How a run is watched, and those that were."""
    st.subheader("A run that is being trained", anchor=False)
    st.caption(
        "Two lines in a training loop, or a callback of the transformers Trainer, on this machine: the head's "
        "spectrum, and on a fixed batch anisotropy and loss, for less than 1 % of the training time."
    )
    loop, trainer = st.tabs(["Any PyTorch loop", "transformers Trainer"])
    loop.code(TWO_LINES, language="python")
    trainer.code(TRAINER, language="python")
    runs, _ = st.session_state.get("_live", ([], 0.0))
    for news in runs[:10]:
        cost = f"{news.points} points, {news.share:.2%} of its time"
        st.page_link(
            OVERVIEW.path,
            label=f"{line(news)} · {cost}",
            icon=":material/sensors:" if news.live else ":material/history:",
            query_params={"family": LIVE, "model": news.name},
        )
