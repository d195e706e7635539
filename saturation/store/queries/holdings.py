"""What the store holds: models, steps, evaluations, texts, and where every number came from."""

from collections.abc import Sequence

import pandas as pd

from saturation.store.queries.parts import CHOSEN, OWN, OWN_MODEL, chosen
from saturation.store.store import Store


def models(store: Store) -> pd.DataFrame:
    """One row per (family, model): its shape, checkpoints known, with a spectrum, first and last step."""
    return store.frame("SELECT * FROM models ORDER BY family, parameters, model")


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
        WHERE {CHOSEN} AND c.task = coalesce($task, c.task) AND c.metric = coalesce($metric, c.metric)
        ORDER BY c.model, c.task, c.metric, c.shots, c.step
        """,
        {**chosen(family, models), "task": task, "metric": metric},
    )


def content_ids(store: Store, family: str, model: str) -> dict[int, str]:
    """Content id of the weights by step, of the checkpoints that the store knows."""
    frame = store.frame(
        f"WITH {OWN_MODEL} SELECT coalesce(step, 0) AS step, content_id FROM current_checkpoints ORDER BY step",
        {"family": family, "model": model},
    )
    return {int(step): str(content) for step, content in zip(frame["step"], frame["content_id"], strict=True)}


def head_shapes(store: Store, family: str, model: str) -> dict[int, tuple[int, int]]:
    """Shape (vocab_size, hidden_size) of the head by step, of the checkpoints that the store knows."""
    frame = store.frame(
        f"WITH {OWN_MODEL} SELECT coalesce(step, 0) AS step, vocab_size, hidden_size FROM current_checkpoints",
        {"family": family, "model": model},
    )
    rows = frame.itertuples(index=False, name=None)
    return {int(step): (int(vocab_size), int(hidden_size)) for step, vocab_size, hidden_size in rows}


def measurement_ids(store: Store, checkpoints: Sequence[tuple[str, str, int | None]]) -> list[str]:
    """Ids of all measurements of checkpoints (family, model, step), whatever weights they had."""
    columns = [list(column) for column in zip(*checkpoints, strict=True)]
    with store.read() as connection:
        rows = connection.execute(
            "SELECT measurement_id FROM measurements JOIN checkpoints USING (checkpoint_id) WHERE (family, model, "
            "coalesce(step, -1)) IN (SELECT (unnest($1::VARCHAR[]), unnest($2::VARCHAR[]), "
            "coalesce(unnest($3::BIGINT[]), -1)))",
            columns,
        ).fetchall()
    return [row[0] for row in rows]


def texts(store: Store, family: str) -> pd.DataFrame:
    """The texts that a family was measured on, the most used first."""
    return store.frame(
        f"""
        WITH {OWN}
        SELECT t.text_id, t.name, t.source, max(m.tokens) AS tokens, count(DISTINCT m.checkpoint_id) AS checkpoints
        FROM current_measurements m JOIN current_checkpoints c USING (checkpoint_id) JOIN texts t USING (text_id)
        GROUP BY t.text_id, t.name, t.source ORDER BY checkpoints DESC, t.name, t.text_id
        """,
        {"family": family},
    )


def provenance(store: Store, family: str, models: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per measurement: what it was drawn from, and when, how and how long it was measured."""
    return store.frame(
        f"""
        WITH {OWN}
        SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.source, c.revision,
               c.commit_sha, c.content_id, c.weight_bytes, m.measure, m.version, m.text_id,
               t.name AS text_name, m.dtype, m.tokens, m.context_length, m.device, m.measured_at,
               m.seconds, m.bytes_read, m.software
        FROM current_checkpoints c JOIN current_measurements m USING (checkpoint_id)
        LEFT JOIN texts t USING (text_id)
        WHERE {CHOSEN} ORDER BY c.parameters, c.model, step, m.measure
        """,
        chosen(family, models),
    )


def costs(store: Store) -> pd.DataFrame:
    """What each measurement took: measure, seconds, and the sizes that it depends on. Unknown sizes are left out."""
    return store.frame(
        """
        SELECT m.measure, m.seconds, c.hidden_size, c.vocab_size, c.parameters, m.tokens
        FROM measurements m JOIN checkpoints c USING (checkpoint_id)
        WHERE m.device = 'cpu' AND c.parameters NOT NULL
        """
    )
