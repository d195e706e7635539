"""Heads of lower rank as one table for figures: trained, truncated and the model's own. No torch.

Of the starts and learning rates tried for a rank, those with the lowest validation loss, averaged over seeds, count.
"""

import numpy as np
import pandas as pd

COLUMNS = [
    *("family", "model", "step", "parameters", "hidden_size", "text_name", "tokens", "kind"),
    *("rank", "w_error", "nats_per_token", "accuracy", "init", "learning_rate", "spread"),
]
_RUN = ["family", "model", "step"]


def at_step(rows: pd.DataFrame, step: int) -> pd.DataFrame:
    """The rows of each model's step nearest to `step`; the earlier of two at the same distance."""
    if rows.empty:
        return rows
    steps, shown = rows["step"].to_numpy(), np.zeros(len(rows), dtype=bool)
    for places in rows.groupby(["family", "model"], sort=False).indices.values():
        own = steps[places]
        away = np.abs(own - step)
        shown[places] = own == own[away == away.min()].min()
    return rows[shown]


def trained_beside(trained: pd.DataFrame, truncated: pd.DataFrame, step: int) -> pd.DataFrame:
    """The trained heads of the step that each model is shown at: that of its truncated heads, else its nearest.

    truncated: `at_step` rows. Trained heads of another step are left out, for they would stand beside other weights.
    """
    if trained.empty or truncated.empty:
        return at_step(trained, step)
    steps = truncated.groupby(["family", "model"])["step"].first()
    own = pd.MultiIndex.from_frame(trained[["family", "model"]])
    wanted = pd.Series(steps.reindex(own).to_numpy(), index=trained.index)
    alone = at_step(trained[wanted.isna()], step)
    return pd.concat([trained[trained["step"] == wanted], alone])


def one_text(trained: pd.DataFrame) -> pd.DataFrame:
    """Of each model and step the heads trained on one text and number of tokens: those trained last."""
    if trained.empty:
        return trained
    text = [*_RUN, "text_name", "tokens"]
    last = trained.assign(last=trained.groupby(text, dropna=False)["measured_at"].transform("max"))
    return trained[last["last"] == last.groupby(_RUN)["last"].transform("max")]


def rates(trained: pd.DataFrame) -> pd.DataFrame:
    """One row per (model, step, rank, start, learning rate), means over seeds, and which was chosen for the rank."""
    if trained.empty:
        return trained.assign(chosen=pd.Series(dtype=bool), seeds=pd.Series(dtype=int), spread=pd.Series(dtype=float))
    key = [*_RUN, "rank", "init", "learning_rate"]
    grouped = trained.groupby(key, sort=True, dropna=False)
    numbers = [
        name for name in trained.columns if name.endswith(("nats_per_token", "accuracy", "w_error", "train_steps"))
    ]
    found = grouped[numbers].mean()
    found["spread"] = grouped["nats_per_token"].std(ddof=1)
    found["seeds"] = grouped["seed"].nunique()
    for name in ("parameters", "hidden_size", "text_name", "tokens"):
        found[name] = grouped[name].first()
    found = found.reset_index()
    best = found.groupby([*_RUN, "rank"])["validation_nats_per_token"].idxmin()
    return found.assign(chosen=found.index.isin(best))


def by_rank(trained: pd.DataFrame, truncated: pd.DataFrame) -> pd.DataFrame:
    """One row per (model, step, kind, rank); kind: trained, truncated or own (at the full rank).

    trained, truncated: the queries `trained_heads` and `truncated_heads`. A model with trained heads has its truncated
    ones from the same part of the text, so that the two can be compared; others have those of the whole text.
    """
    full = []
    if len(trained):
        tried = rates(trained)
        chosen = tried[tried["chosen"]]
        same_part = chosen.assign(
            kind="truncated",
            nats_per_token=chosen["truncated_nats_per_token"],
            accuracy=chosen["truncated_accuracy"],
            init=None,
            learning_rate=np.nan,
            spread=np.nan,
        )
        full += [chosen.assign(kind="trained"), same_part, _own(chosen)]
        known = set(zip(chosen["family"], chosen["model"], strict=True))
        pairs = zip(truncated["family"], truncated["model"], strict=True)
        truncated = truncated[np.array([pair not in known for pair in pairs], dtype=bool)]
    if len(truncated):
        full += [truncated.assign(kind="truncated"), _own(truncated)]
    if not full:
        return pd.DataFrame(columns=COLUMNS)
    joined = pd.concat([part.reindex(columns=COLUMNS) for part in full], ignore_index=True)
    order = joined["kind"].map({"trained": 0, "truncated": 1, "own": 2})
    return joined.assign(order=order).sort_values(["parameters", "model", "order", "rank"]).drop(columns="order")


def _own(rows: pd.DataFrame) -> pd.DataFrame:
    """The model's own head: one row a model, at the full rank, where nothing is lost."""
    one = rows.drop_duplicates(_RUN)
    return one.assign(
        kind="own",
        rank=one["hidden_size"],
        w_error=0.0,
        nats_per_token=one["own_nats_per_token"],
        accuracy=one["own_accuracy"],
        init=None,
        learning_rate=np.nan,
        spread=np.nan,
    )
