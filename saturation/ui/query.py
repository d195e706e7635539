"""Free SQL on the Data page: a query, examples to begin with, the tables it can read, and its result to take away."""

import pandas as pd
import streamlit as st

from saturation.errors import SaturationError
from saturation.jobs.hosting import PRIVATE
from saturation.store import console
from saturation.store.console_tables import TABLES, examples
from saturation.ui import data, downloads, turns
from saturation.ui.words import plain

TEXT, PICKED, ANSWER, FAILED = "sql", "sql-example", "_sql_answer", "_sql_failed"
# On a server of many, a query gets less of the machine.
HOSTED = console.Limits(seconds=5.0, memory=2**30, rows=10_000, bytes=16 * 2**20)
STYLE = """<style>
.st-key-sql textarea {
  font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 0.8rem; white-space: pre;
}
</style>"""


def section(family: str, model: str) -> None:
    """The query, its tables, and the last result of this session."""
    st.html(STYLE)
    found = data.evaluations(family, (model,))
    known = examples(family, model, None if found.empty else str(found["task"].mode()[0]))
    st.session_state.setdefault(TEXT, next(iter(known.values())))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.selectbox(
            "Begin with",
            list(known),
            index=None,
            placeholder="Choose an example",
            key=PICKED,
            on_change=_pick,
            args=(known,),
        )
        with st.form("query", border=False):
            st.text_area(
                "Query",
                key=TEXT,
                height=230,
                max_chars=console.MOST_SIGNS,
                help="One query that reads. It runs on a copy of the measurements: nothing can be changed.",
            )
            st.form_submit_button("Run", type="primary", icon=":material/play_arrow:", on_click=_run)
    with right:
        _tables()
    _result()


def _pick(known: dict[str, str]) -> None:
    picked = st.session_state.get(PICKED)
    if picked:
        st.session_state[TEXT] = known[picked]


def _run() -> None:
    state = st.session_state
    state[ANSWER], state[FAILED] = None, None
    local = data.settings().mode == "local"
    try:
        with st.spinner("Running the query"), turns.aside():
            state[ANSWER] = (
                console.ask(data.store(), state[TEXT], places=True)
                if local
                else console.ask(data.store(), state[TEXT], HOSTED, without=PRIVATE)
            )
    except SaturationError as error:
        state[FAILED] = str(error)


def _tables() -> None:
    """One table's columns at a time, each with its meaning."""
    name = st.selectbox("Tables", list(TABLES), key="sql-table")
    words, columns = TABLES[name]
    st.caption(f"{words}.")
    st.dataframe(
        pd.DataFrame({"column": list(columns), "meaning": list(columns.values())}),
        hide_index=True,
        width="stretch",
        height=258,
        alt=f"Columns of the table {name}",
    )


def _result() -> None:
    failed: str | None = st.session_state.get(FAILED)
    answer: console.Answer | None = st.session_state.get(ANSWER)
    if failed:
        st.error(plain(failed), icon=":material/error:")
    if answer is None:
        return
    rows = answer.table.num_rows
    what = f"The first {rows:,} rows" if answer.cut else f"{rows:,} row{'' if rows == 1 else 's'}"
    st.markdown(f"**{what}** in {answer.seconds:.2f} s")
    if answer.table.num_columns:
        st.dataframe(answer.table, hide_index=True, width="stretch", alt="Result of the query")
    # Under the table, whose own toolbar lies over what is above it.
    with st.container(horizontal=True, gap="small"):
        downloads.table(lambda: answer.table, "query", "These rows", type="tertiary", icon=":material/download:")
