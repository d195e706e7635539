"""Best and final checkpoints of a family against the scaling law: the numbers behind the paper's figure 1b."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from saturation.errors import InputError
from saturation.measures.scaling import BETA, B, E, Law, fit, flops

PAPER_SIZE = 410e6  # parameters; the paper fits models of at least so many
# A model's name rounds its size: Pythia's 410m has 405 M parameters.
NAMED_SIZE = 0.98
FEWEST = 3  # models below which a fit has no uncertainty
WHICH = ("best", "final")
QUANTITIES = ["hidden_size", "vocab_per_width", "peak_learning_rate"]
COLUMNS = ["family", "model", "parameters"] + [
    f"{which}_{name}" for which in WHICH for name in ("step", "tokens", "loss", "flops")
]


@dataclass(frozen=True)
class Kept:
    """The terms of the law that are not fitted, and whether they are the exact entropy of the text."""

    b: float = B
    beta: float = BETA
    e: float = E
    exact: bool = False


def on_one_text(curve: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows on the text that most of them are of, and the models that were measured on another one only.

    Losses of different texts lie on no common law. Evaluations have no `text_id` and stay.
    """
    counts = curve["text_id"].value_counts()
    if len(counts) < 2:
        return curve, []
    kept = curve[curve["text_id"] == counts.index[0]]
    return kept, [name for name in dict.fromkeys(curve["model"]) if name not in set(kept["model"])]


def scaling_points(curve: pd.DataFrame) -> pd.DataFrame:
    """One row a model, by size: parameters, and step, tokens, loss and FLOPs of its best and its final checkpoint.

    curve: losses of `jobs.metrics.curve`. Doubtful checkpoints are left out, and models that `left_out` names.
    """
    rows = []
    for (family, model), group in _usable(curve).groupby(["family", "model"], sort=False):
        ordered = group.sort_values("step")
        size = float(ordered["parameters"].iloc[0])
        row: dict[str, Any] = {"family": family, "model": model, "parameters": size}
        row |= {name: float(ordered[name].iloc[0]) for name in QUANTITIES if name in ordered}
        for which, place in (("best", int(ordered["value"].argmin())), ("final", -1)):
            found = ordered.iloc[place]
            row |= {
                f"{which}_step": int(found["step"]),
                f"{which}_tokens": float(found["trained_tokens"]),
                f"{which}_loss": float(found["value"]),
                f"{which}_flops": float(flops(size, found["trained_tokens"])),
            }
        rows.append(row)
    columns = COLUMNS + [name for name in QUANTITIES if name in curve]
    return pd.DataFrame(rows, columns=columns).sort_values(["parameters", "model"], ignore_index=True)


def left_out(curve: pd.DataFrame) -> list[str]:
    """Models of a curve that no point can be given, because their size or the tokens they saw are not known."""
    usable = set(_usable(curve)["model"])
    return [name for name in dict.fromkeys(curve["model"]) if name not in usable]


def _usable(curve: pd.DataFrame) -> pd.DataFrame:
    sure = curve["doubtful"].isna() & curve["value"].notna()
    return curve[sure & (curve["trained_tokens"] > 0) & (curve["parameters"] > 0)]


def kept_terms(curve: pd.DataFrame) -> Kept:
    """Hoffmann's B, beta and E; for a text of known entropy B = 0 and E = that entropy.

    The floor takes the place of both where there is one: it is what no model can go below, and runs on one text that
    all saw the same tokens leave nothing to tell B/T^beta from E.
    """
    floors = curve["floor"].dropna().unique()
    return Kept(b=0.0, e=float(floors[0]), exact=True) if len(floors) == 1 else Kept()


def smallest_fitted(points: pd.DataFrame) -> float:
    """The size from which models enter the fit by default.

    The paper's 410M where two models or more are that large, else what leaves the larger half, three at least.
    """
    if int(large_enough(points, PAPER_SIZE).sum()) >= 2:
        return PAPER_SIZE
    sizes = sorted(points["parameters"], reverse=True)
    return float(sizes[min(max(FEWEST, math.ceil(len(sizes) / 2)), len(sizes)) - 1]) if sizes else PAPER_SIZE


def large_enough(points: pd.DataFrame, fit_from: float) -> "pd.Series[bool]":
    """Which models have `fit_from` parameters, or are so called: 2 % below it still counts."""
    return points["parameters"] >= NAMED_SIZE * fit_from


def fit_law(points: pd.DataFrame, fit_from: float, fitted: str = "final", kept: Kept | None = None) -> Law:
    """The law of the `final` or `best` checkpoints of all models of at least `fit_from` parameters.

    Raises InputError where fewer than two models are that large, and where the kept terms already exceed a loss.
    """
    if fitted not in WHICH:
        raise InputError(f"A law is fitted to the best or the final checkpoints, not to '{fitted}'.")
    terms = kept or Kept()
    rows = points[large_enough(points, fit_from)]
    if len(rows) < 2:
        raise InputError(
            f"A law needs at least two models in the fit, and {len(rows) or 'none'} of these has {fit_from:.3g} "
            "parameters or more: lower the smallest size in the fit, or measure the loss of more models."
        )
    size, tokens, loss = (
        rows[name].to_numpy(dtype=float) for name in ("parameters", f"{fitted}_tokens", f"{fitted}_loss")
    )
    return fit(size, tokens, loss, terms.b, terms.beta, terms.e, names=list(rows["model"]))


def distances(points: pd.DataFrame, law: Law) -> pd.DataFrame:
    """The points with the law's loss and the relative distance from it (0.08: 8 % above), at best and at the end."""
    added = {}
    for which in WHICH:
        size, tokens = points["parameters"].to_numpy(dtype=float), points[f"{which}_tokens"].to_numpy(dtype=float)
        added[f"{which}_law"] = law.loss(size, tokens)
        added[f"{which}_distance"] = law.distance(size, tokens, points[f"{which}_loss"].to_numpy(dtype=float))
    return points.assign(**added)


def law_curves(points: pd.DataFrame, law: Law, places: int = 120) -> pd.DataFrame:
    """The law along the sizes of the points: which (best, final), parameters, tokens, flops, loss, low and high.

    Tokens are those of the models' best or final checkpoints, between models by linear interpolation of their
    logarithms in log N. low and high: where the law lies with 95 % confidence, NaN where that is not known.
    """
    parts = []
    for which in WHICH:
        known = np.log(points[f"{which}_tokens"]).groupby(np.log(points["parameters"])).mean()
        place = np.linspace(known.index.min(), known.index.max(), places)
        size, tokens = np.exp(place), np.exp(np.interp(place, known.index, known))
        band = law.band(size, tokens)
        low, high = band if band is not None else (np.full(places, np.nan), np.full(places, np.nan))
        values = {"parameters": size, "tokens": tokens, "flops": flops(size, tokens), "loss": law.loss(size, tokens)}
        parts.append(pd.DataFrame({"which": which, **values, "low": low, "high": high}))
    return pd.concat(parts, ignore_index=True)


def in_words(found: pd.DataFrame, fit_from: float, size: str) -> str:
    """How far models on either side of the smallest fitted size lie from the law on average.

    found: of `distances`; size: `fit_from` as it is written.
    """
    fitted = large_enough(found, fit_from)
    sentences = []
    for rows, who in ((found[~fitted], f"Models below {size}"), (found[fitted], f"Models of {size} and more")):
        if not rows.empty:
            final, best = (float(rows[f"{which}_distance"].mean()) for which in ("final", "best"))
            sentences.append(f"{who} end {_side(final, 'the law')}, {_side(best, 'it', beside=final)} at their best.")
    return " ".join(sentences)


def _side(distance: float, law: str, beside: float = 0.0) -> str:
    """8.0 % above the law; only 8.0 % where a distance on the same side was named before it; on the law where it is."""
    side = _rounded(distance)
    if side == 0:
        return f"on {law}"
    shown = f"{abs(side):.1f} %"
    return shown if side * _rounded(beside) > 0 else f"{shown} {'below' if side < 0 else 'above'} {law}"


def _rounded(distance: float) -> float:
    return round(100 * distance, 1)
