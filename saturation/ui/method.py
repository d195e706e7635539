"""The Method page: every definition, the one that a figure led to first."""

from itertools import groupby

import streamlit as st

from saturation.errors import UnknownNameError
from saturation.method import ENTRIES, Entry, entry
from saturation.ui.words import plain

INTRODUCTION = (
    "The definitions follow [arXiv 2404.07647](https://arxiv.org/abs/2404.07647) (Godey, de la Clergerie and Sagot, "
    "*Why do small language models underperform?*) where a source names it. What is disputed is said, and nothing here "
    "is worded as a cause."
)

STYLE = "<style>.stMainBlockContainer [data-testid='stMarkdown'] { max-width: 75ch; }</style>"


def listing(asked: str | None) -> None:
    """All definitions by subject; the one asked for is repeated on top."""
    st.html(STYLE)
    st.markdown(INTRODUCTION)
    st.markdown("\n".join(f"- {group}: {_links(found)}" for group, found in _groups()))
    if asked:
        try:
            with st.container(border=True):
                _definition(entry(asked))
        except UnknownNameError as error:
            st.warning(plain(str(error)), icon=":material/link_off:")
    for group, found in _groups():
        st.header(group, anchor=False, divider="gray")
        for item in found:
            _definition(item, anchor=item.key)


def _groups() -> list[tuple[str, list[Entry]]]:
    """The definitions by subject, in their order."""
    return [(group, list(found)) for group, found in groupby(ENTRIES.values(), key=lambda item: item.group)]


def _links(found: list[Entry]) -> str:
    """A link to each definition on this page."""
    return " · ".join(f"[{item.title}](#{item.key})" for item in found)


def _definition(item: Entry, anchor: str | None = None) -> None:
    st.subheader(item.title, anchor=anchor or False)
    if item.formula:
        st.latex(item.formula)
    st.markdown(item.text)
    notes = {"Source": item.source, "Caveats": item.caveats, "Disputed": item.disputed}
    st.markdown("\n\n".join(f"**{name}.** {words}" for name, words in notes.items() if words))
