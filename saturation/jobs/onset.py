"""The verdict on one model: does a metric get worse along training and not come back?"""

from dataclasses import asdict
from typing import Any

from saturation.errors import InputError
from saturation.families import registry
from saturation.measures.onset import Onset, onset
from saturation.store import Store, queries

# Metrics by their name on the command line: the column of the trajectory, and whether higher is better.
METRICS = {
    "loss": ("nats_per_token", False),
    "perplexity": ("perplexity", False),
    "word_perplexity": ("word_perplexity", False),
    "bits_per_byte": ("bits_per_byte", False),
    "accuracy": ("accuracy", True),
}


def judge(store: Store, family: str, model: str, metric: str = "loss") -> tuple[Onset, int]:
    """The verdict on a model's stored measurements, and how many doubtful checkpoints were left out of it.

    Raises UnknownNameError for a metric, InputError for a model that is not measured at enough checkpoints.
    """
    if metric not in METRICS:
        raise registry.unknown("metric", metric, list(METRICS))
    column, higher_is_better = METRICS[metric]
    rows = queries.trajectory(store, family, [model])
    measured = rows[rows[column].notna()]
    sure = measured[measured["doubtful"].isna()].sort_values("step")
    if sure.empty:
        name = f"{family}/{model}"
        raise InputError(f"No {metric} of {name} is measured; run `python -m saturation sweep {name}` first.")
    found = onset(sure["step"].to_numpy(), sure[column].to_numpy(), higher_is_better)
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
