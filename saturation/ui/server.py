"""The dashboard's server, in this process, with what pages need on its way in before anyone has asked."""

import gc
import os
import threading
from collections.abc import Sequence
from importlib import import_module

from streamlit import delta_generator
from streamlit.web import cli as streamlit

from saturation import settings
from saturation.families import registry
from saturation.ui import turns

# As app.py imports them: a first visitor who comes too early waits for the one that is under way, never overtakes.
NEEDED = ("figures", "ui.controls", "ui.frame", "ui.lab", "ui.runs", "ui.tiles")


def serve(options: Sequence[str]) -> None:
    """Serve app.py until stopped; `options` as for `streamlit run`."""
    os.chdir(settings.ROOT)  # where streamlit looks for its configuration
    # A browser takes a second to load streamlit's own files: the pages' modules are read meanwhile.
    threading.Thread(target=_read_in, name="read-in", daemon=True).start()
    # Before the first element of a process streamlit looks whether it runs in a Python prompt, at the cost of reading
    # the source of every module that is loaded.
    delta_generator._use_warning_has_been_displayed = True
    turns.take_turns()
    streamlit.main.main(["run", str(settings.ROOT / "app.py"), *options], prog_name="streamlit")


def _read_in() -> None:
    """What is read here stays for good: the garbage collector need not look through it, now or at any later click."""
    gc.disable()
    try:
        for name in NEEDED:
            import_module(f"saturation.{name}")
        registry.families()
    finally:
        gc.freeze()
        gc.enable()
