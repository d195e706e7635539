"""A visitor of a running dashboard who speaks streamlit's protocol: asks for pages, waits for them, counts bytes."""

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from saturation.settings import ROOT

WAIT = 120.0  # seconds after which a server or a page counts as failed


@dataclass(frozen=True)
class Server:
    """A dashboard in a process of its own; `started`: by `time.perf_counter`, `healthy`: seconds until it answered."""

    port: int
    pid: int
    started: float
    healthy: float

    def megabytes(self) -> float:
        """Memory that the process holds."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu(self) -> float:
        """Seconds of processor time so far, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def has_loaded(self, library: str) -> bool:
        """Whether a file whose path holds these letters is mapped into the process."""
        return library in Path(f"/proc/{self.pid}/maps").read_text(encoding="utf-8")


@contextmanager
def serving(cache: Path, port: int) -> Iterator[Server]:
    """`python -m saturation serve` on a folder, once it answers its health check."""
    command = [sys.executable, "-m", "saturation", "serve", "--port", str(port)]
    environment = os.environ | {"SATURATION_CACHE": str(cache), "SATURATION_MODE": "local"}
    silent = subprocess.DEVNULL
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=silent, stderr=silent)
    try:
        while not _answers(port):
            if child.poll() is not None or time.perf_counter() - start > WAIT:
                raise RuntimeError(f"The dashboard does not answer on port {port}.")
            time.sleep(0.02)
        yield Server(port, child.pid, start, time.perf_counter() - start)
    finally:
        child.terminate()
        child.wait(timeout=30)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1) as answer:
            return bool(answer.read() == b"ok")
    except OSError:
        return False


@dataclass
class Seen:
    """What a page took and brought: seconds until its run was over, bytes of all messages, those of each figure."""

    seconds: float = 0.0
    received: int = 0
    figures: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Visitor:
    """One session. Messages that it holds are not sent again, as with a browser."""

    def __init__(self, socket: ClientConnection, port: int) -> None:
        self._socket = socket
        self._port = port
        self._held: set[str] = set()

    async def see(self, page: str, address: Mapping[str, str], figures: int | None = None) -> Seen:
        """Open a page by its path ('' is the Overview) at an address, and wait until its run is over.

        figures: wait only until there are so many.
        """
        asked = BackMsg()
        state = asked.rerun_script
        state.query_string, state.page_name = urlencode(address), page
        state.cached_message_hashes.extend(sorted(self._held))
        state.context_info.url = f"http://localhost:{self._port}/{page}"
        state.context_info.color_scheme = "light"
        seen = Seen()
        start = time.perf_counter()
        await self._socket.send(asked.SerializeToString())
        async with asyncio.timeout(WAIT):
            while True:
                raw = await self._socket.recv(decode=False)
                told = ForwardMsg.FromString(raw)
                seen.received += len(raw)
                if told.metadata.cacheable:
                    self._held.add(told.hash)
                if told.WhichOneof("type") == "delta":
                    _look(told, seen)
                    if figures is not None and len(seen.figures) >= figures:
                        seen.seconds = time.perf_counter() - start
                        return seen
                if told.WhichOneof("type") == "script_finished":
                    break
        seen.seconds = time.perf_counter() - start
        if told.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
            seen.errors.append(f"{page or 'Overview'}: the run ended as {told.script_finished}")
        return seen

    async def leave(self) -> None:
        await self._socket.close()


def _look(told: ForwardMsg, seen: Seen) -> None:
    element = told.delta.new_element
    kind = element.WhichOneof("type")
    if kind == "plotly_chart":
        seen.figures.append(len(element.plotly_chart.spec))
    elif kind == "exception":
        seen.errors.append(element.exception.message)
    elif kind == "alert" and element.alert.format == element.alert.ERROR:
        seen.errors.append(element.alert.body)


async def visit(port: int) -> Visitor:
    """Connect as a browser does."""
    address = f"ws://localhost:{port}/_stcore/stream"
    socket = await connect(address, subprotocols=[Subprotocol("streamlit")], max_size=None, proxy=None)
    return Visitor(socket, port)


def path_of(page: str) -> str:
    """The part of the address that names a page: '' for app.py, `Singular_values` for pages/3_Singular_values.py."""
    return "" if page == "app.py" else Path(page).stem.partition("_")[2]
