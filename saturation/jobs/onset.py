"""The verdict on one model: does a metric get worse along training and not come back?"""

from dataclasses import asdict
from typing import Any

from saturation.errors import InputError
from saturation.families import registry
from saturation.jobs import metrics
from saturation.measures.onset import Onset, onset
from saturation.store import Store


def judge(store: Store, family: str, model: str, metric: str = "loss") -> tuple[Onset, int]:
    """The verdict on a model's stored measurements, and how many doubtful checkpoints were left out of it.

    metric: `loss`, ... or `task/metric` of imported evaluations.
    Raises UnknownNameError for a metric, InputError for one of unknown direction and for a model that is not measured
    at enough checkpoints.
    """
    if metric not in metrics.COLUMNS and "/" not in metric:
        raise registry.unknown("metric", metric, list(metrics.COLUMNS))
    chosen = metrics.named(store, family, metric)
    if chosen.higher_is_better is None:
        raise InputError(f"Nothing states whether a higher {chosen.name} is better; choose another metric.")
    measured = metrics.curve(store, family, [model], chosen)
    sure = measured[measured["doubtful"].isna()].sort_values("step")
    if sure.empty:
        name = f"{family}/{model}"
        first = "import its results" if "/" in metric else f"run `python -m saturation sweep {name}`"
        raise InputError(f"No {metric} of {name} is measured; {first} first.")
    found = onset(sure["step"].to_numpy(), sure["value"].to_numpy(), chosen.higher_is_better)
    return found, len(measured) - len(sure)


def as_json(found: Onset, doubtful: int) -> dict[str, Any]:
    """The command line's JSON."""
    return asdict(found) | {"doubtful_left_out": doubtful}


def as_text(found: Onset, doubtful: int, name: str, metric: str) -> str:
    """The same for a reader."""
    since = f"saturated since step {found.onset_step:,}" if found.saturated else "not saturated"
    lines = [
        f"{name}: {metric} {since}",
        f"  best    {found.best_value:.4f} at step {found.best_step:,}",
        f"  last    {found.final_value:.4f}, {100 * found.degradation:.2f} % worse than the best",
        f"  chance of such a rise in a run that only improves: {found.p_value:.3f} ({found.checkpoints} checkpoints)",
    ]
    if doubtful:
        lines.append(f"  {doubtful} doubtful checkpoints were left out")
    return "\n".join(lines)
