"""Buttons that make a file when they are clicked, and not before."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import streamlit as st

from saturation.store.taken import csv_of, parquet_of

MIME = {
    "CSV": "text/csv",
    "HTML": "text/html",
    "Parquet": "application/vnd.apache.parquet",
    "PDF": "application/pdf",
}


def file(kind: str, make: Callable[[], str | bytes], name: str, help: str, **look: Any) -> None:
    """A button for `name` with the ending of its kind, one of `MIME`. `look`: of the button."""
    st.download_button(
        kind,
        make,
        file_name=f"{name}.{kind.lower()}",
        mime=MIME[kind],
        key=f"file-{name}-{kind}",
        on_click="ignore",
        help=help,
        **look,
    )


def table(rows: Callable[[], pa.Table], name: str, help: str, **look: Any) -> None:
    """Buttons for a table as CSV and as Parquet."""
    file("CSV", lambda: csv_of(rows()), name, f"{help}, as CSV", **look)
    file("Parquet", lambda: parquet_of(rows()), name, f"{help}, as Parquet with types", **look)
