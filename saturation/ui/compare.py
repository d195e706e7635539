"""The Compare page: runs of any families on one axis, and where two of them differ."""

from functools import cache

import pandas as pd
import streamlit as st

from saturation.figures import compare_panels, difference_map, labels
from saturation.figures.compare import run_sizes
from saturation.jobs import compare
from saturation.ui import data
from saturation.ui.chart import chart
from saturation.ui.frame import View
from saturation.ui.words import inert, plain

FIRST = 4  # runs drawn where the reader chose none


def choose(view: View) -> list[str]:
    """The runs of the link or of the field; where none is chosen, the first models of the family."""
    held = data.measured_models()
    known = list(held.loc[held["measured"] > 0, "family"] + "/" + held.loc[held["measured"] > 0, "model"])
    chosen = view.selection
    unknown = [run for run in chosen.runs if run not in known]
    if unknown:
        names = ", ".join(map(plain, unknown))
        st.warning(f"Nothing is measured of {names}; showing the others.", icon=":material/link_off:")
    kept = [run for run in chosen.runs if run in known]
    default = [f"{chosen.family}/{model}" for model in data.comparable(chosen.family, chosen.group)]
    default = [run for run in default if run in known][:FIRST]
    st.session_state["runs"], st.session_state["_default_runs"] = kept or default, default
    picked = st.multiselect("Runs", known, key="runs", placeholder="Choose runs")
    return [run for run in picked if run in known]  # a browser may send what was not offered


def read(view: View, runs: list[str]) -> pd.DataFrame:
    """The trajectories of the runs in their order, aligned as selected; the centred measures under the plain names."""
    parts = []
    for family in dict.fromkeys(run.partition("/")[0] for run in runs):
        models = tuple(run.partition("/")[2] for run in runs if run.partition("/")[0] == family)
        parts.append(data.trajectory(family, models))
    rows = compare.aligned(pd.concat(parts, ignore_index=True), view.selection.align)
    if view.selection.centred:
        rows["anisotropy"], rows["singular_entropy"] = rows["centred_anisotropy"], rows["centred_singular_entropy"]
    order = {run: place for place, run in enumerate(runs)}
    return rows.assign(order=rows["run"].map(order)).sort_values(["order", "step"], ignore_index=True)


def panels(view: View, runs: list[str]) -> None:
    """Loss, anisotropy and entropy of all runs; with the selection's `differences`, less those of the first."""
    chosen = view.selection
    rows = read(view, runs)
    lacking = compare.without_place(rows)
    if lacking:
        st.caption(f"Not on this axis, since batch or size is not known: {', '.join(map(plain, lacking))}.")
    base = runs[0] if chosen.less == "differences" else None
    apart = compare.other_texts(rows, runs[0])
    if apart:
        st.warning(said_of_texts(rows, runs[0], apart, bool(base)), icon=":material/info:")
    shown = rows[rows["doubtful"].isna()]
    end = shared_end(shown, base, chosen.align) if base else ""
    if base:
        shown = compare.less(shown, base)
    sizes, ends, log_x = run_sizes(rows), span(runs), chosen.scale == "log"
    chart(
        lambda theme: compare_panels.plain(
            shown, chosen.align, log_x=log_x, difference=base, sizes=sizes, span=ends, theme=theme
        ),
        lambda: shown,
        f"{' and '.join(runs[:3])} by {chosen.align}",
        f"Each line less that of {base} at the same place: above zero it lies higher.{end}"
        if base
        else "The same three measures of every run; losses of different texts or tokenizers cannot be compared.",
        texts(rows),
        title="Side by side",
        method="saturation",
        depends=(*runs, chosen.align, chosen.scale, chosen.less, chosen.view),
    )


def span(runs: list[str]) -> tuple[float, float] | None:
    """Parameter counts that colours cover: those of the runs' families, as on the other pages."""
    found = [ends for family in {run.partition("/")[0] for run in runs} if (ends := data.span(family))]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def said_of_texts(rows: pd.DataFrame, first: str, apart: list[str], differences: bool) -> str:
    """Which runs' losses are of another text than the first run's, and what that means for the figure."""
    named = rows.dropna(subset=["text_name"]).drop_duplicates("run").set_index("run")
    of = {run: f"{text}, {tokens:,.0f} tokens" for run, text, tokens in named[["text_name", "tokens"]].itertuples()}
    others, there = (
        ", ".join(f"{plain(run)} ({plain(of.get(run, 'no text'))})" for run in names) for names in (apart, [first])
    )
    so = "so they have no place in the loss difference" if differences else "so they cannot be compared with it"
    return f"Losses of {others} are of another text than that of {there}, {so}."


def shared_end(rows: pd.DataFrame, base: str, align: str) -> str:
    """A sentence where the first run ends before others, whose differences end there too."""
    last = rows.groupby("run")["x"].max()
    if base not in last or not last[base] < last.max():
        return ""
    at = {"step": f"step {labels.step(last[base])}", "tokens": f"{labels.count(last[base])} tokens"}
    return f" Differences end where it ends, at {at.get(align, f'{last[base]:.3g} FLOPs')}."


def texts(rows: pd.DataFrame) -> str:
    """What the losses are of: the text of each run."""
    named = rows.dropna(subset=["text_name"]).drop_duplicates("run")
    parts = [
        f"{run}: {text}, {tokens:,.0f} tokens" for run, text, tokens in named[["run", "text_name", "tokens"]].values
    ]
    return inert(" · ".join(parts)) or "no text"


def depth_map(view: View, runs: list[str]) -> None:
    """Where in depth and when the second run's anisotropy differs from the first's."""
    first, second = runs[:2]
    layers = pd.concat(
        [data.layer_anisotropy(family, (model,)) for family, _, model in (run.partition("/") for run in runs[:2])],
        ignore_index=True,
    )
    rows = compare.layers_aligned(layers, read(view, runs[:2]))
    column = "centred_anisotropy" if view.selection.centred else "anisotropy"
    table = cache(lambda: compare.depth_difference(rows, second, first, column))
    chart(
        lambda theme: difference_map.plain(
            table(), second, first, view.selection.align, log_x=view.selection.scale == "log", theme=theme
        ),
        lambda: table().rename_axis("depth").reset_index(),
        f"{second} less {first}",
        "Where in depth (0 embedding, 1 what the head reads) and when the second run's states point the same way more "
        "(purple) or less (orange) than the first's.",
        f"{second} and {first}, interpolated on the checkpoints of the former",
        title="Difference by depth",
        method="anisotropy",
        depends=(first, second, view.selection.align, view.selection.scale, view.selection.view),
    )
