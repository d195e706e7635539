"""Data: bring evaluations and measurement packs in, take measurements away, see what is kept on disk."""

import streamlit as st

from saturation.jobs import hosting
from saturation.ui import data, forgetting, holdings, imports, kept, query
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.pages import DATA

view = open_page(DATA)
mode, chosen = data.settings().mode, view.selection
if mode == "demo":
    st.info(hosting.READ_ONLY, icon=":material/info:")
else:
    with reported():
        st.subheader("Bring in", anchor=False)
        st.caption(
            "Evaluations become metrics on the Overview and Performance pages. Model and step are read from each file "
            "and from its name, such as `70m_step53000.json`."
        )
        imports.form(folders=mode == "local")
        imports.report()
with reported():
    rows = holdings.held(data.measured_models(), data.evaluated_models())
    st.subheader("What is held", anchor=False)
    holdings.table(rows)
    st.subheader("Take away", anchor=False)
    st.caption("A pack holds all numbers of its models with their provenance, to be imported elsewhere.")
    holdings.take_away(rows, chosen.family, chosen.model)
    forgetting.said()
with reported():
    st.subheader("Ask in SQL", anchor=False)
    st.caption("One query that reads, over all that is held. The result can be taken along as CSV or Parquet.")
    query.section(chosen.family, chosen.model)
if mode == "local":
    with reported():
        st.subheader("What is kept on disk", anchor=False)
        kept.section()
