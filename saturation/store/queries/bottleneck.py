"""What was measured of the bottleneck: heads of lower rank, n-gram W-error, the playground."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from saturation.store.queries.parts import CHOSEN, OWN, chosen, on_text
from saturation.store.store import Store

TRUNCATED_SERIES = ("nats_per_token", "accuracy", "w_error")
TRAINED_SCALARS = (
    "learning_rate",
    "w_error",
    "nats_per_token",
    "accuracy",
    "validation_nats_per_token",
    "train_steps",
)
# Of the same checkpoint, text and tokens: the head cut to the same rank, and the whole one.
BESIDE = ("truncated_nats_per_token", "truncated_accuracy", "own_nats_per_token", "own_accuracy")


def truncated_heads(
    store: Store, family: str, models: Sequence[str] | None = None, text_id: str | None = None
) -> pd.DataFrame:
    """One row per (model, step, rank): the loss with the head cut to that rank, plain and without its row mean.

    own_nats_per_token, own_accuracy: of the checkpoint's own head on the same tokens. Of several lists of ranks the
    newest value of each rank counts, of several amounts of a text the largest.
    """
    names = [prefix + name for prefix in ("", "centred_") for name in TRUNCATED_SERIES]
    series = ", ".join(f"any_value(s.\"values\") FILTER (s.name = '{name}') AS {name}" for name in names)
    values = ", ".join(f"{name}[place] AS {name}" for name in names)
    frame = store.frame(
        f"""
        WITH {on_text("truncated_heads")}, whole AS (
            SELECT m.* FROM measurements m, chosen_text
            WHERE m.measure = 'truncated_heads' AND m.text_id = chosen_text.text_id
            QUALIFY m.tokens = max(m.tokens) OVER (PARTITION BY m.checkpoint_id)
        ), wide AS (
            SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.hidden_size, c.doubtful,
                   m.measurement_id, m.tokens, m.version, m.measured_at, m.written,
                   any_value(s."values") FILTER (s.name = 'ranks') AS ranks, {series}
            FROM current_checkpoints c JOIN whole m USING (checkpoint_id) JOIN series s USING (measurement_id)
            WHERE {CHOSEN}
            GROUP BY ALL
        ), listed AS (
            SELECT family, model, step, ranks[place]::INTEGER AS rank, {values}, tokens, parameters, hidden_size,
                   doubtful, measurement_id, version, measured_at, written
            FROM (SELECT *, unnest(range(1, len(ranks) + 1)) AS place FROM wide)
        ), newest AS (
            SELECT * FROM listed
            QUALIFY row_number() OVER (
                PARTITION BY family, model, step, rank ORDER BY version DESC, written DESC NULLS LAST, measured_at DESC
            ) = 1
        )
        SELECT w.* EXCLUDE (measurement_id, version, measured_at, written), o.value AS own_nats_per_token,
               a.value AS own_accuracy
        FROM newest w
        LEFT JOIN scalars o ON o.measurement_id = w.measurement_id AND o.name = 'own_nats_per_token'
        LEFT JOIN scalars a ON a.measurement_id = w.measurement_id AND a.name = 'own_accuracy'
        ORDER BY parameters, model, step, rank
        """,
        {"text_id": text_id, **chosen(family, models)},
    )
    return frame.astype(dict.fromkeys([*names, "own_nats_per_token", "own_accuracy"], "float64"))


def trained_heads(store: Store, family: str, models: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per (model, step, text, rank, start, learning rate, seed) of rank-constrained heads.

    Where one was trained under several settings, the one trained last counts. truncated_*, own_*: of the head cut to
    the same rank and of the whole head, on the same part of the text; NaN where that was not measured.
    """
    picks = ", ".join(f"max(s.value) FILTER (s.name = '{name}') AS {name}" for name in TRAINED_SCALARS)
    cut = ", ".join(
        f"unnest(any_value(s.\"values\") FILTER (s.name = '{name}')) AS {column}"
        for name, column in (("ranks", "rank"), ("nats_per_token", "nats"), ("accuracy", "accuracy"))
    )
    frame = store.frame(
        f"""
        WITH {OWN}, runs AS (
            SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.hidden_size, c.doubtful,
                   c.checkpoint_id, m.text_id, t.name AS text_name, m.measurement_id, m.tokens, m.measured_at,
                   m.written,
                   max(s.value) FILTER (s.name = 'rank')::INTEGER AS rank,
                   max(s.value) FILTER (s.name = 'seed')::INTEGER AS seed,
                   any_value(l."values"[1]) AS init, {picks}
            FROM current_checkpoints c JOIN measurements m USING (checkpoint_id) JOIN scalars s USING (measurement_id)
            LEFT JOIN labels l ON l.measurement_id = m.measurement_id AND l.name = 'init'
            LEFT JOIN texts t USING (text_id)
            WHERE m.measure = 'trained_head' AND {CHOSEN}
            GROUP BY ALL
        ),
        kept AS (
            SELECT * FROM runs
            QUALIFY row_number() OVER (
                PARTITION BY checkpoint_id, text_id, tokens, rank, init, learning_rate, seed
                ORDER BY written DESC NULLS LAST, measured_at DESC
            ) = 1
        ),
        whole AS (
            SELECT m.measurement_id, m.checkpoint_id, m.text_id, m.tokens, m.version,
                   max(s.value) FILTER (s.name = 'own_nats_per_token') AS own_nats_per_token,
                   max(s.value) FILTER (s.name = 'own_accuracy') AS own_accuracy
            FROM measurements m JOIN scalars s USING (measurement_id)
            WHERE m.measure = 'truncated_heads' GROUP BY ALL
        ),
        cut AS (
            SELECT m.checkpoint_id, m.text_id, m.tokens, m.version, {cut}
            FROM measurements m JOIN series s USING (measurement_id)
            WHERE m.measure = 'truncated_heads'
            GROUP BY m.measurement_id, m.checkpoint_id, m.text_id, m.tokens, m.version
        )
        SELECT r.* EXCLUDE (checkpoint_id, text_id), arg_max(cut.nats, cut.version) AS truncated_nats_per_token,
               arg_max(cut.accuracy, cut.version) AS truncated_accuracy,
               arg_max(w.own_nats_per_token, w.version) AS own_nats_per_token,
               arg_max(w.own_accuracy, w.version) AS own_accuracy
        FROM kept r
        LEFT JOIN whole w ON w.checkpoint_id = r.checkpoint_id AND w.text_id = r.text_id AND w.tokens = r.tokens
        LEFT JOIN cut ON cut.checkpoint_id = r.checkpoint_id AND cut.text_id = r.text_id AND cut.tokens = r.tokens
                     AND cut.rank = r.rank
        GROUP BY ALL
        ORDER BY parameters, model, step, r.rank, init, learning_rate, seed
        """,
        chosen(family, models),
    )
    return frame.astype(dict.fromkeys([*TRAINED_SCALARS, *BESIDE], "float64"))


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
