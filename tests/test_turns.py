"""Pages of one server are drawn in turn, and none can hold up the others for long."""

import inspect
import threading
import time

import pytest
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

from saturation.ui import turns


def together(*works) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_one_page_at_a_time() -> None:
    inside, most, seen = 0, 0, []

    def page(number: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        seen.append(number)
        inside -= 1

    together(*(lambda number=number: turns.in_turn(page)(number) for number in range(8)))
    assert most == 1
    assert sorted(seen) == list(range(8))


def test_a_page_that_fails_lets_the_next_one_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_SECONDS", 60.0)

    def fails() -> None:
        raise ValueError("a page that fails")

    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(ValueError, match="a page that fails"):
            turns.in_turn(fails)()
    assert time.monotonic() - began < 10


def test_while_one_waits_outside_another_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_SECONDS", 60.0)
    waiting, drawn, order = threading.Event(), threading.Event(), []

    def waits() -> None:
        with turns.aside():
            waiting.set()
            assert drawn.wait(10)
        order.append("back")

    def other() -> None:
        assert waiting.wait(10)
        turns.in_turn(lambda: order.append("other"))()
        drawn.set()

    together(turns.in_turn(waits), other)
    assert order == ["other", "back"]
    turns.in_turn(lambda: order.append("free"))()  # the turn was given back in the end
    assert order[-1] == "free"


def test_a_page_that_stands_still_holds_nobody_up_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_SECONDS", 0.05)
    begun, drawn = threading.Event(), threading.Event()

    def stands() -> None:
        begun.set()
        assert drawn.wait(10)

    def other() -> None:
        assert begun.wait(10)
        turns.in_turn(drawn.set)()

    together(turns.in_turn(stands), other)
    assert drawn.is_set()
    monkeypatch.setattr(turns, "LONGEST_SECONDS", 60.0)
    turns.in_turn(lambda: None)()  # who went without a turn gave none back, and who had it did
    assert turns._turn.acquire(blocking=False)
    assert not turns._turn.acquire(blocking=False)
    turns._turn.release()


def test_outside_of_a_page_nothing_is_given_back() -> None:
    with turns.aside():
        assert turns._turn.acquire(blocking=False)
        assert not turns._turn.acquire(blocking=False)
        turns._turn.release()


def test_streamlit_runs_its_pages_where_we_think_it_does() -> None:
    assert list(inspect.signature(ScriptRunner._run_script).parameters) == ["self", "rerun_data"]
    assert "self._run_script(request.rerun_data)" in inspect.getsource(ScriptRunner._run_script_thread)
