"""What the leading directions of the head point at."""

from collections.abc import Sequence

import pandas as pd

from saturation.store.queries.parts import CHOSEN, ON_TEXT, chosen
from saturation.store.store import Store

ALIGNMENT_NUMBERS = (
    "ones_alignment",
    "frequency_correlation",
    "centred_ones_alignment",
    "centred_frequency_correlation",
    "correlation_by_chance",
)


def alignment(
    store: Store, family: str, models: Sequence[str] | None = None, text_id: str | None = None
) -> pd.DataFrame:
    """One row per (model, step, rank from 1) of the head's leading left singular vectors; NaN where there is no number.

    tokens_seen: different tokens in the text; correlation_by_chance: the 99 % bound for as many pairs.
    """
    series = ", ".join(
        f"any_value(s.\"values\") FILTER (s.name = '{prefix}{name}') AS {prefix}{name}"
        for prefix in ("", "centred_")
        for name in ("ones_alignment", "frequency_correlation", "frequency_ranks")
    )
    values = ", ".join(
        f"{prefix}ones_alignment[rank] AS {prefix}ones_alignment, {prefix}frequency_correlation"
        f"[list_position({prefix}frequency_ranks, rank)] AS {prefix}frequency_correlation"
        for prefix in ("", "centred_")
    )
    frame = store.frame(
        f"""
        WITH {ON_TEXT}, wide AS (
            SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.doubtful, m.measurement_id, {series}
            FROM current_checkpoints c JOIN on_text m USING (checkpoint_id) JOIN series s USING (measurement_id)
            WHERE m.measure = 'alignment' AND {CHOSEN}
            GROUP BY c.family, c.model, c.step, c.parameters, c.doubtful, m.measurement_id
        )
        SELECT family, model, step, rank::INTEGER AS rank, {values}, n.value::BIGINT AS tokens_seen,
               b.value AS correlation_by_chance, parameters, doubtful
        FROM (SELECT *, unnest(range(1, len(ones_alignment) + 1)) AS rank FROM wide) w
        LEFT JOIN scalars n ON n.measurement_id = w.measurement_id AND n.name = 'tokens_seen'
        LEFT JOIN scalars b ON b.measurement_id = w.measurement_id AND b.name = 'correlation_by_chance'
        ORDER BY parameters, model, step, rank
        """,
        {"text_id": text_id, **chosen(family, models)},
    )
    return frame.astype(dict.fromkeys(ALIGNMENT_NUMBERS, "float64"))


def top_tokens(store: Store, family: str, model: str, step: int, text_id: str | None = None) -> pd.DataFrame:
    """The tokens at both ends of the head's leading left singular vectors: rank from 1, centred or not, side, place.

    place counts from 1, the largest entry of `top` and the most negative of `bottom`.
    """
    return store.frame(
        f"""
        WITH {ON_TEXT}, measured AS (
            SELECT m.measurement_id
            FROM current_checkpoints c JOIN on_text m USING (checkpoint_id)
            WHERE m.measure = 'alignment' AND coalesce(c.step, 0) = $step AND {CHOSEN}
        ), flat AS (
            SELECT l.name, l."values" AS tokens, i."values" AS ids, e."values" AS entries,
                   len(l."values") // len(o."values") AS places, unnest(range(len(l."values"))) AS n
            FROM measured m JOIN labels l USING (measurement_id), series i, series e, series o
            WHERE i.measurement_id = m.measurement_id AND i.name = replace(l.name, 'tokens', 'ids')
              AND e.measurement_id = m.measurement_id AND e.name = replace(l.name, 'tokens', 'entries')
              AND o.measurement_id = m.measurement_id
              AND o.name = if(starts_with(l.name, 'centred_'), 'centred_ones_alignment', 'ones_alignment')
        )
        SELECT (n // places + 1)::INTEGER AS rank, starts_with(name, 'centred_') AS centred,
               if(contains(name, 'top_'), 'top', 'bottom') AS side, (n % places + 1)::INTEGER AS place,
               tokens[n + 1] AS token, ids[n + 1]::BIGINT AS token_id, entries[n + 1] AS entry
        FROM flat ORDER BY centred, rank, side DESC, place
        """,
        {"text_id": text_id, "step": step, **chosen(family, [model])},
    )
