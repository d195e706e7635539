"""What `heads` prints: one row a rank, with the start and the learning rate that the validation loss chose."""

from typing import Any

import pandas as pd

from saturation.jobs import head_tables
from saturation.jobs.heads import HeadsResult
from saturation.jobs.report import CHECKPOINT_KEYS

TRAINED = {
    "nats_per_token": "trained_loss",
    "accuracy": "trained_accuracy",
    "learning_rate": "learning_rate",
    "init": "init",
    "train_steps": "train_steps",
}


def chosen(result: HeadsResult) -> dict[int, dict[str, Any]]:
    """Of each rank the start and learning rate that the validation loss chose (`head_tables.rates`), with its means."""
    if not result.trained:
        return {}
    row = result.checkpoint
    run = {"family": row.family, "model": row.model, "step": row.step or 0, "text_name": None, "tokens": None}
    run |= {"parameters": row.parameters, "hidden_size": row.hidden_size}
    heads = [run | dict(item.scalars) | {"init": item.labels["init"][0]} for item in result.trained]
    tried = head_tables.rates(pd.DataFrame(heads))
    found = tried[tried["chosen"]].to_dict("records")
    return {int(head["rank"]): {name: head[stored] for stored, name in TRAINED.items()} for head in found}


def rows(result: HeadsResult) -> list[dict[str, Any]]:
    """One row a rank, ascending: losses in nats per token, accuracies as shares."""
    series, trained, found = result.truncated.series, chosen(result), []
    for place, rank in enumerate(int(rank) for rank in series["ranks"]):
        row: dict[str, Any] = {"rank": rank, "w_error": series["w_error"][place]}
        for prefix in ("", "centred_"):
            for name, stored in (("truncated_loss", "nats_per_token"), ("truncated_accuracy", "accuracy")):
                values = series.get(prefix + stored)
                row[prefix + name] = None if values is None else values[place]
        found.append(row | trained.get(rank, dict.fromkeys(TRAINED.values())))
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
