"""Results that all visitors of a process share, by what they depend on.

Streamlit's own caches hash every argument's contents and copy or wrap what they give; at some forty questions a page
that was a third of its time. Here the arguments are the key as they are.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def kept(most: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the results of the `most` sets of arguments used last; of callers at one time, one works it out for all.

    Arguments are hashable. Whoever gets a result changes nothing in it.
    """

    def decorate(work: Callable[P, R]) -> Callable[P, R]:
        memory = Memory(most)

        @wraps(work)
        def remembered(*arguments: P.args, **named: P.kwargs) -> R:
            key = (arguments, tuple(sorted(named.items())))
            found: R = memory.get(key, lambda: work(*arguments, **named))
            return found

        return remembered

    return decorate


class Memory:
    """What was worked out last, by key."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()
        self._working: dict[Hashable, Lock] = {}

    def get(self, key: Hashable, work: Callable[[], Any]) -> Any:
        """The result held for a key, else that of `work`; an error of `work` is held for nobody."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            turn = self._working.setdefault(key, Lock())
        with turn:
            with self._lock:
                if key in self._held:
                    return self._held[key]
            try:
                found = work()
                with self._lock:
                    self._held[key] = found
                    while len(self._held) > self.most:
                        self._held.popitem(last=False)
            finally:
                with self._lock:
                    self._working.pop(key, None)
        return found
