"""Bringing files in on the Data page: the form, and the report of the last import, which stays until dismissed."""

import pandas as pd
import streamlit as st

from saturation.errors import SaturationError
from saturation.jobs import hosting
from saturation.jobs.import_report import ImportReport, count
from saturation.jobs.imports import bring_in_for
from saturation.jobs.result_files import MAX_BYTES
from saturation.ui import data
from saturation.ui.holdings import span
from saturation.ui.words import plain, sentence

REPORT, FAILED, ROUND = "_import", "_import_failed", "_import_round"
# What a sentence calls the flag of the command line, and the page's field for the same.
FLAG, FIELD = "--model family/model", "family/model"
# Problems shown on the page; the rest are counted.
SHOWN = 50


def form(folders: bool) -> None:
    """Files to upload, whose results they are where they do not tell it, and where `folders` a path on this machine.

    The import runs as a callback, before the page is drawn, so that everything on it shows what came in.
    """
    key = f"uploads-{st.session_state.get(ROUND, 0)}"
    with st.form("import", border=False):
        left, right = st.columns(2, gap="medium")
        left.file_uploader(
            "Result files (JSON) of the LM Evaluation Harness, or packs (zip)",
            type=["json", "zip"],
            accept_multiple_files=True,
            max_upload_size=MAX_BYTES // 2**20,
            key=key,
        )
        if folders:
            right.text_input(
                "Or a folder or file on this machine",
                key="import-path",
                placeholder="/path/to/results",
                help="Every JSON file below a folder is read.",
            )
        right.text_input(
            "Model, where the files do not tell it",
            key="import-model",
            placeholder="family/model, such as pythia/70m",
            help="Then all of these files are taken to be of this model; their steps are still read from them.",
        )
        st.form_submit_button("Import", type="primary", icon=":material/upload:", on_click=_bring_in, args=(key,))


def _bring_in(key: str) -> None:
    state = st.session_state
    files = [(file.name, file.getvalue()) for file in state.get(key) or []]
    path = (state.get("import-path") or "").strip()
    model = (state.get("import-model") or "").strip() or None
    state[REPORT], state[FAILED] = None, None
    if not (files or path):
        state[FAILED] = "Choose files first."
        return
    try:
        with st.spinner("Reading the files"):
            report = bring_in_for(data.settings(), files, path, model)
    except SaturationError as error:
        state[FAILED] = hosting.said(data.settings(), str(error))
        return
    state[REPORT] = report
    state[ROUND] = state.get(ROUND, 0) + 1  # a fresh, empty uploader


def report() -> None:
    """What the last import of this session did."""
    failed: str | None = st.session_state.get(FAILED)
    found: ImportReport | None = st.session_state.get(REPORT)
    if failed:
        st.error(sentence(failed), icon=":material/error:")
    if found is None:
        return
    with st.container(border=True, key="import-report"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(_headline(found), width="stretch")
            st.button("Dismiss", type="tertiary", icon=":material/close:", on_click=_dismiss)
        if found.models:
            st.dataframe(
                _models(found),
                hide_index=True,
                width="stretch",
                column_config={"Values": st.column_config.NumberColumn(format="localized")},
                alt="What was imported of each model",
            )
        for name, (measurements, evaluations) in found.packs.items():
            st.markdown(f"{plain(name)}: {measurements:,} measurements and {evaluations:,} evaluations were new.")
        if found.repeated:
            st.caption(f"{count(found.repeated, 'value')} came in several files; the last file's stand.")
        problems = [f"**{plain(name)}** – {plain(why.replace(FLAG, FIELD))}" for name, why in found.not_understood]
        _problems("not understood", problems, True)
        _problems("skipped, being no numbers", [plain(sentence) for sentence in found.skipped], found.empty)


def _headline(found: ImportReport) -> str:
    if found.empty:
        return "**Nothing was imported.** :orange-badge[:material/info: see below]"
    parts = (
        [f"{found.results:,} results of {found.files:,} file{'' if found.files == 1 else 's'}"] if found.files else []
    )
    parts += [f"{len(found.packs)} pack{'' if len(found.packs) == 1 else 's'}"] if found.packs else []
    return f"**{' and '.join(parts)}** :green-badge[:material/check: imported]"


def _models(found: ImportReport) -> pd.DataFrame:
    rows = [
        {
            "Model": entry.name,
            "Steps": len(entry.steps),
            "From–to": span(min(entry.steps), max(entry.steps)),
            "Tasks": len(entry.tasks),
            "Values": entry.values,
        }
        for entry in found.models.values()
    ]
    return pd.DataFrame(rows)


def _problems(what: str, lines: list[str], opened: bool) -> None:
    if not lines:
        return
    with st.expander(f"{len(lines):,} {what}", expanded=opened, icon=":material/help:"):
        more = [f"… and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
        st.markdown("\n".join(f"- {line}" for line in lines[:SHOWN] + more))


def _dismiss() -> None:
    st.session_state[REPORT] = st.session_state[FAILED] = None
