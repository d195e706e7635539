"""Runs of any families on one axis: aligned by step, tokens, compute or fraction of training, and their differences."""

import numpy as np
import pandas as pd

from saturation.jobs.metrics import with_training
from saturation.measures.scaling import flops

ALIGNMENTS = ("step", "tokens", "flops", "fraction")
# What is compared, by column of `queries.trajectory`.
MEASURES = ("nats_per_token", "anisotropy", "singular_entropy")


def aligned(trajectory: pd.DataFrame, align: str) -> pd.DataFrame:
    """The rows of `queries.trajectory`, of one or several families, with `run` (family/model) and `x`.

    x: the step; tokens trained on; 6 N T floating-point operations; or the share of the run's last known step. NaN
    where the registry does not state the batch or the size is not known. Raises ValueError for another alignment.
    """
    if align not in ALIGNMENTS:
        raise ValueError(f"Runs are aligned by {', '.join(ALIGNMENTS)}; got '{align}'.")
    rows = with_training(trajectory).assign(run=trajectory["family"] + "/" + trajectory["model"])
    steps = rows["step"].astype("float64")
    if align == "step":
        return rows.assign(x=steps)
    if align == "tokens":
        return rows.assign(x=rows["trained_tokens"])
    if align == "flops":
        return rows.assign(x=flops(rows["parameters"].astype("float64"), rows["trained_tokens"]))
    last = rows.groupby("run")["step"].transform("max").astype("float64")
    return rows.assign(x=(steps / last.where(last > 0)).fillna(0.0))


def without_place(rows: pd.DataFrame) -> list[str]:
    """Runs that have no place on the axis, because their batch or size is not known."""
    lacking = rows.groupby("run")["x"].apply(lambda values: values.isna().all())
    return [str(run) for run in lacking.index[lacking]]


def differences(rows: pd.DataFrame, column: str, base: str) -> pd.DataFrame:
    """Each run's values less those of `base` at the same x, linear between its checkpoints, where both have values.

    rows: `aligned`. Columns: run, x, step, difference. Doubtful checkpoints are left out.
    """
    sure = rows[rows["doubtful"].isna() & rows[column].notna() & rows["x"].notna()].sort_values("x")
    reference = sure[sure["run"] == base].drop_duplicates("x")
    found = []
    for run, own in sure[sure["run"] != base].groupby("run", sort=False):
        if reference.empty:
            break
        inside = own[own["x"].between(reference["x"].iloc[0], reference["x"].iloc[-1])]
        values = np.interp(inside["x"], reference["x"], reference[column])
        found.append(
            pd.DataFrame({"run": run, "x": inside["x"], "step": inside["step"], "difference": inside[column] - values})
        )
    columns = ["run", "x", "step", "difference"]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


def other_texts(rows: pd.DataFrame, base: str) -> list[str]:
    """Runs whose losses are of another text than those of `base`, or of another number of tokens of it.

    rows: `aligned`. Losses of such runs say nothing about each other.
    """
    scored = rows[rows["nats_per_token"].notna()].fillna({"tokens": 0, "text_id": ""})
    texts = {
        str(run): set(zip(own["text_id"], own["tokens"], strict=True)) for run, own in scored.groupby("run", sort=False)
    }
    return [run for run, own in texts.items() if own.isdisjoint(texts.get(base, own))]


def less(rows: pd.DataFrame, base: str) -> pd.DataFrame:
    """`aligned` rows with each of `MEASURES` less that of `base` at the same x; without `base` itself.

    The losses of `other_texts` have no difference.
    """
    rows = rows.assign(nats_per_token=rows["nats_per_token"].mask(rows["run"].isin(other_texts(rows, base))))
    kept = rows[rows["run"] != base]
    joined = kept.drop(columns=[*MEASURES])
    for column in MEASURES:
        found = differences(rows, column, base).rename(columns={"difference": column})
        joined = joined.merge(found, on=["run", "x", "step"], how="left")
    return joined


def layers_aligned(layers: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `queries.layer_anisotropy` with the `run` and `x` that `aligned` gave the same checkpoints."""
    places = rows[["family", "model", "step", "run", "x"]]
    return layers.merge(places, on=["family", "model", "step"], how="inner").dropna(subset=["x"])


def depth_difference(layers: pd.DataFrame, first: str, second: str, column: str, depths: int = 13) -> pd.DataFrame:
    """Anisotropy of `first` less that of `second` by fraction of training and layer depth: a table for a map.

    layers: `queries.layer_anisotropy` with `run` and `x` (`aligned`). Both are interpolated, linearly in depth and in
    x, on the checkpoints of `first` and on `depths` depths from 0 to 1. Index: depth; columns: x, where both have some.
    """
    grid = np.linspace(0.0, 1.0, depths)
    tables = {}
    for run in (first, second):
        own = layers[(layers["run"] == run) & layers["doubtful"].isna() & layers[column].notna()]
        if own.empty:
            return pd.DataFrame()
        own = own.sort_values(["x", "depth"])
        places, first_row = np.unique(own["x"].to_numpy(dtype=float), return_index=True)
        parts = (np.split(own[name].to_numpy(dtype=float), first_row[1:]) for name in ("depth", column))
        at = {x: np.interp(grid, *rows) for x, rows in zip(places, zip(*parts, strict=True), strict=True)}
        tables[run] = pd.DataFrame(at, index=grid)
    left, right = tables[first], tables[second]
    places = left.columns.to_numpy(dtype=float)
    known = right.columns.to_numpy(dtype=float)
    kept = (places >= known.min()) & (places <= known.max())
    values = np.stack([np.interp(places[kept], known, row) for row in right.to_numpy()])
    return left.loc[:, kept] - values
