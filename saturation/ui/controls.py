"""The selection's widgets, kept in step with the address (see `selection` for why by hand)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from saturation.families import registry
from saturation.figures import Theme, labels, parts
from saturation.figures.plain import Plain
from saturation.figures.singular import sketches
from saturation.jobs.metrics import COLUMNS, Metric
from saturation.ui import data, film
from saturation.ui.pages import Page
from saturation.ui.selection import CHOICES, NUMBERS, Asked, Selection, decode, encode, group_of, resolve
from saturation.ui.words import plain

WORDS = {
    "view": {"plain": "Plain", "centred": "Centred"},
    "scale": {"linear": "Linear", "log": "Log"},
    "ranks": {"100": "1–100", "all": "All", "log": "All, log"},
    "colour": {"linear": "Linear", "log": "Log"},
    "norm": {"after": "After", "before": "Before"},
    "divide": {"largest": "σ/σ₁", "sum": "σ/Σσ"},
    "by": {
        "parameters": "Parameters",
        "hidden_size": "Hidden size",
        "vocab_per_width": "Vocabulary / width",
        "peak_learning_rate": "Peak learning rate",
    },
    "fitted": {"final": "Final checkpoints", "best": "Best checkpoints"},
    "head_metric": {"loss": "Loss", "accuracy": "Accuracy"},
    "rank_axis": {"linear": "Linear", "log": "Log"},
    "align": {"step": "Step", "tokens": "Tokens", "flops": "FLOPs", "fraction": "Fraction of training"},
    "less": {"values": "Values", "differences": "Less the first run"},
}
TITLES = {
    "view": "Look at",
    "scale": "Step axis",
    "ranks": "Ranks",
    "colour": "Values",
    "norm": "Final norm",
    "divide": "Divide by",
    "by": "Colour by",
    "fitted": "Fit the law to",
    "head_metric": "Measure",
    "rank_axis": "Rank axis",
    "align": "Align by",
    "less": "Show",
}
HELPS = {
    "view": "Centred: without the mean. Of the head that is its row mean, which moves all logits alike, so that the "
    "softmax does not see it; of hidden states, their mean over the text.",
}
# The axis of the Compare page is that of training, by what it is aligned.
AXES = {"step": "Step axis", "tokens": "Token axis", "flops": "FLOP axis", "fraction": "Training axis"}
LONG = ("by",)  # choices with words too long for a row of buttons
PAPER_RANKS = int(CHOICES["ranks"][0])


def select(page: Page) -> tuple[Selection, dict[str, str]]:
    """Read the address or the widgets, draw the sidebar's widgets; returns the selection and its address.

    The address is written only when the user changes something: writing it while a page opens would add a
    step to the browser's history that Back could never leave.
    """
    state = st.session_state
    models = data.families()
    current = {key: ",".join(st.query_params.get_all(key)) for key in st.query_params}
    outside = current != state.get("_address")
    asked = decode(current) if outside else _held(models)
    selection, notes = resolve(asked, models, data.comparable, data.steps, data.metric_names, data.groups)
    if outside:
        state["_address"], state["_notes"] = current, notes
    elif selection != state["_selection"]:
        state["_address"], state["_notes"] = _encoded(selection), []
        st.query_params.from_dict(state["_address"])
    steps = data.steps(selection.family, selection.model)
    state["_last_step"] = steps[-1] if steps else None
    state["step"] = selection.step
    state["_selection"], state["_comparable"] = selection, tuple(data.comparable(selection.family, selection.group))
    if state["_notes"]:
        st.warning("\n\n".join(map(plain, state["_notes"])), icon=":material/link_off:")
    if page.chooses and not ("align" in page.controls and selection.runs):
        _sidebar(page, selection, models)
    return selection, _encoded(selection)


def opening() -> dict[str, str]:
    """The address that the dashboard opens with where none is given; {} where nothing is measured."""
    found, _ = resolve(Asked(), data.families(), data.comparable, data.steps, data.metric_names, data.groups)
    return {} if found.step is None else _encoded(found)


def _encoded(selection: Selection) -> dict[str, str]:
    own = group_of(selection.model, data.groups(selection.family))
    return encode(selection, data.comparable(selection.family, selection.group), own)


def _held(models: Mapping[str, list[str]]) -> Asked:
    """What the widgets hold now; the last selection answers for widgets that were not drawn."""
    state, last = st.session_state, st.session_state["_selection"]

    def held(key: str) -> Any:
        value = state.get(key)
        return getattr(last, key) if value is None else value

    family = held("family")
    groups = data.groups(family)
    group = held("group") if held("group") in groups else None
    names = groups[group] if group else models[family]
    model = held("model") if held("model") in names else None
    several = tuple(held("models")) if (family, group) == (last.family, last.group) else None
    if several == last.models and several == state["_comparable"]:
        several = None  # all were compared, so one that was measured meanwhile joins them
    if several == ():
        several = (model or names[0],)
    step = held("step")
    if step == state.get("_last_step") and (family, model) == (last.family, last.model):
        step = None  # the cursor stood at the end, so it goes along as a run grows
    views = {key: held(key) for key in CHOICES}
    metric = held("metric") if held("metric") in data.metric_names(family) else None
    numbers = {key: value for key in NUMBERS if (value := _held_number(key, last)) is not None}
    runs = tuple(held("runs"))
    if list(runs) == state.get("_default_runs"):
        runs = ()  # nobody chose them: another family brings its own
    asked = Asked(family, group, model, several, None if step is None else str(step), **views, metric=metric, runs=runs)
    return replace(asked, numbers=numbers)


def _held_number(key: str, last: Selection) -> float | None:
    """What a number's field holds, None where that is the default it was drawn with; else the last selection's."""
    value = st.session_state.get(key)
    if value is None:
        return last.numbers.get(key)
    return None if value == st.session_state.get(f"_default_{key}") else value


def cursor(selection: Selection, panels: Sequence[str] = ()) -> Callable[[Plain, Theme], None]:
    """Draws the step cursor of a selection over a figure that has none. panels: the y axes of stacked ones."""
    return lambda figure, theme: parts.add_cursor(figure, selection.step, selection.scale, theme, panels=panels)


def move_to(step: int) -> None:
    """Put the cursor on a step, from a callback."""
    st.session_state["step"] = step


def _sidebar(page: Page, selection: Selection, models: Mapping[str, list[str]]) -> None:
    state, held = st.session_state, data.measured_models()
    held = held[held["measured"] > 0]
    titles = {name: family.title for name, family in registry.families().items()}
    counts = {
        (family, model): labels.model(model, parameters)
        for family, model, parameters in zip(held["family"], held["model"], held["parameters"], strict=True)
    }
    evaluated = data.evaluated_models()
    for family, model in zip(evaluated["family"], evaluated["model"], strict=True):
        counts.setdefault((family, model), f"{model} (evaluations only)")
    full = {*held["family"], *evaluated["family"]}
    with st.sidebar:
        state["family"] = selection.family
        st.selectbox(
            "Family",
            list(models),
            key="family",
            format_func=lambda name: (titles.get(name) or name) + ("" if name in full else " (nothing measured)"),
        )
        groups = data.groups(selection.family)
        if groups:
            state["group"] = selection.group
            st.selectbox("Group", list(groups), key="group", help="Runs that are to be compared with each other.")
        state["model"] = selection.model
        st.selectbox(
            "Model",
            groups[selection.group] if selection.group else models[selection.family],
            key="model",
            format_func=lambda name: counts.get((selection.family, name), f"{name} (not measured)"),
        )
        comparable = data.comparable(selection.family, selection.group)
        if "models" in page.controls and len(comparable) > 1:
            state["models"] = list(selection.models)
            st.pills(
                "Compare in curves",
                comparable,
                key="models",
                selection_mode="multi",
                format_func=plain,
                help="The models drawn as lines; the maps show the model chosen above.",
            )


def toolbar(page: Page, selection: Selection, spectra: pd.DataFrame | None = None) -> None:
    """The play bar, which stays in sight over the figures, and the ways to look in one row under it.

    `spectra`: `queries.spectra` of the model, drawn small in the bar.
    """
    steps = data.steps(selection.family, selection.model)
    if not steps or not page.controls:
        return
    views = [key for key in page.controls if key in CHOICES and (key != "ranks" or _has_more_ranks(selection))]
    if "step" in page.controls and selection.step is not None and len(steps) > 1:
        with st.container(key="playbar"):
            scale = selection.scale if "scale" in page.controls else "linear"
            small = None if spectra is None else sketches(spectra, steps)
            film.bar(f"{selection.family}/{selection.model}", steps, selection.step, scale, move_to, small)
    with st.container(key="toolbar", horizontal=True, vertical_alignment="bottom", gap="medium"):
        if "metric" in page.controls:
            metric(selection)
        for key in views:
            aligned = key == "scale" and "align" in page.controls
            choice(key, selection, AXES[selection.align] if aligned else None)


def metric(selection: Selection) -> None:
    """The choice among the metrics that the family has values of; nothing where there is one at most."""
    known = {item.name: metric_name(item) for item in data.metrics(selection.family)}
    if len(known) > 1:
        st.session_state["metric"] = selection.metric
        st.selectbox("Metric", list(known), key="metric", format_func=known.__getitem__, width=230)


def metric_name(item: Metric) -> str:
    """A metric where a name begins with a capital; that of a task stays as it is written."""
    return item.label.capitalize() if item.name in COLUMNS else item.label


def choice(key: str, selection: Selection, title: str | None = None) -> None:
    """One of the selection's choices, as buttons or, where its words are long, as a menu."""
    title = title or TITLES[key]
    st.session_state[key] = getattr(selection, key)
    shown, help = WORDS[key], HELPS.get(key)
    if key in LONG:
        st.selectbox(title, CHOICES[key], key=key, format_func=shown.__getitem__, width=180, help=help)
    else:
        st.segmented_control(title, list(WORDS[key]), key=key, required=True, format_func=shown.__getitem__, help=help)


def number(
    key: str, selection: Selection, label: str, default: float, step: float, help: str, format: str = "%g"
) -> float:
    """A number of the selection, drawn with its default where the reader set none; returns what is in force."""
    low, high = NUMBERS[key]
    value = selection.numbers.get(key, default)
    st.session_state[key], st.session_state[f"_default_{key}"] = float(value), float(default)
    st.number_input(label, float(low), float(high), step=float(step), key=key, help=help, format=format)
    return value


def _has_more_ranks(selection: Selection) -> bool:
    held = data.measured_models()
    rows = held[(held["family"] == selection.family) & (held["model"] == selection.model)]
    return bool((rows["hidden_size"] > PAPER_RANKS).any())
