"""What an answer of the hub means: which errors pass, which stay, and the one sentence that a user reads.

Statuses and headers as huggingface_hub itself reads them (X-Error-Code, Retry-After, RateLimit). Imports no torch.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers

from saturation.checkpoints.hub_errors import (
    HubAccessError,
    HubBusyError,
    HubDamagedError,
    HubError,
    HubNotFoundError,
    HubOfflineError,
    HubUnavailableError,
)
from saturation.checkpoints.hub_patience import Patience

TRUE = {"1", "ON", "YES", "TRUE"}
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True)
class Place:
    """What a request is about, as its errors name it: `org/name@step1000`, `config.json of org/name@step1000`."""

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        where = self.repo if self.revision is None else f"{self.repo}@{self.revision}"
        return where if self.file is None else f"{self.file} of {where}"


class AgainError(Exception):
    """This attempt failed in a way that the next may not. wait: seconds that the hub asks for."""

    def __init__(self, error: HubError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


def endpoint() -> str:
    """Address of the hub: HF_ENDPOINT as it is now, which huggingface_hub itself reads once, at import."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what a token may be sent to."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def offline() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set now, or was when huggingface_hub was imported."""
    given = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return given.upper() in TRUE or bool(constants.is_offline_mode())


def offline_error(place: Place) -> HubOfflineError:
    return HubOfflineError(f"HF_HUB_OFFLINE is set and {place} is not on this machine; unset HF_HUB_OFFLINE to get it.")


def unavailable(place: Place, how: str) -> HubUnavailableError:
    return HubUnavailableError(f"The hub {how} when asked for {place}; try again later (what was read is kept).")


def no_listing(place: Place) -> HubDamagedError:
    return HubDamagedError(f"What {endpoint()} sent about {place} is no listing of a hub; check HF_ENDPOINT.")


def check_status(response: httpx2.Response, place: Place, patience: Patience) -> None:
    """Raise what a status other than 200 and 206 means: AgainError where another attempt may help, else HubError."""
    status, headers = response.status_code, response.headers
    if status in (200, 206):
        return
    if status == 429 or (status == 503 and "Retry-After" in headers):
        wait = _seconds_to_wait(headers)
        busy = HubBusyError(
            f"The hub limits how fast {place} is read; wait {60 if wait is None else wait:.0f} s and try again, "
            "or log in with `hf auth login` for a higher limit."
        )
        if wait is not None and wait > patience.longest_wait:
            raise busy
        raise AgainError(busy, wait)
    elsewhere = origin(str(response.url)) != origin(endpoint())
    if status in (408, 425) or status >= 500 or (elsewhere and status in (401, 403, 404, 410)):
        # A signed address of the storage expires; the next attempt asks the hub for a new one.
        raise AgainError(unavailable(place, f"answers with error {status}"))
    if status == 416:
        raise HubDamagedError(f"{place} is shorter than the hub lists; choose another revision.")
    raise _refusal(status, headers.get("X-Error-Code", ""), place)


def _refusal(status: int, code: str, place: Place) -> HubError:
    if code == "GatedRepo" or status == 403:
        return HubAccessError(
            f"{place} is not open to you: accept its licence at {endpoint()}/{place.repo}, "
            "and log in with `hf auth login` or set HF_TOKEN."
        )
    if code == "RevisionNotFound":
        return HubNotFoundError(
            f"{place.repo} has no revision {place.revision}; check the name in the list of its branches and tags."
        )
    if code == "EntryNotFound":
        return HubNotFoundError(f"There is no {place}; check the name of the file and the revision.")
    if status == 401:
        return HubAccessError(
            f"The hub does not show {place}: check the name, and for a private or gated repository "
            "log in with `hf auth login` or set HF_TOKEN."
        )
    if status == 404:
        return HubNotFoundError(
            f"The hub has no {place}; check the name, and log in with `hf auth login` where it is private."
        )
    return HubError(f"The hub answers the request for {place} with status {status}; check HF_ENDPOINT and the name.")


def _seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After (a number or a date) or the hub's own RateLimit header asks for."""
    given = headers.get("Retry-After", "").strip()
    if given.isdigit():
        return float(given)
    if given:
        try:
            return max((parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds(), 0.0)
        except (ValueError, TypeError):
            return None
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else None


def usable_part(
    response: httpx2.Response, place: Place, position: int, stop: int, size: int | None, patience: Patience
) -> tuple[int, int]:
    """How many bytes of the body lie before the position, and where in the file its usable part ends.

    position, stop: the range that was asked for. size: length of the file as listed.
    Raises AgainError or HubError where the answer does not fit.
    """
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise HubDamagedError(f"The hub sent {place} compressed, unasked; check the proxy.")
    if response.status_code == 200:
        if position > patience.skip:
            raise HubError(
                f"The server of {place} ignores byte ranges, and what is asked starts at byte {position}; "
                "check HF_ENDPOINT and the proxy, or download the model and measure the folder."
            )
        return position, stop
    match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    first, last, total = match.groups() if match else ("-1", "-1", "*")
    if int(first) != position or not position <= int(last) < stop:
        raise AgainError(HubDamagedError(f"The hub sent another part of {place} than was asked; try again later."))
    if size is not None and total not in ("*", str(size)):
        raise HubDamagedError(
            f"The hub holds {total} bytes of {place} where it lists {size}; "
            "the upload is broken, so choose another revision."
        )
    return 0, int(last) + 1


@contextmanager
def translated(place: Place) -> Iterator[None]:
    """Turn the errors of the HTTP library into ours. Their own texts stay out: they may quote headers."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise offline_error(place) from error
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.LocalProtocolError) as error:
        raise HubError(
            f"The request for {place} cannot be sent to {endpoint()}; set HF_ENDPOINT to an http(s) address."
        ) from error
    except httpx2.TimeoutException as error:
        raise AgainError(unavailable(place, "does not answer in time")) from error
    except httpx2.ConnectError as error:
        raise AgainError(unavailable(place, f"cannot be reached at {endpoint()}")) from error
    except httpx2.TransportError as error:
        raise AgainError(unavailable(place, "breaks the connection")) from error
    except RuntimeError as error:
        # Another thread's failure made huggingface_hub replace the shared session under our feet.
        if "closed" in str(error):
            raise AgainError(unavailable(place, "lost the connection")) from error
        raise
