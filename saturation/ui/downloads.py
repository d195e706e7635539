"""Buttons that make a file when they are clicked, and not before; where it cannot be made, a sentence says why."""

import logging
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import streamlit as st

from saturation.errors import SaturationError
from saturation.store.taken import csv_of, parquet_of
from saturation.ui import data
from saturation.ui.browser import source

MIME = {
    "CSV": "text/csv",
    "HTML": "text/html",
    "Parquet": "application/vnd.apache.parquet",
    "PDF": "application/pdf",
    "zip": "application/zip",
}
FAILED = "_failed_files"
AGAIN = "The file could not be made; reload the page and try again."
Make = Callable[[], str | bytes]
log = logging.getLogger(__name__)
_watcher = st.components.v2.component("saturation_failed", js=source("failed.js"))


def watch() -> None:
    """Say why the file of a button on the page could not be made. Once a page.

    A file is made beside the script, which runs again only where the browser tells that one failed.
    """
    st.fragment(_watch)()


def _watch() -> None:
    for sentence in _told("page"):
        st.toast(sentence, icon=":material/error:", duration="infinite")


def watch_dialog() -> None:
    """The same for the buttons of the dialog that is open, in which the sentence appears here.

    A toast would take the dialog's place.
    """
    for sentence in _told("dialog"):
        st.error(sentence, icon=":material/error:")


def _told(place: str) -> list[str]:
    """What to say of files that just failed in a place, each sentence once."""
    if not _watcher(
        key=f"failed-{place}", data={"place": place}, on_failed_change=lambda: None, height="content"
    ).failed:
        return []
    sentences = _failed()
    told = [data.said(sentence) for sentence in dict.fromkeys(sentences) or [AGAIN]]
    sentences.clear()
    return told


def _failed() -> list[str]:
    """Why files of this session could not be made, until it is said."""
    sentences: list[str] = st.session_state.setdefault(FAILED, [])
    return sentences


def remembered(make: Make, name: str) -> Make:
    """`make` with its error noted for this session, since nobody but the script can show it."""
    sentences = _failed()

    def made() -> str | bytes:
        try:
            return make()
        except SaturationError as error:
            sentences.append(str(error))
            raise
        except Exception as error:
            log.exception("%s could not be made", name)
            sentences.append(f"{name} could not be made ({type(error).__name__}); reload the page and try again.")
            raise

    return made


def button(label: str, kind: str, make: Make, name: str, help: str, **look: Any) -> None:
    """A button for the file `name`, of a kind of `MIME`. `look`: of the button."""
    st.download_button(
        label,
        remembered(make, name),
        file_name=name,
        mime=MIME[kind],
        on_click="ignore",
        help=help,
        **look,
    )


def file(kind: str, make: Make, name: str, help: str, **look: Any) -> None:
    """A button named after its kind for `name` with the ending of that kind."""
    button(kind, kind, make, f"{name}.{kind.lower()}", help, key=f"file-{name}-{kind}", **look)


def table(rows: Callable[[], pa.Table], name: str, help: str, **look: Any) -> None:
    """Buttons for a table as CSV and as Parquet."""
    file("CSV", lambda: csv_of(rows()), name, f"{help}, as CSV", **look)
    file("Parquet", lambda: parquet_of(rows()), name, f"{help}, as Parquet with types", **look)
