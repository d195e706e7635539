"""Named queries: store -> DataFrame. Each opens the file, reads and closes.

A step that is not known (a model of one checkpoint) reads as 0.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from saturation.store.store import Store

TRAJECTORY_SCALARS = {
    "spectrum": (
        "singular_entropy",
        "centred_singular_entropy",
        "effective_rank",
        "centred_effective_rank",
        "stable_rank",
        "centred_stable_rank",
        "top_share",
        "centred_top_share",
        "condition_number",
    ),
    "anisotropy": (
        "anisotropy",
        "centred_anisotropy",
        "anisotropy_before_norm",
        "centred_anisotropy_before_norm",
    ),
    "loss": (
        "nats_per_token",
        "perplexity",
        "word_perplexity",
        "bits_per_byte",
        "accuracy",
        "floor",
    ),
}
ALIGNMENT_NUMBERS = (
    "ones_alignment",
    "frequency_correlation",
    "centred_ones_alignment",
    "centred_frequency_correlation",
    "correlation_by_chance",
)
# The current measurements on one text and those that need none. The text is the one given, else the one that most of
# the family's checkpoints were measured on, picked by the same query: a second one could see a newer store.
_ON_TEXT = """
chosen_text AS (
    SELECT coalesce(?, (
        SELECT t.text_id
        FROM current_measurements m JOIN current_checkpoints c USING (checkpoint_id) JOIN texts t USING (text_id)
        WHERE c.family = ?
        GROUP BY t.text_id, t.name ORDER BY count(DISTINCT m.checkpoint_id) DESC, t.name, t.text_id LIMIT 1
    )) AS text_id
),
on_text AS (
    SELECT m.* FROM current_measurements m, chosen_text WHERE m.text_id IS NULL OR m.text_id = chosen_text.text_id
)"""
_CHOSEN = "c.family = ? AND (? IS NULL OR list_contains(?, c.model))"


def _list(models: Sequence[str] | None) -> list[str] | None:
    return None if models is None else list(models)


def _chosen(family: str, models: Sequence[str] | None) -> list[object]:
    return [family, None if models is None else 1, _list(models)]


def models(store: Store) -> pd.DataFrame:
    """One row per (family, model): its shape, checkpoints known, with a spectrum, first and last step."""
    return store.frame(
        """
        SELECT c.family, c.model, max(c.parameters) AS parameters, max(c.hidden_size) AS hidden_size,
               max(c.layers) AS layers, max(c.vocab_size) AS vocab_size, count(*) AS checkpoints,
               count(s.checkpoint_id) AS measured,
               min(coalesce(c.step, 0)) AS first_step, max(coalesce(c.step, 0)) AS last_step
        FROM current_checkpoints c
        LEFT JOIN (SELECT DISTINCT checkpoint_id FROM measurements WHERE measure = 'spectrum') s USING (checkpoint_id)
        GROUP BY c.family, c.model ORDER BY c.family, parameters, c.model
        """
    )


def steps(store: Store) -> pd.DataFrame:
    """One row per (family, model, step) that is known to the store, and whether its spectrum is measured."""
    return store.frame(
        """
        SELECT c.family, c.model, coalesce(c.step, 0) AS step, bool_or(m.measure = 'spectrum') AS spectrum
        FROM current_checkpoints c JOIN measurements m USING (checkpoint_id) GROUP BY ALL
        """
    )


def evaluated(store: Store) -> pd.DataFrame:
    """One row per (family, model) with imported evaluations: tasks, steps evaluated, first and last step."""
    return store.frame(
        """
        SELECT family, model, count(DISTINCT task) AS tasks, count(DISTINCT step) AS steps,
               min(step) AS first_step, max(step) AS last_step
        FROM evaluations GROUP BY family, model ORDER BY family, model
        """
    )


def metrics(store: Store, family: str) -> pd.DataFrame:
    """One row per task and metric imported for a family: models, steps, whether higher is better; the fullest first."""
    return store.frame(
        """
        SELECT task, metric, any_value(higher_is_better) AS higher_is_better,
               count(DISTINCT model) AS models, count(DISTINCT (model, step)) AS steps
        FROM evaluations WHERE family = ? GROUP BY task, metric ORDER BY steps DESC, task, metric
        """,
        [family],
    )


def evaluations(
    store: Store, family: str, models: Sequence[str] | None = None, task: str | None = None, metric: str | None = None
) -> pd.DataFrame:
    """One row per (model, step, task, metric, shots) of what was imported, with its provenance and doubt."""
    return store.frame(
        f"""
        SELECT c.*, d.reason AS doubtful FROM evaluations c
        LEFT JOIN doubts d ON d.family = c.family AND d.model = c.model AND d.step = c.step
        WHERE {_CHOSEN} AND (? IS NULL OR c.task = ?) AND (? IS NULL OR c.metric = ?)
        ORDER BY c.model, c.task, c.metric, c.shots, c.step
        """,
        [*_chosen(family, models), task, task, metric, metric],
    )


def content_ids(store: Store, family: str, model: str) -> dict[int, str]:
    """Content id of the weights by step, of the checkpoints that the store knows."""
    frame = store.frame(
        f"SELECT coalesce(c.step, 0) AS step, c.content_id FROM current_checkpoints c WHERE {_CHOSEN} ORDER BY step",
        _chosen(family, [model]),
    )
    return {int(step): str(content) for step, content in zip(frame["step"], frame["content_id"], strict=True)}


def head_shapes(store: Store, family: str, model: str) -> dict[int, tuple[int, int]]:
    """Shape (vocab_size, hidden_size) of the head by step, of the checkpoints that the store knows."""
    frame = store.frame(
        f"SELECT coalesce(c.step, 0) AS step, c.vocab_size, c.hidden_size FROM current_checkpoints c WHERE {_CHOSEN}",
        _chosen(family, [model]),
    )
    rows = frame.itertuples(index=False, name=None)
    return {int(step): (int(vocab_size), int(hidden_size)) for step, vocab_size, hidden_size in rows}


def texts(store: Store, family: str) -> pd.DataFrame:
    """The texts that a family was measured on, the most used first."""
    return store.frame(
        """
        SELECT t.text_id, t.name, t.source, max(m.tokens) AS tokens, count(DISTINCT m.checkpoint_id) AS checkpoints
        FROM current_measurements m JOIN current_checkpoints c USING (checkpoint_id) JOIN texts t USING (text_id)
        WHERE c.family = ? GROUP BY t.text_id, t.name, t.source ORDER BY checkpoints DESC, t.name, t.text_id
        """,
        [family],
    )


def trajectory(
    store: Store, family: str, models: Sequence[str] | None = None, text_id: str | None = None
) -> pd.DataFrame:
    """One row per (family, model, step) with every scalar along training; NaN where not measured.

    text_id: which text the loss and the anisotropy are of; the family's most used one when None.
    """
    picks = ",\n".join(
        f"max(s.value) FILTER (m.measure = '{measure}' AND s.name = '{name}') AS {name}"
        for measure, names in TRAJECTORY_SCALARS.items()
        for name in names
    )
    frame = store.frame(
        f"""
        WITH {_ON_TEXT}
        SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.hidden_size, c.layers, c.vocab_size,
               c.revision, c.doubtful, {picks},
               max(m.tokens) FILTER (m.measure = 'loss') AS tokens, any_value(m.text_id) AS text_id,
               any_value(t.name) AS text_name, any_value(m.dtype) FILTER (m.measure = 'loss') AS dtype
        FROM current_checkpoints c
        LEFT JOIN on_text m ON m.checkpoint_id = c.checkpoint_id
        LEFT JOIN scalars s USING (measurement_id)
        LEFT JOIN texts t ON t.text_id = m.text_id
        WHERE {_CHOSEN}
        GROUP BY c.family, c.model, c.step, c.parameters, c.hidden_size, c.layers, c.vocab_size, c.revision,
                 c.doubtful
        ORDER BY c.parameters, c.model, step
        """,
        [text_id, family, *_chosen(family, models)],
    )
    names = [name for group in TRAJECTORY_SCALARS.values() for name in group]
    return frame.astype(dict.fromkeys(names, "float64"))


def spectra(store: Store, family: str, model: str) -> pd.DataFrame:
    """One row per step: singular_values and centred_singular_values as descending float64 arrays."""
    frame = store.frame(
        f"""
        SELECT coalesce(c.step, 0) AS step, c.doubtful,
               any_value(s."values") FILTER (s.name = 'singular_values') AS singular_values,
               any_value(s."values") FILTER (s.name = 'centred_singular_values') AS centred_singular_values
        FROM current_checkpoints c JOIN current_measurements m USING (checkpoint_id)
        JOIN series s USING (measurement_id)
        WHERE m.measure = 'spectrum' AND {_CHOSEN}
        GROUP BY c.step, c.doubtful ORDER BY step
        """,
        _chosen(family, [model]),
    )
    for column in ("singular_values", "centred_singular_values"):
        arrays = [np.asarray(values, dtype=np.float64) for values in frame[column]]
        frame[column] = pd.Series(arrays, index=frame.index, dtype=object)
    return frame


def layer_anisotropy(
    store: Store, family: str, models: Sequence[str] | None = None, text_id: str | None = None
) -> pd.DataFrame:
    """One row per (model, step, layer): anisotropy, plain and centred; depth is layer / layers, in [0, 1]."""
    return store.frame(
        f"""
        WITH {_ON_TEXT}, wide AS (
            SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.doubtful,
                   any_value(s."values") FILTER (s.name = 'layers') AS plain,
                   any_value(s."values") FILTER (s.name = 'centred_layers') AS centred
            FROM current_checkpoints c JOIN on_text m USING (checkpoint_id) JOIN series s USING (measurement_id)
            WHERE m.measure = 'anisotropy' AND {_CHOSEN}
            GROUP BY c.family, c.model, c.step, c.parameters, c.doubtful
        )
        SELECT family, model, step, parameters, len(plain) - 1 AS layers, layer::INTEGER AS layer,
               layer / (len(plain) - 1) AS depth, plain[layer + 1] AS anisotropy,
               centred[layer + 1] AS centred_anisotropy, doubtful
        FROM (SELECT *, unnest(range(len(plain))) AS layer FROM wide)
        ORDER BY parameters, model, step, layer
        """,
        [text_id, family, *_chosen(family, models)],
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
        WITH {_ON_TEXT}, wide AS (
            SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.doubtful, m.measurement_id, {series}
            FROM current_checkpoints c JOIN on_text m USING (checkpoint_id) JOIN series s USING (measurement_id)
            WHERE m.measure = 'alignment' AND {_CHOSEN}
            GROUP BY c.family, c.model, c.step, c.parameters, c.doubtful, m.measurement_id
        )
        SELECT family, model, step, rank::INTEGER AS rank, {values}, n.value::BIGINT AS tokens_seen,
               b.value AS correlation_by_chance, parameters, doubtful
        FROM (SELECT *, unnest(range(1, len(ones_alignment) + 1)) AS rank FROM wide) w
        LEFT JOIN scalars n ON n.measurement_id = w.measurement_id AND n.name = 'tokens_seen'
        LEFT JOIN scalars b ON b.measurement_id = w.measurement_id AND b.name = 'correlation_by_chance'
        ORDER BY parameters, model, step, rank
        """,
        [text_id, family, *_chosen(family, models)],
    )
    return frame.astype(dict.fromkeys(ALIGNMENT_NUMBERS, "float64"))


def top_tokens(store: Store, family: str, model: str, step: int, text_id: str | None = None) -> pd.DataFrame:
    """The tokens at both ends of the head's leading left singular vectors: rank from 1, centred or not, side, place.

    place counts from 1, the largest entry of `top` and the most negative of `bottom`.
    """
    return store.frame(
        f"""
        WITH {_ON_TEXT}, measured AS (
            SELECT m.measurement_id
            FROM current_checkpoints c JOIN on_text m USING (checkpoint_id)
            WHERE m.measure = 'alignment' AND coalesce(c.step, 0) = ? AND {_CHOSEN}
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
        [text_id, family, step, *_chosen(family, [model])],
    )


def provenance(store: Store, family: str, models: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per measurement: what it was drawn from, and when, how and how long it was measured."""
    return store.frame(
        f"""
        SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.source, c.revision,
               c.commit_sha, c.content_id, c.weight_bytes, m.measure, m.version, m.text_id,
               t.name AS text_name, m.dtype, m.tokens, m.context_length, m.device, m.measured_at,
               m.seconds, m.bytes_read, m.software
        FROM current_checkpoints c JOIN current_measurements m USING (checkpoint_id)
        LEFT JOIN texts t USING (text_id)
        WHERE {_CHOSEN} ORDER BY c.parameters, c.model, step, m.measure
        """,
        _chosen(family, models),
    )
