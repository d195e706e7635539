"""What the head's leading directions point at: the sentence that answers it, and the tokens at their ends."""

import html

import pandas as pd
import streamlit as st

from saturation.figures import alignment_curves, alignment_table, labels
from saturation.figures.alignment import panels
from saturation.figures.steps import nearest
from saturation.figures.theme import Theme
from saturation.ui import controls, data, empty
from saturation.ui.chart import chart, slug
from saturation.ui.frame import View

SHOWN = 3
SHIFT = 0.9  # from here on a direction is said to be close to a shift of all logits
LONGEST = 24  # letters of a token before it is cut
NAMES = ("First", "Second", "Third")
TITLE = "What are the leading directions?"


def section(view: View) -> None:
    """Figure, sentence and tokens of the selected model, or what to do where alignment is not measured."""
    chosen = view.selection
    rows = data.alignment(chosen.family, (chosen.model,))
    if rows.empty:
        st.subheader(TITLE, anchor=False)
        empty.not_measured(view, "The alignment of the head's leading directions with token frequency")
        return
    word = "centred" if chosen.centred else "plain"
    drawn_from = data.drawn_from(chosen.family, ("alignment",), (chosen.model,))
    chart(
        lambda theme: alignment_curves.plain(rows, scale=chosen.scale, centred=chosen.centred, theme=theme),
        lambda: alignment_table(rows),
        f"{view.name} {word}",
        "Each line is a left singular vector of the head, by its rank at that step. Near 1 above, it moves all logits "
        "alike; near 1 below, it orders tokens by how often the text holds them."
        if not chosen.centred
        else "Each line is a left singular vector of the centred head, by its rank at that step: near 1, "
        "it orders tokens by how often the text holds them.",
        drawn_from,
        title=TITLE,
        method="alignment",
        at=controls.cursor(chosen, panels(chosen.centred)),
    )
    step = nearest(rows["step"].to_numpy(), chosen.step or 0)
    st.markdown(answer(rows, step, chosen.step))
    tokens = data.top_tokens(chosen.family, chosen.model, step)
    tokens = tokens[tokens["centred"].astype(bool) == chosen.centred]
    st.html(table(tokens, view.theme))
    name = slug(f"top tokens {view.name} {word} step {step}")
    with st.container(key="under-tokens", horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(
            f"Tokens with the largest and the smallest entries at step {labels.step(step)}, {word} head; each vector "
            "is turned so that its correlation is positive. ␣ is a space.",
            width="stretch",
        )
        st.download_button(
            "CSV",
            lambda: tokens.to_csv(index=False),
            file_name=f"{name}.csv",
            mime="text/csv",
            key="csv-tokens",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
            help="All leading vectors with ids and entries",
        )


def answer(rows: pd.DataFrame, step: int, cursor: int | None = None) -> str:
    """What is measured at a step and at the last sure one, in words; neither names a cause.

    rows: `queries.alignment` of one model; step: one of its steps; cursor: the step that was asked for.
    """
    sure = rows[rows["doubtful"].isna()]
    last = int(sure["step"].max()) if len(sure) else step
    note = "" if cursor in (None, step) else ", the nearest with this measure,"
    row = _first(rows, step)
    doubt = " (a doubtful checkpoint)" if pd.notna(row["doubtful"]) else ""
    ones = float(row["ones_alignment"])
    shift = " – close to a shift of all logits, which softmax ignores –" if ones >= SHIFT else ""
    said = (
        f"At step {labels.step(step)}{note}{doubt} the first direction of the head is **{labels.fixed(ones, 2)}** "
        f"aligned with all-ones{shift} and its entries {_correlate(row['frequency_correlation'])}"
    )
    if pd.notna(row["correlation_by_chance"]):
        said += f" (chance: below {row['correlation_by_chance']:.2g})"
    if pd.isna(row["centred_ones_alignment"]):
        said += ". Centred, nothing is left of the head."
    else:
        centred = _correlate(row["centred_frequency_correlation"])
        said += f". Centred, those of the first direction {centred}."
    if last == step:
        return said
    row = _first(rows, last)
    return (
        f"{said} At the last checkpoint, step {labels.step(last)}: **{row['ones_alignment']:.2f}** along all-ones, "
        f"correlation **{_value(row['frequency_correlation'])}**, centred "
        f"**{_value(row['centred_frequency_correlation'])}**."
    )


def _first(rows: pd.DataFrame, step: int) -> pd.Series:
    return rows[(rows["step"] == step) & (rows["rank"] == 1)].iloc[0]


def _value(correlation: float) -> str:
    return labels.fixed(correlation, 2)


def _correlate(value: float) -> str:
    if pd.isna(value):
        return "have no correlation with log token frequency: one of the two does not vary"
    return f"correlate **{_value(value)}** with log token frequency"


def table(tokens: pd.DataFrame, theme: Theme) -> str:
    """The tokens at both ends of the first vectors as an HTML table; tokens are data and are escaped.

    tokens: `queries.top_tokens` of one view.
    """
    rows = []
    for rank in range(1, SHOWN + 1):
        for side, arrow in (("top", "↑"), ("bottom", "↓")):
            cells = tokens[(tokens["rank"] == rank) & (tokens["side"] == side)].sort_values("place")
            if cells.empty:
                continue
            head = f'<th scope="rowgroup" rowspan="2">{NAMES[rank - 1]}</th>' if side == "top" else ""
            shown = zip(cells["token"], cells["token_id"], cells["entry"], strict=True)
            chips = " ".join(_chip(str(token), int(number), float(entry)) for token, number, entry in shown)
            rows.append(f'<tr class="{side}">{head}<td aria-label="{side}">{arrow}</td><td>{chips}</td></tr>')
    return f"<style>{_style(theme)}</style><table class='tokens'>{''.join(rows)}</table>"


def _chip(token: str, number: int, entry: float) -> str:
    cut = token if len(token) <= LONGEST else f"{token[: LONGEST - 1]}…"
    return f'<code title="id {number}, entry {entry:.4f}">{html.escape(cut)}</code>'


def _style(theme: Theme) -> str:
    return f"""
    .tokens {{ border-collapse: collapse; width: 100%; font-size: 0.86rem; color: {theme.text}; }}
    .tokens th {{ text-align: left; font-weight: 600; padding: 0.35rem 0.8rem 0.35rem 0; vertical-align: top; }}
    .tokens td {{ padding: 0.25rem 0.5rem 0.25rem 0; line-height: 1.9; vertical-align: top; }}
    .tokens .top > * {{ border-top: 1px solid {theme.grid}; }}
    .tokens code {{ background: {theme.surface}; color: {theme.text}; border-radius: 4px; padding: 0.1rem 0.35rem;
      white-space: pre; }}
    """
