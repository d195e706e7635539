"""n-gram W-error on the Bottleneck page: figure 7 of the paper and the width calculator."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from saturation.figures import labels, ngram_curves
from saturation.jobs import board, hosting, quota, widths
from saturation.settings import Settings
from saturation.ui import data
from saturation.ui.chart import chart, slug
from saturation.ui.frame import View
from saturation.ui.memory import kept
from saturation.ui.words import inert, plain

TITLE = "What rank a corpus asks for"
UPLOAD_MB = 200
HALF = widths.HALF
SHOWN = 6  # curves drawn at first: more crowd the figure
BPE_SIZES = (1024, 2048, 4096, 8192, 16_384, 32_768, 65_536)


def section(view: View) -> None:
    """W-error by rank for every counted corpus, the calculator, and a form that counts another."""
    curves = data.corpora()
    if curves.empty:
        st.subheader(TITLE, anchor=False)
        st.caption("No corpus is counted yet.")
        _form(view)
        return
    opened = data.store()
    store = str(opened.path), opened.signature()
    shown = st.multiselect(
        "Corpora",
        list(curves["label"]),
        default=newest(*store),
        key=f"corpora-{len(curves)}",  # anew, with its default, once another one is counted
        placeholder="Choose corpora",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        view.choice("rank_axis")
        with st.container(width=150):
            error = view.number(
                "error", "W-error to reach", HALF, 0.05, "The share of the n-gram matrix that a width may lose."
            )
    some = chosen(*store, tuple(shown))
    points = cache(lambda: widths.points(some.curves))
    chart(
        lambda theme: ngram_curves.plain(points(), scale=view.selection.rank_axis, error=error, theme=theme),
        points,
        f"{len(some.curves)} matrices",
        "The least relative error that any model of a hidden size (x) makes on the corpus's n-gram probabilities. "
        "Dotted verticals: hidden sizes of known models (1k is 1,024). A band is the "
        "uncertainty of a stochastic estimate.",
        some.provenance,
        title=TITLE,
        method="ngram",
        depends=(tuple(shown), view.selection.rank_axis, error),
    )
    calculator(tuple(some.curves["label"]), error)
    _form(view)


@dataclass(frozen=True)
class Chosen:
    """The curves of some corpora, and what they were counted from, in words."""

    curves: pd.DataFrame
    provenance: str


@kept(32)
def chosen(path: str, signature: tuple[int, ...], names: tuple[str, ...]) -> Chosen:
    """The curves of these labels."""
    curves = data.corpora()
    curves = curves[curves["label"].isin(names)]
    return Chosen(curves, inert(" · ".join(_provenance(curves))))


@kept(4)
def newest(path: str, signature: tuple[int, ...]) -> list[str]:
    """Labels of the curves measured last, in their own order."""
    curves = data.corpora()
    last = curves.sort_values("measured_at", ascending=False, kind="stable").head(SHOWN).index
    return list(curves.loc[sorted(last), "label"])


def _provenance(curves: pd.DataFrame) -> list[str]:
    parts = [f"{labels.step(int(curves['tokens'].max()))} tokens at most"] if len(curves) else ["nothing chosen"]
    methods = ", ".join(sorted(set(curves["method"])))
    orders = ", ".join(str(order) for order in sorted(set(curves["gram_order"])))
    return [*parts, f"order {orders}", methods, "every observed context counts once"] if len(curves) else parts


def calculator(names: tuple[str, ...], error: float) -> None:
    """How wide: a sentence and a row for each corpus and tokenizer; what a larger vocabulary does."""
    if not names:
        return
    st.subheader("How wide must the next model be?", anchor=False)
    found = data.wide(names, error)
    table, most = found.table, found.largest
    st.markdown(
        f"**{plain(most['label'])}**: a W-error of {error:.2f} needs a hidden size of **{most['width']:,}**; as wide: "
        f"{most['as_wide']}."
    )
    config = {
        "label": st.column_config.TextColumn("corpus · tokenizer (vocabulary)", width=250, pinned=True),
        "tokens": st.column_config.NumberColumn("tokens", format="localized"),
        "width_at_half": st.column_config.NumberColumn(f"width for {HALF:.2f}", format="localized"),
        "width": st.column_config.NumberColumn(
            f"width for {error:.2f}",
            format="localized",
            help="The least hidden size whose W-error is at most that.",
        ),
        "as_wide": st.column_config.TextColumn("models as wide"),
    } | {f"{width}": st.column_config.NumberColumn(f"d = {width:,}", format="%.3f") for width in widths.COMMON_WIDTHS}
    if error == HALF:
        table = table.drop(columns="width_at_half")
    st.dataframe(table, hide_index=True, column_config=config, alt="W-error of each corpus at common hidden sizes")
    st.caption(
        "A bound on what a linear head of that width can express of the n-grams of this very text, not a promise: a "
        "larger corpus has more contexts and asks for more, and contexts longer than n - 1 tokens are not seen."
    )
    for sentence in found.growth:
        st.markdown(plain(sentence))


def _form(view: View) -> None:
    settings = data.settings()
    if settings.mode == "demo":
        return
    place = st.expander("Count another corpus", key="count-corpus", icon=":material/play_circle:", on_change="rerun")
    if not place.open:  # its ten fields would be made anew at every step
        return
    with place, st.form("corpus", border=False):
        left, right = st.columns(2, gap="medium")
        local = settings.mode == "local"
        kinds = ["txt", "md", "jsonl", *(["gz"] if local else [])]  # of a packed file the size tells little
        most = UPLOAD_MB if local else max(1, min(UPLOAD_MB, int(settings.limits.import_mb)))
        upload = left.file_uploader("A text file", type=kinds, key="corpus-upload", max_upload_size=most)
        path = ""
        if local:
            path = left.text_input("Or a file or folder here, or hub:owner/dataset", key="corpus-path")
        tokenizer = _tokenizer(right, local)
        order = right.number_input("Order n", 1, 9, 5, key="corpus-order", help="Contexts are of n - 1 tokens.")
        method = right.segmented_control(
            "Method",
            ["auto", "exact", "stochastic"],
            default="auto",
            required=True,
            key="corpus-method",
            help="Exact takes minutes for a large vocabulary, stochastic seconds, with an error band.",
        )
        if st.form_submit_button("Count", type="primary", icon=":material/play_arrow:"):
            corpus = path.strip()
            if upload is not None:
                corpus = str(_kept(settings, upload.file_id, upload.name, upload.getvalue()))
            if not corpus:
                st.warning("Choose a file first.", icon=":material/info:")
                return
            options = {"corpus": corpus, "tokenizer": tokenizer, "order": int(order), "method": method}
            board.start(settings, "ngram", corpus.rstrip("/").rpartition("/")[2], options)
            st.rerun()


def _tokenizer(place: DeltaGenerator, local: bool) -> str:
    """Any tokenizer on a machine of one's own; on a hosted one only those trained here, since a name can be a path."""
    if not local:
        size = place.selectbox("Vocabulary of a BPE trained on the text", BPE_SIZES, index=3, key="corpus-bpe")
        return f"bpe:{size}"
    typed = place.text_input(
        "Tokenizer",
        value="bpe:8192",
        key="corpus-tokenizer",
        help="A tokenizer.json or SentencePiece .model file, a repository on the hub, or bpe:SIZE to train one of "
        "that vocabulary on the corpus itself.",
    )
    return typed.strip()


def _kept(settings: Settings, file_id: str, name: str, content: bytes) -> Path:
    """Where an upload is kept for the worker: under a name of our own making, in a folder of its own."""
    suffixes = "".join(end for end in Path(name).suffixes[-2:] if end in {".txt", ".md", ".jsonl", ".gz"})
    folder = settings.cache / hosting.UPLOADS / slug(file_id)
    path = folder / f"{slug(Path(name).name.split('.')[0]) or 'upload'}{suffixes}"
    quota.take_in(settings, len(content))
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
