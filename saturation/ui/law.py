"""The scaling law on the Performance page: what is kept and fitted, the figure, the distances in words and numbers."""

import pandas as pd
import streamlit as st

from saturation.figures import labels, scaling_figure
from saturation.jobs import scaling
from saturation.jobs.metrics import LOSS
from saturation.measures.scaling import Law
from saturation.ui import data
from saturation.ui.chart import chart
from saturation.ui.data import reported
from saturation.ui.frame import View
from saturation.ui.memory import Memory
from saturation.ui.performance import Shown
from saturation.ui.words import plain

TITLE = "Against the scaling law"
_points = Memory(most=32)


def law_section(view: View, shown: Shown) -> None:
    """Figure 1b with its controls and the distance of each model from the law; a sentence where there is none."""
    if shown.metric.name != LOSS:
        st.subheader(TITLE, anchor=False)
        family = view.selection.family
        measured = LOSS in data.metric_names(family)
        what = "choose it as the metric above" if measured else f"no loss of {family} is measured yet"
        st.caption(
            f"The law tells how far each model's loss in nats per token lies from what its size promises: {what}."
        )
        return
    opened = data.store()
    about = (str(opened.path), opened.signature(), view.selection.family, view.selection.models)
    points, missing, apart, default = _points.get(about, lambda: _read(shown))
    unknown = f" Size or training tokens of {', '.join(map(plain, missing))} are not known." if missing else ""
    unknown += f" Measured on another text, so left out: {', '.join(map(plain, apart))}." if apart else ""
    if points["parameters"].nunique() < 2:
        st.subheader(TITLE, anchor=False)
        st.caption(
            "The law needs the loss of models of two sizes or more, with known training tokens: measure another model "
            f"of {view.selection.family}, or add one under “Compare in curves”.{unknown}"
        )
        return
    slot = st.container()
    kept, fit_from = _controls(view, default, points)
    with slot:
        law = None
        with reported():
            law = scaling.fit_law(points, fit_from, view.selection.fitted, kept)
        found = points if law is None else scaling.distances(points, law)
        fitted = scaling.large_enough(points, fit_from)
        found = found.assign(fitted=fitted.map({True: view.selection.fitted, False: ""}))
        chart(
            lambda theme: scaling_figure.plain(
                found,
                None if law is None else scaling.law_curves(points, law),
                by=view.selection.by,
                span=shown.span,
                theme=theme,
            ),
            lambda: found,
            f"{view.selection.family} {view.selection.fitted} checkpoints",
            "Filled: a model's best checkpoint, open: its last, ringed: in the fit. Above the law, a model does worse "
            "than its size and tokens promise.",
            shown.drawn_from,
            title=TITLE,
            method="scaling-law",
            still=True,
        )
    if law is not None:
        _words(view, law, found, fit_from)
        _table(found)
    if unknown:
        st.caption(unknown.strip())


def _read(shown: Shown) -> tuple[pd.DataFrame, list[str], list[str], scaling.Kept]:
    """The points, models without one, models on another text, and the terms that are kept by default."""
    curve, apart = scaling.on_one_text(shown.curve)
    return scaling.scaling_points(curve), scaling.left_out(curve), apart, scaling.kept_terms(curve)


def _controls(view: View, default: scaling.Kept, points: pd.DataFrame) -> tuple[scaling.Kept, float]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        fit_from = _smallest(view, points)
        view.choice("fitted")
        b = _number(view, "law_b", "B", default.b, 10, "Of the term B/T^β, kept; Hoffmann et al. 2022: 410.7.")
        beta = _number(view, "law_beta", "β", default.beta, 0.01, "Of the term B/T^β, kept; Hoffmann et al.: 0.28.")
        e = _number(
            view, "law_e", "E", default.e, 0.01, "Loss that no size removes, nats, kept; Hoffmann et al.: 1.69."
        )
    if default.exact:
        st.caption(
            f"The text's exact entropy is known, so by default E is that entropy, {default.e:.3f} nats, and B is 0: "
            "runs that all saw the same tokens cannot tell B/T^β from E."
        )
    return scaling.Kept(b, beta, e), fit_from


def _number(view: View, key: str, label: str, default: float, step: float, help: str) -> float:
    with st.container(width=112):
        return view.number(key, label, default, step, help, format="%.4g")


def _smallest(view: View, points: pd.DataFrame) -> float:
    """The smallest size in the fit, one of the models'; in the selection it is a number of parameters."""
    default = scaling.smallest_fitted(points)
    sizes = sorted(points["parameters"].unique())
    names = {size: "/".join(points.loc[points["parameters"] == size, "model"].head(2)) for size in sizes}
    wanted = view.selection.numbers.get("fit_from", default)
    options = {_snapped(sizes, default): default}  # a link then says 410M and not what Pythia's 410m has exactly
    shown = {options.get(size, size): f"{names[size]} · {labels.count(size)}" for size in sizes}
    value = options.get(size := _snapped(sizes, wanted), size)
    st.session_state["fit_from"], st.session_state["_default_fit_from"] = value, default
    st.selectbox("Smallest size in the fit", list(shown), key="fit_from", format_func=shown.__getitem__, width=170)
    return value


def _snapped(sizes: list[float], wanted: float) -> float:
    """The smallest model that a fit from `wanted` parameters takes in; the largest where it takes in none."""
    return next((size for size in sizes if size >= scaling.NAMED_SIZE * wanted), sizes[-1])


def _words(view: View, law: Law, found: pd.DataFrame, fit_from: float) -> None:
    a, alpha = f"**A = {labels.number(law.a, 5)}**", f"**α = {labels.number(law.alpha, 4)}**"
    of_a, of_alpha = law.a_interval(), law.alpha_interval()
    if of_a is None or of_alpha is None:
        doubt = "Two models are met exactly, so there is no uncertainty to give."
    else:
        a += f" (95 %: {labels.number(of_a[0], 4)} to {labels.number(of_a[1], 4)})"
        alpha += f" ({labels.number(of_alpha[0], 4)} to {labels.number(of_alpha[1], 4)})"
        doubt = ""
    words = scaling.in_words(found, fit_from, labels.count(fit_from))
    st.markdown(
        f"{a} and {alpha}, fitted to the {view.selection.fitted} checkpoints of {law.models} models. {doubt} {words}"
    )


def _table(found: pd.DataFrame) -> None:
    shown = pd.DataFrame(
        {
            "model": found["model"],
            "parameters": found["parameters"].map(labels.count),
            "in the fit": found["fitted"] != "",
            "best step": found["best_step"],
            "best loss": found["best_loss"],
            "best against the law": 100 * found["best_distance"],
            "final step": found["final_step"],
            "final loss": found["final_loss"],
            "final against the law": 100 * found["final_distance"],
        }
    )
    loss, step = st.column_config.NumberColumn(format="%.3f"), st.column_config.NumberColumn(format="localized")
    distance = st.column_config.NumberColumn(format="%+.2f %%")
    config = {"best loss": loss, "final loss": loss, "best step": step, "final step": step}
    config |= {"best against the law": distance, "final against the law": distance}
    st.dataframe(shown, hide_index=True, column_config=config)
