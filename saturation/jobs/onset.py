"""The verdict on one stored model, for the command line: does a metric get worse and not come back, and the rest?"""

from dataclasses import asdict, dataclass
from typing import Any

from saturation.errors import InputError
from saturation.families import registry
from saturation.jobs import metrics
from saturation.jobs.metrics import Metric
from saturation.jobs.verdict import judge_run, sentences
from saturation.measures.onset import FEWEST, Onset
from saturation.measures.verdict import RunVerdict, Thresholds
from saturation.store import Store, queries


@dataclass(frozen=True)
class Judged:
    """The test of the metric, the whole verdict and its sentences, and how many doubtful checkpoints were left out."""

    metric: Metric
    performance: Onset
    run: RunVerdict
    thresholds: Thresholds
    said: tuple[str, ...]
    doubtful: int


def judge(
    store: Store, family: str, model: str, metric: str = metrics.LOSS, thresholds: Thresholds | None = None
) -> Judged:
    """Judge a model's stored measurements.

    metric: `loss`, ... or `task/metric` of imported evaluations.
    Raises UnknownNameError for a metric, InputError for one of unknown direction and for a model that is not measured
    at enough checkpoints.
    """
    if metric not in metrics.COLUMNS and "/" not in metric:
        raise registry.unknown("metric", metric, list(metrics.COLUMNS))
    chosen, limits = metrics.named(store, family, metric), thresholds or Thresholds()
    curve, along = metrics.curve(store, family, [model], chosen), queries.trajectory(store, family, [model])
    sure = curve[curve["doubtful"].isna()]
    if sure.empty:
        name = f"{family}/{model}"
        first = "import its results" if "/" in metric else f"run `python -m saturation sweep {name}`"
        raise InputError(f"No {metric} of {name} is measured; {first} first.")
    found, doubtful = judge_run(curve, along, chosen, limits)
    if found.performance is None:
        raise InputError(f"A verdict needs at least {FEWEST} checkpoints; {len(sure)} are measured.")
    return Judged(chosen, found.performance, found, limits, tuple(sentences(found, along, chosen.label)), doubtful)


def as_json(found: Judged) -> dict[str, Any]:
    """The command line's JSON."""
    turns = {name: asdict(of.turn) if of.turn else None for name, of in found.run.changes.items()}
    points = {name: list(of.change_points) for name, of in found.run.changes.items()}
    return asdict(found.performance) | {
        "metric": found.metric.name,
        "doubtful_left_out": found.doubtful,
        "turns": turns,
        "change_points": points,
        "order": [{"name": place.name, "step": place.step, "spacing": place.spacing} for place in found.run.order],
        "thresholds": asdict(found.thresholds),
    }


def as_text(found: Judged, name: str) -> str:
    """The same for a reader."""
    onset = found.performance
    since = f"saturated since step {onset.onset_step:,}" if onset.saturated else "not saturated"
    lines = [
        f"{name}: {found.metric.name} {since}",
        f"  best    {onset.best_value:.4f} at step {onset.best_step:,}",
        f"  last    {onset.final_value:.4f}, {100 * onset.degradation:.2f} % worse than the best",
        f"  chance of such a rise in a run that only improves: {onset.p_value:.4f} ({onset.checkpoints} checkpoints)",
        *(f"  {sentence}" for sentence in found.said),
    ]
    if found.doubtful:
        lines.append(f"  {found.doubtful} doubtful checkpoints were left out")
    return "\n".join(lines)
