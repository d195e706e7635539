"""The parts of the Performance page: what is drawn along training, the verdicts, Table 1."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from saturation.figures import curves, labels, loss_panels, metric_curves
from saturation.jobs import tables
from saturation.jobs.metrics import LOSS, Metric
from saturation.ui import controls, data, thresholds
from saturation.ui.chart import chart
from saturation.ui.frame import View
from saturation.ui.memory import Memory
from saturation.ui.pages import DATA
from saturation.ui.words import plain

_tables = Memory(most=64)
SHOWN = ["family", "model", "step", "value", "stderr", "floor", "trained_tokens", "source", "doubtful"]
STEPS = ("onset_step", "anisotropy_turn", "entropy_turn")


@dataclass(frozen=True)
class Shown:
    """The metric in force, its values of the compared models, what colours cover, and what it was drawn from."""

    metric: Metric
    curve: pd.DataFrame
    span: tuple[float, float] | None
    drawn_from: str


def read(view: View) -> Shown:
    """The selected metric of the models that are compared; colours cover all models of the family."""
    chosen = view.selection
    metric = data.metric(chosen.family, chosen.metric)
    everything = data.curve(chosen.family, tuple(data.comparable(chosen.family)), metric.name)
    curve = everything[everything["model"].isin(chosen.models)]
    drawn_from = data.metric_drawn_from(chosen.family, metric.name, chosen.models)
    return Shown(metric, curve, curves.extent(everything, chosen.by), drawn_from)


def along_training(view: View, shown: Shown, verdicts: pd.DataFrame) -> None:
    """Figure 1a, and where several models are compared all of them on one axis."""
    chosen, metric, name = view.selection, shown.metric, f"{view.selection.family} {shown.metric.label}"
    options: dict[str, Any] = {
        "metric_title": metric.title,
        "higher_is_better": metric.higher_is_better,
        "scale": chosen.scale,
        "by": chosen.by,
        "span": shown.span,
    }
    ordered = curves.differ_in_size(shown.curve)
    onsets = verdicts[verdicts["onset_step"].notna()]
    since = dict(zip(onsets["model"], onsets["onset_step"], strict=True))
    decided = (chosen.family, chosen.models, metric.name, chosen.scale, chosen.by)
    chart(
        lambda theme: loss_panels.plain(shown.curve, **options, onsets=since, theme=theme),
        lambda: shown.curve[SHOWN],
        name,
        f"One panel a model{', the smallest on top' if ordered else ''}, each on its own scale: the line is the "
        "stronger the nearer it is to its best value, the diamond. A double click shows the first descent, which "
        "is cut.",
        shown.drawn_from,
        title=f"{controls.metric_name(metric)} by {'size' if ordered else 'model'}",
        method="saturation",
        at=controls.cursor(chosen),
        depends=(*decided, tuple(since.items())),
    )
    if shown.curve["model"].nunique() > 1:
        chart(
            lambda theme: metric_curves.plain(shown.curve, **options, theme=theme),
            lambda: shown.curve[SHOWN],
            name,
            "The same values on one scale, which shows what follows the first descent.",
            shown.drawn_from,
            title="All models on one axis",
            method="saturation",
            at=controls.cursor(chosen),
            depends=decided,
        )


def verdict_table(view: View, shown: Shown, verdicts: pd.DataFrame) -> None:
    """Best, final and degradation of every model, since when it saturates, and where its other measures turned."""
    title, button = st.columns([5, 1], vertical_alignment="bottom")
    title.subheader("Which models saturate", anchor=False)
    with button, st.container(horizontal=True, horizontal_alignment="right"):
        thresholds.popover(view)
    if shown.metric.higher_is_better is None:
        st.caption(f"Whether more or less of {shown.metric.label} is better is not stated, so nothing is judged.")
        return
    st.caption(
        f"By {shown.metric.label}, worst first. {thresholds.rule(view)} "
        "Anisotropy and singular entropy turn where a lasting late rise begins; the order is of these and of the best "
        "step, = where the checkpoints cannot tell. None of it shows a cause."
    )
    number = st.column_config.NumberColumn
    value = "%.3f" if shown.metric.name == LOSS else "%.4g"
    table = verdicts.assign(
        degradation=100 * verdicts["degradation"],
        **{
            name: labels.steps(verdicts[name].astype("float64"))
            for name in ("onset_step", "anisotropy_turn", "entropy_turn")
        },
    ).drop(columns=["parameters", "saturated"])
    st.dataframe(
        table,
        hide_index=True,
        key="verdicts",
        column_config={
            "model": st.column_config.TextColumn(pinned=True),
            "onset_step": "since",
            "best_step": number("best step", format="localized"),
            "best_value": number("best", format=value),
            "final_value": number("last", format=value),
            "degradation": number("worse by", format="%.1f %%", help="The last value against the best, relative."),
            "p_value": number("chance", format="%.3g", help=thresholds.CHANCE),
            "anisotropy_turn": "anisotropy turns",
            "anisotropy_last": number("anisotropy, last", format="%.2f"),
            "entropy_turn": "entropy turns",
            "entropy_last": number("entropy, last", format="%.2f"),
            "doubtful_left_out": number("doubtful", help="Checkpoints left out."),
        },
    )


def table_one(view: View) -> None:
    """Every imported task of the selected model at its best checkpoint and at its last, as in the paper's Table 1."""
    chosen = view.selection
    st.subheader("Best and final checkpoint by task", anchor=False)
    evaluations = data.evaluations(chosen.family, (chosen.model,))
    if evaluations.empty:
        if data.settings().mode == "demo":
            st.caption(f"No evaluations of {view.shown} are imported.")
            return
        st.markdown(
            f"No evaluations of {view.shown} are imported. Results of the LM Evaluation Harness are read with "
            "`python -m saturation import FOLDER`, or on the Data page."
        )
        st.page_link(DATA.path, label="Import evaluations", icon=DATA.icon, query_params=dict(view.address))
        return
    by, best = best_checkpoint(view)
    if best is None:
        st.caption("No metric of this model says which of its checkpoints is the best.")
        return
    opened = data.store()
    about = (str(opened.path), opened.signature(), view.name, best)
    table = _tables.get(about, lambda: tables.best_and_final(evaluations, best))
    at = ", ".join(labels.step(step) for step in sorted(table["best_step"].unique()))
    st.caption(
        f"{view.shown} at step {at}, the evaluated one nearest to its best {by} (step {labels.step(best)}), and at its "
        "last. Beyond noise: the change exceeds two combined standard errors of the harness."
    )
    whole = table[table["group"] == ""]
    if not whole.empty:
        _task_table(whole, "tasks")
    subtasks = table[table["group"] != ""]
    if not subtasks.empty:
        with st.expander(f"{subtasks['task'].nunique()} sub-tasks of {plain(', '.join(subtasks['group'].unique()))}"):
            _task_table(subtasks, "subtasks")
    harness = ", ".join(evaluations["harness"].unique())
    st.caption(plain(f"{view.name} · {evaluations['source'].nunique()} files · {harness}"))


def best_checkpoint(view: View) -> tuple[str, int | None]:
    """The metric that tells the model's best checkpoint, and its step: the selected one, else the first that can."""
    chosen = view.selection
    known = {metric.name: metric for metric in data.metrics(chosen.family)}
    names = [chosen.metric, *known]
    for metric in (known[name] for name in names if name in known):
        if metric.higher_is_better is None:
            continue
        curve = data.curve(chosen.family, (chosen.model,), metric.name)
        sure = curve[curve["doubtful"].isna()]
        if not sure.empty:
            place = sure["value"].argmax() if metric.higher_is_better else sure["value"].argmin()
            return metric.label, int(sure["step"].iloc[int(place)])
    return "", None


def _task_table(table: pd.DataFrame, key: str) -> None:
    shown = pd.DataFrame(
        {
            "task": table["task"],
            "metric": table["metric"].str.replace("_", " "),
            "best": [_value(*pair) for pair in zip(table["best"], table["best_stderr"], strict=True)],
            "final": [_value(*pair) for pair in zip(table["final"], table["final_stderr"], strict=True)],
            "change": 100 * table["change"],
            "direction": table["direction"].where(table["direction"] != "unknown", "–"),
            "beyond noise": table["beyond_noise"].map({True: "yes", False: "no"}).fillna("–"),
            "shots": table["shots"],
        }
    )
    change = st.column_config.NumberColumn(format="%+.1f %%", help="The final value against the best, relative.")
    st.dataframe(shown, hide_index=True, key=key, column_config={"change": change})


def _value(value: float, error: float) -> str:
    return labels.number(value) + (f" ± {labels.number(error, 2)}" if pd.notna(error) else "")
