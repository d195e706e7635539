"""What the Overview shows of the lab: what a run is, what all of them say, a group side by side."""

import pandas as pd
import streamlit as st

from saturation.jobs import lab_runs
from saturation.jobs.lab_findings import Finding, Lab, findings
from saturation.lab.config import bundled_runs
from saturation.ui import data
from saturation.ui.frame import View
from saturation.ui.pages import COMPARE, METHOD

SHOWN = 2  # findings in sight: ten paragraphs of numbers bury what follows
TITLES = {
    "corpus": "trained on",
    "hidden_size": "width",
    "learning_rate": "learning rate",
    "schedule": "schedule",
    "weight_decay": "weight decay",
    "precision": "precision",
    "tokens_per_step": "tokens a step",
    "head": "head",
}


@st.cache_resource(max_entries=4, show_spinner="Reading the lab's runs …")
def _read(path: str, signature: tuple[int, ...]) -> tuple[Lab, list[Finding]]:
    found = Lab(data.store())
    return found, findings(found)


def _lab() -> tuple[Lab, list[Finding]]:
    opened = data.store()
    return _read(str(opened.path), opened.signature())


def settings(family: str) -> pd.DataFrame | None:
    """What was set in each of the lab's runs, by run, with titles for a reader; None for another family."""
    if family != lab_runs.FAMILY:
        return None
    runs = {name: lab_runs.settings(run) for name, run in bundled_runs().items()}
    return pd.DataFrame.from_dict(runs, orient="index").rename(columns=TITLES)


def about(view: View) -> None:
    """One line that says what the selected run is."""
    chosen = view.selection
    run = bundled_runs().get(chosen.model) if chosen.family == lab_runs.FAMILY else None
    if run is not None:
        st.caption(lab_runs.in_words(run))


def section(view: View) -> None:
    """What the lab found, and the selected group side by side; nothing for another family."""
    if view.selection.family != lab_runs.FAMILY:
        return
    lab, found = _lab()
    if found:
        st.subheader("What the lab found, and what it did not", anchor=False)
        st.caption("Every number and every verb below is read off the stored measurements as this page is drawn.")
    for each in found[:SHOWN]:
        _finding(view, each)
    if found[SHOWN:]:
        titles = [each.title[0].lower() + each.title[1:] for each in found[SHOWN:]]
        with st.expander(f"{len(titles)} more findings", icon=":material/science:"):
            for each in found[SHOWN:]:
                _finding(view, each)
    _group(view, lab)
    with st.container(horizontal=True, gap="small", key="under-lab"):
        for key, label in (("lab", "How the runs are trained"), ("interventions", "What the interventions are")):
            address = {**view.address, "entry": key}
            st.page_link(METHOD.path, label=label, icon=METHOD.icon, query_params=address)


def _finding(view: View, found: Finding) -> None:
    words, link = st.columns([8, 1], vertical_alignment="top", gap="small")
    words.markdown(f"**{found.title}.** {found.text}")
    if len(found.runs) > 1:
        runs = ",".join(f"{lab_runs.FAMILY}/{name}" for name in found.runs)
        with link:
            st.page_link(COMPARE.path, label="Compare", icon=COMPARE.icon, query_params={**view.address, "runs": runs})


def _group(view: View, lab: Lab) -> None:
    """The runs of the group at their last common step, with what differs between them."""
    group = view.selection.group
    runs = [name for name in lab.groups.get(group or "", ()) if name in lab.table.index]
    if len(runs) < 2:
        return
    table = lab.side_by_side(runs)
    differing = [name for name in lab_runs.SETTINGS if table[name].nunique() > 1]
    number = st.column_config.NumberColumn
    st.subheader(f"{group}, side by side at step {table['step'].iloc[0]:,}", anchor=False)
    st.dataframe(
        table[["model", *differing, "nats_per_token", "anisotropy", "singular_entropy", "centred_singular_entropy"]],
        hide_index=True,
        key="side-by-side",
        column_config={
            **{name: TITLES[name] for name in differing},
            "model": st.column_config.TextColumn("run", pinned=True),
            "nats_per_token": number("loss", format="%.3f", help="In nats per token."),
            "anisotropy": number("anisotropy", format="%.2f", help="Of the last layer."),
            "singular_entropy": number("entropy", format="%.2f", help="Singular entropy of the head, in nats."),
            "centred_singular_entropy": number(
                "entropy, centred",
                format="%.2f",
                help="The same of the head without its row mean, which is what the softmax sees.",
            ),
        },
        alt="The runs of the group at their last common step",
    )
