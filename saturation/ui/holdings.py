"""What the store holds of each model, and taking it away as a pack or as CSV."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import streamlit as st

from saturation.families import registry
from saturation.figures import labels
from saturation.jobs import hosting
from saturation.store import packs
from saturation.ui import data, downloads, forgetting
from saturation.ui.chart import slug
from saturation.ui.words import plain


def held(measured: pd.DataFrame, evaluated: pd.DataFrame) -> pd.DataFrame:
    """One row per (family, model) with anything measured or evaluated, in the registry's order of families.

    measured, evaluated: the queries `models` and `evaluated`. Columns: family, model, parameters (NaN where not known),
    checkpoints measured, steps evaluated, tasks, first and last step of either.
    """
    both = measured.merge(evaluated, how="outer", on=["family", "model"], suffixes=("", "_evaluated"))
    stated = {
        (family.name, model.name): model.parameters
        for family in registry.families().values()
        for model in family.models.values()
    }
    pairs = list(zip(both["family"], both["model"], strict=True))
    parameters = pd.Series([stated.get(pair) for pair in pairs], index=both.index, dtype="float64")
    order = {name: place for place, name in enumerate(registry.families())}
    rows = pd.DataFrame(
        {
            "family": both["family"],
            "model": both["model"],
            "parameters": both["parameters"].astype("float64").fillna(parameters),
            "measured": both["checkpoints"].fillna(0).astype("int64"),
            "evaluated": both["steps"].fillna(0).astype("int64"),
            "tasks": both["tasks"].fillna(0).astype("int64"),
            "first_step": both[["first_step", "first_step_evaluated"]].min(axis=1).astype("int64"),
            "last_step": both[["last_step", "last_step_evaluated"]].max(axis=1).astype("int64"),
        }
    )
    rows["order"] = rows["family"].map(order)
    return rows.sort_values(["order", "parameters", "model"], ignore_index=True).drop(columns="order")


def table(rows: pd.DataFrame) -> None:
    """The same for a reader."""
    shown = pd.DataFrame(
        {
            "model": rows["family"] + "/" + rows["model"],
            "parameters": [labels.count(value) if value > 0 else "–" for value in rows["parameters"]],
            "measured": rows["measured"],
            "evaluated": rows["evaluated"],
            "tasks": rows["tasks"],
            "steps": [span(*steps) for steps in zip(rows["first_step"], rows["last_step"], strict=True)],
        }
    )
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        column_config={
            "measured": st.column_config.NumberColumn(help="Checkpoints with measurements made here or in a pack"),
            "evaluated": st.column_config.NumberColumn(help="Steps with imported evaluations"),
            "tasks": st.column_config.NumberColumn(help="Tasks of the imported evaluations"),
        },
        alt="Models with measurements or evaluations",
    )


def span(first: int, last: int) -> str:
    """Steps from first to last."""
    return labels.step(last) if first == last else f"{labels.step(first)}–{labels.step(last)}"


def take_away(rows: pd.DataFrame, family: str, model: str) -> None:
    """Buttons for a pack of chosen models, the table of what is held, and the evaluations of the selected model."""
    names = list(rows["family"] + "/" + rows["model"])
    selected = f"{family}/{model}"
    chosen = st.multiselect(
        "Models",
        names,
        default=[selected] if selected in names else [],
        key=f"pack-models-{selected}-{selected in names}",  # anew, with its default, once there is something of it
        placeholder="Choose models",
    )
    counted = len(data.ngrams()) + len(data.playground())
    also = bool(counted) and st.checkbox("With the n-gram matrices and the playground, which belong to no model")
    with st.container(horizontal=True, gap="small"):
        pack_button(chosen, also, disabled=not (chosen or also), type="primary", icon=":material/archive:")
        downloads.button(
            "Table as CSV",
            "CSV",
            lambda: rows.to_csv(index=False),
            "held.csv",
            "The table above, with exact numbers, as CSV",
            disabled=rows.empty,
            icon=":material/download:",
        )
        if data.settings().mode == "local" and st.button(
            "Delete",
            key="delete-models",
            disabled=not chosen,
            icon=":material/delete:",
            help="Take all that is held of these models out of the store; you are asked first",
        ):
            forgetting.dialog(chosen, lambda models: pack_button(models, icon=":material/archive:"))
    evaluated = rows[(rows["family"] == family) & (rows["model"] == model)]["evaluated"]
    if not evaluated.any():
        st.caption(f"No evaluations of {plain(selected)} are held.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"Evaluations of {plain(selected)}", width="content")
        downloads.table(
            lambda: _evaluations(family, model),
            slug(f"evaluations {selected}"),
            "Every imported value with its task, step, shots, deviation and source",
            icon=":material/download:",
        )


def _evaluations(family: str, model: str) -> pa.Table:
    """What was imported of a model."""
    return pa.Table.from_pandas(data.evaluations(family, (model,)), preserve_index=False)


def pack_button(models: Sequence[str], bottleneck: bool = False, **look: Any) -> None:
    """A button for a pack of these models."""
    downloads.button(
        "Download the pack",
        "zip",
        lambda: pack(models, bottleneck),
        f"{slug(models[0] if len(models) == 1 else 'saturation')}{packs.SUFFIX}",
        "Everything held of these models: Parquet tables and a manifest in one zip",
        **look,
    )


def pack(models: Sequence[str], bottleneck: bool = False) -> bytes:
    """A pack of these models ('family/model') as far as this server shows them, and of what belongs to no model."""
    here = data.settings()
    models = [name for name in models if hosting.shown(here, *name.split("/", 1))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"models{packs.SUFFIX}")
        with data.store().read() as connection:
            packs.save(connection, path, models, bottleneck)
        return path.read_bytes()
