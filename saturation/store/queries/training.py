"""What was measured along training: scalars, spectra, anisotropy by layer."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from saturation.store.queries.parts import CHOSEN, ON_TEXT, OWN_MODEL, chosen
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


def trajectory(
    store: Store, family: str, models: Sequence[str] | None = None, text_id: str | None = None
) -> pd.DataFrame:
    """One row per (family, model, step) with every scalar along training; NaN where not measured.

    text_id: which text the loss and the anisotropy are of; the family's most used one when None.
    """
    if not store.path.exists():
        store.ensure()
    whole = _trajectory(store, store.signature(), family, text_id)
    if models is None:
        return whole.copy(deep=False)
    return whole[whole["model"].isin(list(models))].reset_index(drop=True)


# One model's takes nearly as long as the family's, and a page asks for both, several times.
@lru_cache(maxsize=8)
def _trajectory(store: Store, signature: tuple[int, ...], family: str, text_id: str | None) -> pd.DataFrame:
    picks = ",\n".join(
        f"max(s.value) FILTER (m.measure = '{measure}' AND s.name = '{name}') AS {name}"
        for measure, names in TRAJECTORY_SCALARS.items()
        for name in names
    )
    frame = store.frame(
        f"""
        WITH {ON_TEXT}
        SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.hidden_size, c.layers, c.vocab_size,
               c.revision, c.doubtful, {picks},
               max(m.tokens) FILTER (m.measure = 'loss') AS tokens, any_value(m.text_id) AS text_id,
               any_value(t.name) AS text_name, any_value(m.dtype) FILTER (m.measure = 'loss') AS dtype
        FROM current_checkpoints c
        LEFT JOIN on_text m ON m.checkpoint_id = c.checkpoint_id
        LEFT JOIN scalars s USING (measurement_id)
        LEFT JOIN texts t ON t.text_id = m.text_id
        GROUP BY c.family, c.model, c.step, c.parameters, c.hidden_size, c.layers, c.vocab_size, c.revision,
                 c.doubtful
        ORDER BY c.parameters, c.model, step
        """,
        {"text_id": text_id, "family": family},
    )
    names = [name for group in TRAJECTORY_SCALARS.values() for name in group]
    return frame.astype(dict.fromkeys(names, "float64"))


def forget() -> None:
    """Read again what is asked for next: for those who time it."""
    _trajectory.cache_clear()


def spectra(store: Store, family: str, model: str) -> pd.DataFrame:
    """One row per step: singular_values and centred_singular_values as descending float64 arrays."""
    held = store.frame(
        f"""
        WITH {OWN_MODEL}, places AS MATERIALIZED (  -- where the values lie: those of other models are not even unpacked
            SELECT c.step, c.doubtful, m.measurement_id, s.rowid AS place
            FROM current_checkpoints c JOIN current_measurements m USING (checkpoint_id)
            JOIN main.series s USING (measurement_id)
            WHERE m.measure = 'spectrum' AND s.of_family = $family
        )
        SELECT coalesce(p.step, 0) AS step, p.doubtful, s.name, p.measurement_id, s."values" AS singular_values
        FROM places p JOIN main.series s ON s.rowid = p.place
        WHERE s.name IN ('singular_values', 'centred_singular_values') ORDER BY 1
        """,
        {"family": family, "model": model},
    )
    # Brought side by side here: the database takes as long to do so with long lists as for all the rest.
    centred = held["name"] == "centred_singular_values"
    beside = dict(zip(held.loc[centred, "measurement_id"], held.loc[centred, "singular_values"], strict=True))
    frame = held[~centred].reset_index(drop=True)
    frame["centred_singular_values"] = [beside.get(key) for key in frame["measurement_id"]]
    frame = frame[["step", "doubtful", "singular_values", "centred_singular_values"]]
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
        WITH {ON_TEXT}, wide AS (
            SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.doubtful,
                   any_value(s."values") FILTER (s.name = 'layers') AS plain,
                   any_value(s."values") FILTER (s.name = 'centred_layers') AS centred
            FROM current_checkpoints c JOIN on_text m USING (checkpoint_id) JOIN series s USING (measurement_id)
            WHERE m.measure = 'anisotropy' AND {CHOSEN}
            GROUP BY c.family, c.model, c.step, c.parameters, c.doubtful
        )
        SELECT family, model, step, parameters, len(plain) - 1 AS layers, layer::INTEGER AS layer,
               layer / (len(plain) - 1) AS depth, plain[layer + 1] AS anisotropy,
               centred[layer + 1] AS centred_anisotropy, doubtful
        FROM (SELECT *, unnest(range(len(plain))) AS layer FROM wide)
        ORDER BY parameters, model, step, layer
        """,
        {"text_id": text_id, **chosen(family, models)},
    )
