"""How much each session of a public server may ask for: kept in memory, as long as sessions themselves."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from saturation.errors import RefusedError
from saturation.jobs import hosting
from saturation.settings import Settings
from saturation.store import Store, in_use, queue

DAY = 86_400.0  # seconds
MB = 1e6


@dataclass
class Account:
    """What a session has asked for: its requests, and within a day (when, how much) checkpoints and imported bytes."""

    requests: set[str] = field(default_factory=set)
    checkpoints: list[tuple[float, int]] = field(default_factory=list)
    imports: list[tuple[float, int]] = field(default_factory=list)

    def forget(self, now: float) -> bool:
        """Drop what is older than a day; whether anything is left."""
        self.checkpoints = [item for item in self.checkpoints if now - item[0] < DAY]
        self.imports = [item for item in self.imports if now - item[0] < DAY]
        return bool(self.requests or self.checkpoints or self.imports)


_accounts: dict[Path, dict[str, Account]] = defaultdict(dict)
_lock = threading.RLock()


def _account(settings: Settings) -> Account:
    now, accounts = time.monotonic(), _accounts[settings.cache]
    for session in [name for name, account in accounts.items() if not account.forget(now)]:
        del accounts[session]
    return accounts.setdefault(settings.session, Account())


@contextmanager
def admitted(settings: Settings, store: Store, checkpoints: int) -> Iterator[Callable[[str], None]]:
    """A place in the queue for work of so many checkpoints; call what is yielded with the request's id.

    Raises RefusedError where the session or all of them together have asked for too much.
    """
    hosting.may_write(settings)
    if settings.mode != "public":
        yield lambda request_id: None
        return
    with _lock:
        account, limits = _account(settings), settings.limits
        store.ensure()
        active = sum(queue.active(store, request_id) > 0 for request_id in account.requests)
        today = sum(count for _, count in account.checkpoints)
        waiting = in_use.active_groups(store)
        if active >= limits.jobs:
            raise RefusedError(
                f"{_count(active, 'job')} of yours {'is' if active == 1 else 'are'} in the queue, and a session may "
                f"have {limits.jobs:g} at once; wait for one to end, or cancel it."
            )
        if today + checkpoints > limits.checkpoints:
            raise RefusedError(
                f"A session may ask for {limits.checkpoints:g} checkpoints a day, and {today} of yours are used; "
                f"choose {max(0, int(limits.checkpoints) - today)} or fewer now, the rest tomorrow."
            )
        if waiting + checkpoints > limits.queue:
            raise RefusedError(
                f"{_count(waiting, 'checkpoint')} wait here already, and the queue takes {limits.queue:g}; choose "
                "fewer, or come back when some are done."
            )

        def keep(request_id: str) -> None:
            account.requests.add(request_id)
            account.checkpoints.append((time.monotonic(), checkpoints))

        yield keep


def owns(settings: Settings, request_id: str) -> bool:
    """Whether the session asked for this: on a machine of one's own every request is one's own."""
    if settings.mode == "local":
        return True
    with _lock:
        account = _accounts[settings.cache].get(settings.session)
        return settings.mode == "public" and account is not None and request_id in account.requests


def release(settings: Settings, request_id: str) -> bool:
    """Take the session's name off a request; whether nobody else of a public server has asked for the same."""
    if settings.mode != "public":
        return True
    with _lock:
        accounts = _accounts[settings.cache]
        others = any(request_id in item.requests for name, item in accounts.items() if name != settings.session)
        if others and settings.session in accounts:
            accounts[settings.session].requests.discard(request_id)
        return not others


def take_in(settings: Settings, size: int) -> None:
    """Count an upload of `size` bytes. Raises RefusedError where it is one too many, or too large."""
    hosting.may_write(settings)
    if settings.mode != "public":
        return
    with _lock:
        account, limits = _account(settings), settings.limits
        used = sum(count for _, count in account.imports)
        if limits.imports == 0:
            raise RefusedError(f"This server takes no files; {hosting.OWN}.")
        if len(account.imports) >= limits.imports:
            raise RefusedError(f"A session may bring in files {limits.imports:g} times a day; come back tomorrow.")
        if used + size > limits.import_mb * MB:
            raise RefusedError(
                f"A session may bring in {limits.import_mb:g} MB a day, {used / MB:,.1f} MB are used and these are "
                f"{size / MB:,.1f}; choose smaller files."
            )
        if hosting.disk_bytes(settings) + size > limits.disk_gb * 1e9:
            raise RefusedError(f"This server is full; {hosting.OWN}.")
        account.imports.append((time.monotonic(), size))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
