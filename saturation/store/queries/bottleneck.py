"""What was measured of the bottleneck: heads of lower rank, n-gram W-error, the playground."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from saturation.store.queries.parts import CHOSEN, chosen, on_text
from saturation.store.store import Store

TRUNCATED_SERIES = ("nats_per_token", "accuracy", "w_error")
TRAINED_SCALARS = (
    "learning_rate",
    "w_error",
    "nats_per_token",
    "accuracy",
    "validation_nats_per_token",
    "truncated_nats_per_token",
    "truncated_accuracy",
    "own_nats_per_token",
    "own_accuracy",
    "train_steps",
)


def truncated_heads(
    store: Store, family: str, models: Sequence[str] | None = None, text_id: str | None = None
) -> pd.DataFrame:
    """One row per (model, step, rank): the loss with the head cut to that rank, plain and without its row mean.

    own_nats_per_token, own_accuracy: of the checkpoint's own head on the same tokens.
    """
    names = [prefix + name for prefix in ("", "centred_") for name in TRUNCATED_SERIES]
    series = ", ".join(f"any_value(s.\"values\") FILTER (s.name = '{name}') AS {name}" for name in names)
    values = ", ".join(f"{name}[place] AS {name}" for name in names)
    frame = store.frame(
        f"""
        WITH {on_text("truncated_heads")}, wide AS (
            SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.hidden_size, c.doubtful,
                   m.measurement_id, m.tokens,
                   any_value(s."values") FILTER (s.name = 'ranks') AS ranks, {series}
            FROM current_checkpoints c JOIN on_text m USING (checkpoint_id) JOIN series s USING (measurement_id)
            WHERE m.measure = 'truncated_heads' AND {CHOSEN}
            GROUP BY ALL
        )
        SELECT family, model, step, ranks[place]::INTEGER AS rank, {values}, o.value AS own_nats_per_token,
               a.value AS own_accuracy, tokens, parameters, hidden_size, doubtful
        FROM (SELECT *, unnest(range(1, len(ranks) + 1)) AS place FROM wide) w
        LEFT JOIN scalars o ON o.measurement_id = w.measurement_id AND o.name = 'own_nats_per_token'
        LEFT JOIN scalars a ON a.measurement_id = w.measurement_id AND a.name = 'own_accuracy'
        ORDER BY parameters, model, step, rank
        """,
        [text_id, family, *chosen(family, models)],
    )
    return frame.astype(dict.fromkeys([*names, "own_nats_per_token", "own_accuracy"], "float64"))


def trained_heads(store: Store, family: str, models: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per (model, step, text, rank, learning rate, seed) of rank-constrained heads, newest settings first kept.

    Where one was trained under several settings, the one trained last counts.
    """
    picks = ", ".join(f"max(s.value) FILTER (s.name = '{name}') AS {name}" for name in TRAINED_SCALARS)
    frame = store.frame(
        f"""
        WITH runs AS (
            SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.hidden_size, c.doubtful,
                   t.name AS text_name, m.measurement_id, m.tokens, m.measured_at,
                   max(s.value) FILTER (s.name = 'rank')::INTEGER AS rank,
                   max(s.value) FILTER (s.name = 'seed')::INTEGER AS seed, {picks}
            FROM current_checkpoints c JOIN measurements m USING (checkpoint_id) JOIN scalars s USING (measurement_id)
            LEFT JOIN texts t USING (text_id)
            WHERE m.measure = 'trained_head' AND {CHOSEN}
            GROUP BY ALL
        )
        SELECT * FROM runs
        QUALIFY row_number() OVER (
            PARTITION BY family, model, step, text_name, rank, learning_rate, seed ORDER BY measured_at DESC
        ) = 1
        ORDER BY parameters, model, step, rank, learning_rate, seed
        """,
        chosen(family, models),
    )
    return frame.astype(dict.fromkeys(TRAINED_SCALARS, "float64"))


def ngrams(store: Store) -> pd.DataFrame:
    """One row per n-gram matrix: corpus, tokenizer, order, method, sizes; ranks and W-errors as float64 arrays."""
    frame = store.frame("SELECT * FROM ngrams ORDER BY corpus, vocabulary, tokenizer, gram_order, method")
    for column in ("ranks", "w_error", "w_error_low", "w_error_high"):
        arrays = [np.asarray(values, dtype=np.float64) for values in frame[column]]
        frame[column] = pd.Series(arrays, index=frame.index, dtype=object)
    return frame


def playground(store: Store) -> pd.DataFrame:
    """One row per width trained on a language of known rank."""
    return store.frame(
        "SELECT * FROM playground ORDER BY rank, vocab_size, contexts, zipf_exponent, logit_scale, seed, width"
    )
