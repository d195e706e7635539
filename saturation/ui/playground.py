"""The playground on the Bottleneck page: a language of known rank, and what each width loses of it."""

from dataclasses import asdict, dataclass

import pandas as pd
import streamlit as st

from saturation.errors import InputError
from saturation.figures import labels, playground_figure
from saturation.jobs import board
from saturation.jobs.playground import VERSION, default_widths, judged
from saturation.measures.playground import CLOSED, Bound, RankedLanguage
from saturation.ui import data
from saturation.ui.chart import chart
from saturation.ui.frame import View
from saturation.ui.memory import kept
from saturation.ui.words import inert, plain

TITLE = "A language of known rank"
# Label, width of the field's steps, help; the key is that of the selection's number.
FIELDS = {
    "rank": ("Rank R", 1, "The rank of the true logits, as the softmax sees them."),
    "vocab_size": ("Vocabulary", 64, "Tokens; at least four for each unit of rank."),
    "contexts": ("Contexts", 64, "Distinct contexts, all equally likely; at least four for each unit of rank."),
    "zipf_exponent": ("Zipf", 0.1, "Exponent of the tokens' frequency; 0 leaves frequency out."),
    "logit_scale": ("Logit scale", 0.5, "Standard deviation of the logits besides frequency."),
    "seed": ("Seed", 1, "Another language of the same kind."),
}
KEYS = {"zipf_exponent": "toy_zipf", "logit_scale": "toy_scale"}
DEFAULTS = asdict(RankedLanguage())


def section(view: View) -> None:
    """Controls of the language, what was trained on it, and a button that trains the rest."""
    slot = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        asked = {name: _field(view, name) for name in FIELDS}
    opened = data.store()
    found = trained(str(opened.path), opened.signature(), tuple(asked.items()))
    with slot:
        if found.rows.empty:
            st.subheader(TITLE, anchor=False)
            st.caption("No width is trained on this language yet: it takes a worker less than a minute at the default.")
        else:
            _figure(found)
    _start(asked, found.rows)


@dataclass(frozen=True)
class Trained:
    """The widths trained on a language, the bound fitted to them, and what to say of them."""

    rows: pd.DataFrame
    bound: Bound | None
    name: str
    provenance: str
    answer: str


@kept(32)
def trained(path: str, signature: tuple[int, ...], asked: tuple[tuple[str, float], ...]) -> Trained:
    """What is trained on the language asked for, by the version in force."""
    rows = data.playground()
    wanted = rows["version"] == VERSION
    for name, value in asked:
        wanted &= rows[name] == value
    rows = rows[wanted].sort_values("width", ignore_index=True)
    if rows.empty:
        return Trained(rows, None, "", "", "")
    found = judged(list(rows.itertuples()))
    name = ", ".join(f"{FIELDS[name][0].lower()} {rows[name].iloc[0]:g}" for name in FIELDS)
    provenance = (
        f"{len(rows)} of {len(default_widths(int(rows['rank'].iloc[0])))} widths · "
        f"entropy {rows['entropy'].iloc[0]:.4f} nats · trained in {rows['seconds'].sum():.0f} s · "
        f"{inert(rows['software'].iloc[0])}"
    )
    return Trained(rows, found, name, provenance, answer(rows, found))


def _field(view: View, name: str) -> float:
    label, step, help = FIELDS[name]
    with st.container(width=108):
        value = view.number(KEYS.get(name, f"toy_{name}"), label, DEFAULTS[name], step, help)
    return value if name in KEYS else round(value)


def _figure(found: Trained) -> None:
    rows, bound = found.rows, found.bound
    chart(
        lambda theme: playground_figure.plain(
            rows, bound.constant if bound else None, bound.fitted_on if bound else (), theme=theme
        ),
        lambda: rows,
        found.name,
        "Context vectors of width d and a linear head, trained freely on the exact distribution: what stays above the "
        "entropy is the bottleneck and nothing else. The gap closes where d reaches R. Dashed: the bound of Theorem "
        "5.3, its constant fitted on the two ringed widths.",
        found.provenance,
        title=TITLE,
        method="playground",
        still=True,
    )
    st.markdown(found.answer)


def answer(rows: pd.DataFrame, found: Bound | None) -> str:
    """What the widths show, in words."""
    rank = int(rows["rank"].iloc[0])
    closed = rows.loc[rows["gap"] < CLOSED, "width"]
    open_ = rows.loc[rows["gap"] >= CLOSED]
    parts = []
    if len(closed):
        parts.append(
            f"The gap is closed (under {CLOSED:g} nats) from a width of **{closed.min()}** on; the rank is {rank}."
        )
    if len(open_):
        widest = open_.iloc[-1]
        parts.append(f"A width of {widest['width']:.0f} still loses **{labels.number(widest['gap'])} nats** per token.")
    if found is not None:
        first, second = found.fitted_on
        holds = "holds at every other width" if found.holds else f"is exceeded at {', '.join(map(str, found.above))}"
        parts.append(f"The bound with its constant fitted on the widths {first} and {second} {holds}.")
    return " ".join(parts)


def _start(asked: dict[str, float], rows: pd.DataFrame) -> None:
    """A button that trains this language's widths; a sentence where there is no such language."""
    missing = [width for width in default_widths(int(asked["rank"])) if width not in set(rows["width"])]
    if data.settings().mode == "demo" or not missing:
        return
    try:
        language = RankedLanguage(**asked)  # type: ignore[arg-type]
    except InputError as error:
        st.warning(plain(str(error)), icon=":material/info:")
        return
    label = "Train its widths" if rows.empty else f"Train {len(missing)} more widths"
    if st.button(label, type="primary", icon=":material/play_arrow:", key="train-playground"):
        board.start(data.settings(), "playground", f"a language of rank {language.rank}", asdict(language))
        st.rerun()
