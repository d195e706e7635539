"""A folder of one's own on the Measure page: looked at when it is named, then measured like any model."""

from pathlib import Path

import streamlit as st

from saturation.checkpoints import local
from saturation.errors import InputError
from saturation.figures import labels
from saturation.ui import measuring, offers
from saturation.ui.words import plain


def section() -> None:
    """The field, what the folder holds, and the controls that measure it. Raises SaturationError."""
    st.subheader("A folder of your own", anchor=False)
    st.caption(
        "A folder of checkpoints (`checkpoint-500`, `step500`, …) or one model directory; "
        "results appear under the family Local runs."
    )
    left, right = st.columns(2, gap="medium")
    path = left.text_input("Folder", placeholder="/path/to/run", key="folder-path", icon=":material/folder_open:")
    text = right.text_input(
        "Text",
        placeholder="Python's language reference",
        key="folder-text",
        icon=":material/description:",
        help="A UTF-8 file that the run was not trained on; loss and anisotropy depend on it.",
    ).strip()
    if not path.strip():
        return
    try:
        found = local.checkpoints_at(Path(path.strip()).expanduser())
    except (OSError, RuntimeError) as error:  # RuntimeError: ~name of no user
        raise InputError(f"The folder {path.strip()} cannot be read ({error}); check the path.") from error
    count = f"{len(found)} checkpoint{'' if len(found) == 1 else 's'}"
    steps = sorted(item.step or 0 for item in found)
    span = f", steps {labels.step(steps[0])} to {labels.step(steps[-1])}" if len(found) > 1 else ""
    st.markdown(f"**{plain(found[0].model)}**: {count}{span}.")
    if text and not Path(text).expanduser().is_file():
        raise InputError(f"There is no text file {text}; check the path.")
    measuring.section(offers.of_folder(found, str(Path(text).expanduser()) if text else None), None)
