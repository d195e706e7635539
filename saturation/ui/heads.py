"""Heads of lower rank on the Bottleneck page: figures 6, 8 and 9 of the paper, truncated heads along training."""

import pandas as pd
import streamlit as st

from saturation.figures import heads_by_rank, labels, learning_rates, loss_by_w_error, parts, truncated_along_training
from saturation.jobs import board
from saturation.ui import data, lower_ranks
from saturation.ui.chart import chart
from saturation.ui.frame import View
from saturation.ui.words import inert, plain

TITLE = "Loss by the rank of the head"


def section(view: View) -> None:
    """The figures of what is measured, and a form that measures more."""
    chosen = view.selection
    models = tuple(dict.fromkeys((chosen.model, *chosen.models)))
    step = chosen.step or 0
    found = lower_ranks.heads(chosen.family, models, step)
    table = found.table
    table = table[table["model"].isin({*chosen.models, chosen.model})]
    if table.empty:
        st.subheader(TITLE, anchor=False)
        st.caption(
            f"No head of lower rank is measured for {chosen.family} yet. A truncated head costs one pass over the text "
            "and no training; a trained one is the paper's experiment."
        )
        _form(view)
        return
    view.choice("head_metric")
    span, at = data.span(chosen.family), shown_steps(table)
    accuracy = chosen.head_metric == "accuracy"
    chart(
        lambda theme: heads_by_rank.plain(table, "accuracy" if accuracy else "nats_per_token", span=span, theme=theme),
        lambda: table,
        f"{chosen.family} {chosen.head_metric} {at}",
        guide(table),
        drawn_from(table),
        title=TITLE,
        method="trained-heads",
    )
    st.markdown(answer(table, chosen.model))
    tried = found.tried
    left, right = st.columns(2, gap="medium") if len(tried) else (st.container(), st.container())
    with left:
        chart(
            lambda theme: loss_by_w_error.plain(table, span=span, theme=theme),
            lambda: table,
            f"{chosen.family} {at}",
            "The same losses against what the rank costs the model's own head: 0 is the whole head, 1 nothing of it.",
            drawn_from(table),
            title="Loss by W-error",
            method="w-error",
        )
    with right:
        if len(tried):
            chart(
                lambda theme: learning_rates.plain(tried, span=span, theme=theme),
                lambda: tried,
                f"{chosen.family} {at}",
                "The learning rate with the lowest validation loss at each rank, among those tried (small marks).",
                drawn_from(table[table["kind"] == "trained"]),
                title="Learning rate by rank",
                method="trained-heads",
            )
        else:
            others = ", ".join(labels.step(value) for value in found.trained_steps)
            there = f" Some are trained at step {others}." if others else ""
            below = "" if data.settings().mode == "demo" else "; start them below"
            st.caption(f"The learning rate by rank, figure 9 of the paper, needs trained heads{below}.{there}")
    own = data.truncated_heads(chosen.family, (chosen.model,))
    if own["step"].nunique() > 1:
        chart(
            lambda theme: truncated_along_training.plain(own, theme=theme),
            lambda: own,
            view.name,
            "Each column is a checkpoint: how much loss its own head adds when it is cut to a rank, the lowest on top. "
            "A bright row that ends says that training no longer needs that rank.",
            drawn_from(own.assign(kind="truncated", text_name=None)),
            title="Truncated heads along training",
            method="truncated-heads",
            at=lambda figure, theme: parts.add_cursor(figure, chosen.step, "linear", theme),
        )
    _form(view)


def guide(table: pd.DataFrame) -> str:
    """How to read the lines of a table of heads: what of it is solid, dashed and dotted."""
    lines = {
        "trained": "Solid: heads of that rank trained on the model's frozen last states",
        "truncated": "dashed: its own head cut to that rank",
        "own": "dotted: its own head",
    }
    kinds = set(table["kind"])
    said = ", ".join(words for kind, words in lines.items() if kind in kinds)
    end = " Where the lines leave the dotted one, the rank is too small for these states." if "own" in kinds else ""
    return f"{said[:1].upper()}{said[1:]}.{end}"


def shown_steps(table: pd.DataFrame) -> str:
    """The steps that a table of heads is of, in words."""
    steps = sorted(int(step) for step in table["step"].unique())
    return f"at step{'' if len(steps) == 1 else 's'} {', '.join(map(labels.step, steps))}"


def answer(table: pd.DataFrame, model: str) -> str:
    """What the largest rank of at most half the width costs the model, in words; nothing where none was measured."""
    own = table[table["model"] == model]
    whole = own.loc[own["kind"] == "own"]
    if whole.empty:
        return ""
    size, loss = int(whole["rank"].iloc[0]), float(whole["nats_per_token"].iloc[0])
    below = own[(own["rank"] <= size / 2) & (own["kind"] != "own")]
    if below.empty:
        return ""
    rank = int(below["rank"].max())
    costs = {
        kind: float(rows["nats_per_token"].iloc[0]) - loss
        for kind, rows in below[below["rank"] == rank].groupby("kind", sort=False)
    }
    words = {"truncated": "cut to it, its own head", "trained": "a head of that rank trained on its states"}
    said = "; ".join(f"{words[kind]} adds **{labels.fixed(costs[kind], 3)} nats**" for kind in words if kind in costs)
    step = labels.step(int(whole["step"].iloc[0]))
    return f"{plain(model)} is {size:,} wide. Of rank {rank:,} at step {step}: {said} per token to its {loss:.3f}."


def drawn_from(table: pd.DataFrame) -> str:
    """The line under a figure of heads."""
    columns = {name: table[name].tolist() for name in ("family", "model", "step", "kind", "text_name")}
    rows = dict.fromkeys(zip(columns["family"], columns["model"], columns["step"], strict=True))
    runs = [f"{family}/{model}@{labels.step(step)}" for family, model, step in rows]
    shown = ", ".join(runs[:4]) + (f" and {len(runs) - 4} more" if len(runs) > 4 else "")
    kinds = ", ".join(f"{kind} heads" for kind in ("trained", "truncated") if kind in columns["kind"])
    texts = ", ".join(sorted({name for name in columns["text_name"] if isinstance(name, str)}))
    tokens = table["tokens"].dropna()
    amount = f"{labels.step(tokens.max())} tokens" if len(tokens) else ""
    return inert(" · ".join(part for part in (shown, kinds, f"text {texts}" if texts else "", amount) if part))


def _form(view: View) -> None:
    """Start a job for the selected model; nothing in a demonstration."""
    chosen, settings = view.selection, data.settings()
    if settings.mode == "demo" or chosen.step is None:
        return
    place = st.expander(
        f"Measure heads of {view.shown}", key="measure-heads", icon=":material/play_circle:", on_change="rerun"
    )
    if not place.open:  # what it asks of the store would be asked at every step
        return
    with place:
        st.caption(
            "Truncated: one pass over the family's text, no training. Trained: W = A B on the frozen last states of a "
            "text, for each rank at four learning rates; minutes for small models. Results appear as they are done; "
            "a job that is cancelled goes on where it stopped when it is started again."
        )
        known = data.checkpoints(chosen.family, chosen.model)
        weights = set(known.loc[known["available"], "step"])
        here = chosen.step in weights
        done = set(data.truncated_heads(chosen.family, (chosen.model,))["step"])
        others = sorted(weights - done - {chosen.step})
        if not here:
            st.caption(f"The weights of step {labels.step(chosen.step)} are not on this machine; choose another step.")
        with st.container(horizontal=True, gap="small"):
            at = f"at step {labels.step(chosen.step)}"
            if st.button(f"Truncate {at}", disabled=not here, icon=":material/content_cut:"):
                _start(view, [chosen.step], train=False)
            more = f"{len(others)} other step{'' if len(others) == 1 else 's'}"
            if st.button(f"Truncate at {more}", disabled=not others, icon=":material/content_cut:"):
                _start(view, others, train=False)
            if st.button(f"Train {at}", disabled=not here, type="primary", icon=":material/play_arrow:"):
                _start(view, [chosen.step], train=True)


def _start(view: View, steps: list[int], train: bool) -> None:
    targets = [f"{view.name}@{step}" for step in steps]
    title = targets[0] if len(targets) == 1 else f"{targets[0]} and {len(targets) - 1} more"
    board.start(data.settings(), "heads", title, {"targets": targets, "train": train})
    st.rerun()
