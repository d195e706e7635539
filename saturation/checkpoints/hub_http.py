"""Byte ranges and listings from the hub over HTTP, with patience that ends. Imports no torch.

Goes through huggingface_hub's own session (proxies, certificates, HF_HUB_OFFLINE) and token. Requests are made one hop
at a time, so that the token goes to the endpoint alone and every byte that arrives is counted, those of errors and
redirects included.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.utils import get_session
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_exponential_jitter

from saturation import __version__
from saturation.checkpoints.hub_answers import (
    AgainError,
    Place,
    check_status,
    endpoint,
    no_listing,
    offline,
    offline_error,
    origin,
    translated,
    usable_part,
)
from saturation.checkpoints.hub_errors import HubDamagedError, HubError, HubUnavailableError
from saturation.checkpoints.hub_patience import Patience

MAX_REDIRECTS = 5
MAX_LISTING_BYTES = 32_000_000
# An attempt that brought this much is worth another series of tries: a large head may outlive many connections.
PROGRESS_BYTES = 1 << 20
# The rest of a body up to this length is read, so that its connection can serve the next request.
DRAIN_BYTES = 65_536


class Connection:
    """Reads from the hub; `bytes_received` counts the bodies of all answers so far. For one thread."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience.from_environment()
        self.bytes_received = 0

    def read_range(
        self,
        repo: str,
        commit: str,
        file: str,
        start: int,
        stop: int,
        *,
        size: int | None = None,
        revision: str | None = None,
        into: bytearray | None = None,
    ) -> bytearray:
        """Bytes [start, stop) of a file.

        size: length of the whole file, checked where given. revision: how errors name the commit. into: what was
        already read of this range; the rest is appended, also by an attempt that fails in the end.
        Raises HubError.
        """
        data = bytearray() if into is None else into
        self.receive(Place(repo, revision or commit, file), commit, start + len(data), stop, data.extend, size)
        return data

    def receive(
        self,
        place: Place,
        commit: str,
        start: int,
        stop: int,
        sink: Callable[[bytes], object],
        size: int | None = None,
    ) -> None:
        """Hand the bytes [start, stop) of place.file to the sink, in order, each once. Raises HubError."""
        url = f"{endpoint()}/{place.repo}/resolve/{commit}/{quote(place.file or '')}"
        position = start

        def attempt() -> None:
            nonlocal position
            if position >= stop:
                return  # the last attempt was given up for its pace just when it was done
            with self._response(url, place, {"Range": f"bytes={position}-{stop - 1}"}) as response:
                skip, end = usable_part(response, place, position, stop, size, self.patience)
                # A server that ignores the range would send the file to its end.
                goes_on = response.status_code == 200 and response.headers.get("Content-Length") != str(stop)
                for chunk in self._chunks(response, place):
                    kept = chunk[skip : skip + end - position]
                    skip = max(skip - len(chunk), 0)
                    sink(kept)
                    position += len(kept)
                    if position == stop and goes_on:
                        return
            if position < stop:
                short = f"The hub sent {position - start} of the {stop - start} bytes asked of {place}"
                raise AgainError(HubDamagedError(f"{short}; try again later (what was read is kept)."))

        if start < stop:
            self._persist(place, attempt, lambda: position)

    def get_json(self, path: str, place: Place) -> list[Any] | dict[str, Any]:
        """What an address of the hub's API lists; the pages of a long list are joined. Raises HubError."""
        url: str | None = f"{endpoint()}{path}"
        items: list[Any] = []
        while url is not None:
            found, url = self._page(url, place)
            if not isinstance(found, list):
                return found
            items += found
        return items

    def _page(self, url: str, place: Place) -> tuple[list[Any] | dict[str, Any], str | None]:
        def attempt() -> tuple[list[Any] | dict[str, Any], str | None]:
            body = bytearray()
            with self._response(url, place, {}) as response:
                for chunk in self._chunks(response, place):
                    body.extend(chunk)
                    if len(body) > MAX_LISTING_BYTES:
                        raise no_listing(place)
                following = response.links.get("next", {}).get("url")
            try:
                found = json.loads(body)
            except ValueError as error:
                raise AgainError(no_listing(place)) from error
            if not isinstance(found, list | dict):
                raise AgainError(no_listing(place))
            return found, following

        found, following = self._persist(place, attempt, lambda: 0)
        if following is not None:
            # Only the path is taken: the next page is asked of the endpoint in use, whatever host it names.
            parts = urlsplit(following)
            following = urljoin(url, f"{parts.path}?{parts.query}")
        return found, following

    def _persist(self, place: Place, attempt: Callable[[], Any], progress: Callable[[], int]) -> Any:
        """Repeat an attempt while it fails in passing, within the bounds of our patience."""
        if offline():
            raise offline_error(place)
        usual = wait_exponential_jitter(self.patience.first_wait, max=10.0, jitter=self.patience.first_wait)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.wait if isinstance(error, AgainError) else None
            return usual(state) if asked is None else asked

        while True:
            before = progress()
            try:
                return Retrying(
                    stop=stop_after_attempt(self.patience.tries) | stop_before_delay(self.patience.seconds),
                    wait=wait,
                    retry=retry_if_exception_type(AgainError),
                    sleep=self.patience.sleep,
                    reraise=True,
                )(attempt)
            except AgainError as again:
                if progress() - before < PROGRESS_BYTES:
                    raise again.error from again.__cause__

    @contextmanager
    def _response(self, url: str, place: Place, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """The answer at the end of the redirects, its status checked, its body not yet read."""
        with translated(place):
            for _ in range(MAX_REDIRECTS + 1):
                sent = {"Accept-Encoding": "identity", "User-Agent": f"saturation/{__version__}", **headers}
                token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
                if token and origin(url) == origin(endpoint()):
                    sent["Authorization"] = f"Bearer {token}"
                # The session's own timeout is none at all.
                with get_session().stream(
                    "GET", url, headers=sent, follow_redirects=False, timeout=self.patience.timeout
                ) as response:
                    try:
                        if response.status_code in (200, 206):
                            yield response
                            return
                        if int(response.headers.get("Content-Length", "0")) <= DRAIN_BYTES:
                            for _chunk in self._chunks(response, place):
                                pass
                        if not response.has_redirect_location:
                            check_status(response, place, self.patience)
                    finally:
                        self.bytes_received += response.num_bytes_downloaded
                    url = urljoin(url, response.headers["Location"])
        raise HubError(f"The hub redirects the request for {place} in circles; check HF_ENDPOINT and the proxy.")

    def _chunks(self, response: httpx2.Response, place: Place) -> Iterator[bytes]:
        """The body as it arrives. Gives up where it arrives too slowly."""
        since, received = time.monotonic(), 0
        for chunk in response.iter_raw():
            yield chunk
            received += len(chunk)
            passed = time.monotonic() - since
            if passed >= self.patience.window:
                if received < self.patience.slowest * passed:
                    raise AgainError(
                        HubUnavailableError(
                            f"The hub sends {place} slower than {self.patience.slowest / 1000:g} kB/s; "
                            "try again later (what was read is kept)."
                        )
                    )
                since, received = time.monotonic(), 0
