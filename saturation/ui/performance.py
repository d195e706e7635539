"""The parts of the Performance page: what is drawn along training, the verdicts, Table 1."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from saturation.errors import InputError
from saturation.figures import curves, labels, loss_panels, metric_curves
from saturation.jobs import tables
from saturation.jobs.metrics import COLUMNS, Metric
from saturation.measures.onset import onset
from saturation.ui import data, provenance
from saturation.ui.chart import chart
from saturation.ui.frame import View
from saturation.ui.pages import DATA

SHOWN = ["family", "model", "step", "value", "stderr", "floor", "trained_tokens", "source", "doubtful"]


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
    if metric.name in COLUMNS:
        drawn_from = provenance.line(data.provenance(chosen.family, chosen.models), ("loss",), chosen.models)
    else:
        drawn_from = evaluated_line(data.evaluations(chosen.family, chosen.models), metric, chosen.models)
    return Shown(metric, curve, curves.extent(everything, chosen.by), drawn_from)


def evaluated_line(evaluations: pd.DataFrame, metric: Metric, models: tuple[str, ...]) -> str:
    """Models, steps, harness and files that the values of an evaluated metric come from."""
    task, _, name = metric.name.rpartition("/")
    rows = evaluations[(evaluations["task"] == task) & (evaluations["metric"] == name)]
    if rows.empty:
        return "Nothing imported yet."
    held = set(rows["model"])
    named = ", ".join(name for name in models if name in held)
    harness = ", ".join(dict.fromkeys(rows["harness"]))
    steps = f"steps {labels.step(rows['step'].min())}–{labels.step(rows['step'].max())}"
    days = pd.to_datetime(rows["imported_at"], utc=True).dt.date
    files = rows["source"].nunique()
    return (
        f"{rows['family'].iloc[0]}: {named} · {len(rows)} evaluations, {steps} · {harness} · "
        f"{files} file{'' if files == 1 else 's'} · imported {days.max().isoformat()}"
    )


def along_training(view: View, shown: Shown, verdicts: pd.DataFrame) -> None:
    """Figure 1a, and where several models are compared all of them on one axis."""
    chosen, metric, name = view.selection, shown.metric, f"{view.selection.family} {shown.metric.label}"
    options: dict[str, Any] = {
        "metric_title": metric.title,
        "higher_is_better": metric.higher_is_better,
        "cursor": chosen.step,
        "scale": chosen.scale,
        "by": chosen.by,
        "span": shown.span,
        "theme": view.theme,
    }
    onsets = verdicts[verdicts["saturated since"].notna()] if "saturated since" in verdicts else verdicts.iloc[:0]
    since = dict(zip(onsets["model"], onsets["saturated since"], strict=True)) if len(onsets) else {}
    chart(
        loss_panels(shown.curve, **options, onsets=since),
        lambda: shown.curve[SHOWN],
        name,
        "One panel a model, the smallest on top, each on its own scale: the line is the stronger the nearer it is to "
        "its best value, the diamond. A double click shows the first descent, which is cut.",
        shown.drawn_from,
        title=f"{metric.label.capitalize() if metric.name in COLUMNS else metric.label} by size",
    )
    if shown.curve["model"].nunique() > 1:
        chart(
            metric_curves(shown.curve, **options),
            lambda: shown.curve[SHOWN],
            name,
            "The same values on one scale, which shows what follows the first descent.",
            shown.drawn_from,
            title="All models on one axis",
        )


def verdict_rows(curve: pd.DataFrame, higher_is_better: bool | None) -> pd.DataFrame:
    """One row a model: its best and final value, and since when it saturates. Doubtful checkpoints are left out.

    Stands in for the verdict table of the library (`jobs.verdict`), which will take its place.
    """
    rows: list[dict[str, Any]] = []
    for model, group in curve[curve["doubtful"].isna()].groupby("model", sort=False):
        ordered = group.sort_values("step")
        try:
            found = onset(ordered["step"].to_numpy(), ordered["value"].to_numpy(), bool(higher_is_better))
        except InputError as error:
            rows.append({"model": model, "checkpoints": len(ordered), "verdict": str(error)})
            continue
        rows.append(
            {
                "model": model,
                "checkpoints": found.checkpoints,
                "verdict": "saturated" if found.saturated else "not saturated",
                "saturated since": found.onset_step,
                "best step": found.best_step,
                "best": found.best_value,
                "final": found.final_value,
                "worse by": 100 * found.degradation,
            }
        )
    columns = ["model", "verdict", "saturated since", "best step", "best", "final", "worse by", "checkpoints"]
    return pd.DataFrame(rows, columns=columns).astype({"saturated since": "Int64", "best step": "Int64"})


def verdict_table(shown: Shown, verdicts: pd.DataFrame) -> None:
    """Best, final and degradation of every model, and whether the test of `measures.onset` calls it saturated."""
    st.subheader("Which models saturate", anchor=False)
    if shown.metric.higher_is_better is None:
        st.caption(f"Whether more or less of {shown.metric.label} is better is not stated, so nothing is judged.")
        return
    st.caption(
        f"By {shown.metric.label}. Saturated: the last values lie above the best ones by more than a run that only "
        "improves would show by chance."
    )
    step = st.column_config.NumberColumn(format="localized")
    since = ["–" if pd.isna(at) else labels.step(at) for at in verdicts["saturated since"]]
    st.dataframe(
        verdicts.assign(**{"saturated since": since}),
        hide_index=True,
        column_config={
            "best step": step,
            "best": st.column_config.NumberColumn(format="%.4g"),
            "final": st.column_config.NumberColumn(format="%.4g"),
            "worse by": st.column_config.NumberColumn("final worse by", format="%.2f %%"),
        },
    )


def table_one(view: View) -> None:
    """Every imported task of the selected model at its best checkpoint and at its last, as in the paper's Table 1."""
    chosen = view.selection
    st.subheader("Best and final checkpoint by task", anchor=False)
    evaluations = data.evaluations(chosen.family, (chosen.model,))
    if evaluations.empty:
        st.markdown(
            f"No evaluations of {view.name} are imported. Results of the LM Evaluation Harness are read with "
            "`python -m saturation import FOLDER`, or on the Data page."
        )
        st.page_link(DATA.path, label="Import evaluations", icon=DATA.icon, query_params=dict(view.address))
        return
    by, best = best_checkpoint(view)
    if best is None:
        st.caption("No metric of this model says which of its checkpoints is the best.")
        return
    table = tables.best_and_final(evaluations, best)
    at = ", ".join(labels.step(step) for step in sorted(table["best_step"].unique()))
    st.caption(
        f"{view.name} at step {at}, the evaluated one nearest to its best {by} (step {labels.step(best)}), and at its "
        "last. Beyond noise: the change exceeds two combined standard errors of the harness."
    )
    whole = table[table["group"] == ""]
    if not whole.empty:
        _task_table(whole, "tasks")
    subtasks = table[table["group"] != ""]
    if not subtasks.empty:
        with st.expander(f"{subtasks['task'].nunique()} sub-tasks of {', '.join(subtasks['group'].unique())}"):
            _task_table(subtasks, "subtasks")
    st.caption(f"{view.name} · {evaluations['source'].nunique()} files · {', '.join(evaluations['harness'].unique())}")


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
