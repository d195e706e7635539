"""The line under a figure: what it was drawn from. Pure: a provenance frame in, a sentence out."""

import pandas as pd

from saturation.figures import labels
from saturation.ui.words import inert

MEASURES = {"spectrum": "spectrum", "anisotropy": "anisotropy", "loss": "loss", "alignment": "alignment"}
TOLD = ["family", "model", "step", "measure", "version", "text_name", "tokens", "dtype", "measured_at"]


def line(provenance: pd.DataFrame, measures: tuple[str, ...], models: tuple[str, ...]) -> str:
    """Checkpoints, text, tokens, dtype, measure versions and date of the measurements a figure shows."""
    rows = provenance.loc[provenance["measure"].isin(measures) & provenance["model"].isin(models), TOLD]
    if rows.empty:
        return "Nothing measured yet."
    family = rows["family"].iloc[0]
    named = list(rows["model"].unique())
    who = f"{family}/{named[0]}" if len(named) == 1 else f"{family}: {', '.join(named)}"
    checkpoints = len(set(zip(rows["model"], rows["step"], strict=True)))
    parts = [
        f"{who} · {checkpoints} checkpoint{'s' if checkpoints != 1 else ''}, steps "
        f"{labels.step(rows['step'].min())}–{labels.step(rows['step'].max())}"
        if checkpoints > 1
        else f"{who} · 1 checkpoint, step {labels.step(rows['step'].iloc[0])}"
    ]
    texts = rows["text_name"].dropna()
    if not texts.empty:
        tokens = rows.loc[texts.index, "tokens"].dropna()
        amount = f", {labels.step(tokens.max())} tokens" if not tokens.empty else ""
        parts.append(f"text {', '.join(texts.unique())}{amount}")
    parts.append(", ".join(rows["dtype"].dropna().unique()))
    versions: dict[str, list[str]] = {}
    for measure, version in dict.fromkeys(zip(rows["measure"], rows["version"], strict=True)):
        versions.setdefault(measure, []).append(str(version))
    parts.append(", ".join(f"{measure} v{'/'.join(held)}" for measure, held in versions.items()))
    parts.append(f"measured {_days(rows['measured_at'])}")
    return inert(" · ".join(part for part in parts if part))


def of_metric(measured: pd.DataFrame, imported: pd.DataFrame, metric: str, models: tuple[str, ...]) -> str:
    """The line of a metric: of measurements here, or of imported evaluations (`queries.evaluations`)."""
    task, _, name = metric.rpartition("/")
    if not task:
        return line(measured, ("loss",), models)
    rows = imported[(imported["task"] == task) & (imported["metric"] == name) & imported["model"].isin(models)]
    if rows.empty:
        return "Nothing imported yet."
    steps = rows["step"].nunique()
    shots = ", ".join(str(count) for count in sorted(rows["shots"].unique()))
    parts = [
        f"{rows['family'].iloc[0]}: {', '.join(rows['model'].unique())} · {len(rows)} imported results at {steps} "
        f"step{'s' if steps != 1 else ''}, {labels.step(rows['step'].min())}–{labels.step(rows['step'].max())}",
        f"{task}, {shots} examples in the prompt",
        ", ".join(rows["harness"].unique()),
        f"imported {_days(rows['imported_at'])}",
    ]
    return inert(" · ".join(parts))


def _days(moments: pd.Series) -> str:
    times = pd.to_datetime(moments, errors="coerce", utc=True).dropna()
    if times.empty:
        return "at an unknown time"
    first, last = times.min().date().isoformat(), times.max().date().isoformat()
    return first if first == last else f"{first} to {last}"
