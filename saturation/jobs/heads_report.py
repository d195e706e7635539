"""What `heads` prints: one row a rank, with the start and the learning rate that the validation loss chose."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from saturation.jobs.heads import HeadsResult
from saturation.jobs.report import CHECKPOINT_KEYS
from saturation.store import Measurement

Chosen = tuple[str, float]


def best(trained: Sequence[Measurement]) -> Chosen:
    """Of trained heads of one rank, the start and the learning rate of the least validation loss, a mean over seeds."""
    losses: dict[Chosen, list[float]] = defaultdict(list)
    for item in trained:
        losses[_how(item)].append(item.scalars["validation_nats_per_token"])
    return min(losses, key=lambda how: statistics.fmean(losses[how]))


def _how(item: Measurement) -> Chosen:
    return item.labels["init"][0], item.scalars["learning_rate"]


def _trained(trained: Sequence[Measurement]) -> dict[str, Any]:
    """Means over the seeds at the chosen start and rate; null where no head was trained."""
    if not trained:
        return dict.fromkeys(("trained_loss", "trained_accuracy", "learning_rate", "init", "train_steps"))
    chosen = best(trained)
    kept = [item.scalars for item in trained if _how(item) == chosen]
    return {
        "trained_loss": statistics.fmean(scalars["nats_per_token"] for scalars in kept),
        "trained_accuracy": statistics.fmean(scalars["accuracy"] for scalars in kept),
        "learning_rate": chosen[1],
        "init": chosen[0],
        "train_steps": statistics.fmean(scalars["train_steps"] for scalars in kept),
    }


def rows(result: HeadsResult) -> list[dict[str, Any]]:
    """One row a rank, ascending: losses in nats per token, accuracies as shares."""
    series, found = result.truncated.series, []
    for place, rank in enumerate(int(rank) for rank in series["ranks"]):
        of_rank = [item for item in result.trained if item.scalars["rank"] == rank]
        row: dict[str, Any] = {"rank": rank, "w_error": series["w_error"][place]}
        for prefix in ("", "centred_"):
            for name, stored in (("truncated_loss", "nats_per_token"), ("truncated_accuracy", "accuracy")):
                values = series.get(prefix + stored)
                row[prefix + name] = None if values is None else values[place]
        found.append(row | _trained(of_rank))
    return found


def as_json(result: HeadsResult) -> dict[str, Any]:
    """One JSON-ready object. `trained` holds every head, whichever rate was chosen."""
    text = result.truncated.text
    return {
        "checkpoint": {key: getattr(result.checkpoint, key) for key in CHECKPOINT_KEYS},
        "own_loss": result.truncated.scalars["own_nats_per_token"],
        "own_accuracy": result.truncated.scalars["own_accuracy"],
        "rows": rows(result),
        "trained": [dict(item.scalars) | {"init": item.labels["init"][0]} for item in result.trained],
        "text": text.name if text else None,
        "tokens": result.truncated.tokens,
        "computed": result.computed,
        "seconds": result.truncated.seconds + sum(item.seconds for item in result.trained),
    }


def as_text(result: HeadsResult) -> str:
    """The same for a reader."""
    row, own = result.checkpoint, result.truncated.scalars
    step = "" if row.step is None else f" at step {row.step:,}"
    lines = [
        f"{row.family}/{row.model}{step}: {own['own_nats_per_token']:.4f} nats/token and "
        f"{100 * own['own_accuracy']:.2f} % with its own head, on {result.truncated.tokens:,} tokens",
        "  rank  W-error  truncated            centred     trained              learning rate, start",
    ]
    for found in rows(result):
        centred, trained, rate = found["centred_truncated_loss"], found["trained_loss"], found["learning_rate"]
        lines.append(
            f"  {found['rank']:>4}  {found['w_error']:.4f}   {found['truncated_loss']:.4f}  "
            f"{100 * found['truncated_accuracy']:6.2f} %    "
            + (f"{centred:.4f}" if centred is not None else "     -")
            + (
                f"      {trained:.4f}  {100 * found['trained_accuracy']:6.2f} %    {rate:.2g} {found['init']}"
                if trained
                else ""
            )
        )
    return "\n".join(lines)
