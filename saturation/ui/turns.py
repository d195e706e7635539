"""One page at a time: what many visitors ask for at once is drawn in turn.

A page is a thread of one Python interpreter, and threads that compute side by side only hinder each other: with fifty
visitors in a hurry a page at a time makes a quarter more pages a minute, and 95 % of them are there in half the time
(`benchmarks.visitors`).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# A page that takes longer than this keeps nobody else waiting.
LONGEST_SECONDS = 5.0

_turn = threading.Semaphore(1)
_mine = threading.local()


def take_turns() -> None:
    """From now on streamlit runs the pages of this process in turn."""
    from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

    ScriptRunner._run_script = in_turn(ScriptRunner._run_script)  # type: ignore[method-assign]


def in_turn(run: Callable[..., None]) -> Callable[..., None]:
    """The same, but that a thread waits for its turn first."""

    def waiting(*given: Any) -> None:
        _begin()
        try:
            run(*given)
        finally:
            _end()

    return waiting


@contextmanager
def aside() -> Iterator[None]:
    """While a page waits for something outside this process, the others have their turn."""
    held = _end()
    try:
        yield
    finally:
        if held:
            _begin()


def _begin() -> None:
    _mine.held = _turn.acquire(timeout=LONGEST_SECONDS)


def _end() -> bool:
    """Let the next one begin; whether this thread had the turn."""
    held = getattr(_mine, "held", False)
    if held:
        _mine.held = False
        _turn.release()
    return held
