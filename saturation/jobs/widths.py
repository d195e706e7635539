"""How wide a model must be for a corpus and a tokenizer: W-errors of n-gram matrices read as a question of width."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from saturation.corpora.tokenizers import BPE
from saturation.families import registry

HALF = 0.5  # the W-error that widths are compared at
# Hidden sizes that models have.
COMMON_WIDTHS = (64, 128, 256, 384, 512, 576, 768, 960, 1024, 1536, 2048, 2560, 3072, 4096, 5120, 6144, 8192)


def named(curves: pd.DataFrame) -> pd.DataFrame:
    """The curves (`queries.ngrams`) of the newest version, exact before stochastic, with a `label` for a reader.

    Of one matrix measured both ways the exact curve stays.
    """
    if curves.empty:
        return curves.assign(label=pd.Series(dtype=str))
    matrix = ["corpus_id", "tokenizer_id", "gram_order"]
    kept = curves.sort_values(["version", "method"], ascending=[False, True]).drop_duplicates(matrix)
    kept = kept.sort_values(["corpus", "vocabulary", "gram_order"], ignore_index=True)
    several = kept["gram_order"].nunique() > 1
    labels = [
        f"{row['corpus'].removesuffix('.txt')} · {tokenizer(row)}"
        + (f" · {row['gram_order']}-grams" if several else "")
        for row in _records(kept)
    ]
    return kept.assign(label=_told_apart(kept, labels))


def _told_apart(curves: pd.DataFrame, labels: list[str]) -> list[str]:
    """Labels of which no two are equal: by their tokens where the names do not tell, and by the corpus's id."""
    for more in (
        [f"{tokens:,} tokens" for tokens in curves["tokens"]],
        [corpus.removeprefix("sha256:")[:6] for corpus in curves["corpus_id"]],
        [str(place) for place in range(1, len(curves) + 1)],
    ):
        counts = Counter(labels)
        labels = [f"{label} · {word}" if counts[label] > 1 else label for label, word in zip(labels, more, strict=True)]
    return labels


def is_trained_here(tokenizer: str) -> bool:
    """Whether a curve's tokenizer is a BPE trained on its corpus."""
    return tokenizer.startswith(BPE)


def tokenizer(row: dict[Any, Any]) -> str:
    """A tokenizer and its vocabulary in words: `BPE 8,192` for one trained on the corpus, `pythia (50,277)` for a file.

    A file whose name is that of its kind, as `tokenizer.json`, keeps the whole.
    """
    size, name = f"{row['vocabulary']:,}", str(row["tokenizer"])
    if is_trained_here(name):
        return f"BPE {size}"
    stem = name.removesuffix(".json").removesuffix(".model")
    return f"{name if stem == 'tokenizer' else stem} ({size})"


def points(curves: pd.DataFrame) -> pd.DataFrame:
    """The curves as rows for a figure: label, rank, w_error, low, high, vocabulary, method, rank_at_half."""
    rows = [
        pd.DataFrame(
            {
                "label": row["label"],
                "rank": row["ranks"],
                "w_error": row["w_error"],
                "low": row["w_error_low"],
                "high": row["w_error_high"],
                "vocabulary": row["vocabulary"],
                "method": row["method"],
                "rank_at_half": row["rank_at_half"],
            }
        )
        for row in _records(curves)
    ]
    columns = ["label", "rank", "w_error", "low", "high", "vocabulary", "method", "rank_at_half"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


def w_error_at(ranks: np.ndarray, w_error: np.ndarray, width: float) -> float:
    """W-error at a width, linear between the ranks of the grid; 0 beyond the last."""
    return float(np.interp(width, ranks, w_error, right=0.0))


def width_for(ranks: np.ndarray, w_error: np.ndarray, error: float) -> int:
    """The least width whose W-error is at most `error`, linear between the ranks of the grid."""
    place = int(np.argmax(w_error <= error))
    if place == 0:
        return int(ranks[0])
    above, below = w_error[place - 1], w_error[place]
    share = (above - error) / (above - below)
    # Less a hair: a width that is whole but for rounding is that width.
    return int(np.ceil(ranks[place - 1] + share * (ranks[place] - ranks[place - 1]) - 1e-9))


def calculator(curves: pd.DataFrame, error: float) -> pd.DataFrame:
    """One row a curve: the widths for a W-error of a half and of `error`, models as wide, W-error at common widths."""
    rows = []
    models = known_models()
    for row in _records(curves):
        values = {f"{width}": w_error_at(row["ranks"], row["w_error"], width) for width in COMMON_WIDTHS}
        rows.append(
            {
                "label": row["label"],
                "tokens": row["tokens"],
                "width_at_half": width_for(row["ranks"], row["w_error"], HALF),
                "width": (width := width_for(row["ranks"], row["w_error"], error)),
                "as_wide": examples(width, 2, models),
                **values,
            }
        )
    return pd.DataFrame(
        rows, columns=["label", "tokens", "width_at_half", "width", "as_wide", *map(str, COMMON_WIDTHS)]
    )


def known_models() -> pd.DataFrame:
    """Model name and hidden size of every model of the registry that states one, narrowest first."""
    rows = [
        (f"{family.name}/{model.name}", family.name, model.hidden_size)
        for family in registry.families().values()
        for model in family.models.values()
        if model.hidden_size
    ]
    frame = pd.DataFrame(rows, columns=["model", "family", "hidden_size"])
    return frame.sort_values("hidden_size", kind="stable", ignore_index=True)


def examples(width: int, most: int = 3, models: pd.DataFrame | None = None) -> str:
    """Known models of the least hidden size that is at least `width`, one a family, in words; no copies by seed.

    models: `known_models`, where it is there.
    """
    models = known_models() if models is None else models
    wide = models[(models["hidden_size"] >= width) & ~models["model"].str.contains("-seed")]
    if wide.empty:
        return "no known model is that wide"
    size = int(wide["hidden_size"].iloc[0])
    same = wide[wide["hidden_size"] == size].drop_duplicates("family")["model"].head(most)
    return f"{', '.join(same)} ({size:,} wide)"


def growth(curves: pd.DataFrame, error: float = HALF) -> list[str]:
    """What a larger vocabulary does: of each corpus with several BPE vocabularies trained on it, one sentence.

    Only those are compared: between tokenizers of different makers, more than the vocabulary differs. The widths are
    those of `calculator`.
    """
    own = curves[curves["tokenizer"].map(is_trained_here).astype(bool)] if len(curves) else curves
    sentences = []
    for (_, order), group in own.groupby(["corpus_id", "gram_order"], sort=False):
        ordered = _records(group.drop_duplicates("vocabulary").sort_values("vocabulary"))
        if len(ordered) < 2:
            continue
        needed = [(row["vocabulary"], width_for(row["ranks"], row["w_error"], error)) for row in ordered]
        listed = ", ".join(f"{width:,} at {vocabulary:,}" for vocabulary, width in needed)
        factors = ", ".join(f"{_per_doubling(small, large):.2f}" for small, large in pairwise(needed))
        sentences.append(
            f"{ordered[0]['corpus'].removesuffix('.txt')}, {order}-grams: a W-error of {error:.2f} needs a width of "
            f"{listed} tokens of vocabulary; each doubling multiplies it by {factors}."
        )
    return sentences


def _per_doubling(small: tuple[int, int], large: tuple[int, int]) -> float:
    """Factor of the width for twice the vocabulary, between two pairs of vocabulary and width."""
    widths = large[1] / max(small[1], 1)
    return float(widths ** (np.log(2) / np.log(large[0] / small[0])))
