"""Pieces of SQL that several queries share; their parameters have names."""

from collections.abc import Sequence


def _own(of_measurements: str = "", of_checkpoints: str = "") -> str:
    """The views and the tables of values, of `$family` alone and under the same names, and further conditions.

    What a query reads does not grow with what the store holds of others. The tests hold them to the views.
    """
    return f"""
own_measurements AS MATERIALIZED (
    SELECT * EXCLUDE (of_family) FROM main.measurements WHERE of_family = $family {of_measurements}
),
current_checkpoints AS MATERIALIZED (
    SELECT c.*, d.reason AS doubtful FROM main.checkpoints c
    LEFT JOIN doubts d ON d.family = c.family AND d.model = c.model AND d.step = coalesce(c.step, 0)
    LEFT JOIN (
        SELECT checkpoint_id, max(written) AS place, max(measured_at) AS last FROM own_measurements GROUP BY ALL
    ) m ON m.checkpoint_id = c.checkpoint_id
    WHERE c.family = $family {of_checkpoints}
    QUALIFY row_number() OVER (
        PARTITION BY c.family, c.model, c.step
        ORDER BY m.place DESC NULLS LAST, m.last DESC NULLS LAST, c.checkpoint_id
    ) = 1
),
current_measurements AS MATERIALIZED (
    SELECT m.* FROM own_measurements m JOIN current_checkpoints c USING (checkpoint_id)
    QUALIFY row_number() OVER (
        PARTITION BY m.checkpoint_id, measure, text_id
        ORDER BY version DESC, tokens DESC NULLS LAST, context_length DESC NULLS LAST, dtype = 'float32' DESC,
                 written DESC NULLS LAST, measured_at DESC
    ) = 1
),
measurements AS (SELECT * FROM own_measurements),
scalars AS (SELECT * EXCLUDE (of_family) FROM main.scalars WHERE of_family = $family),
series AS (SELECT * EXCLUDE (of_family) FROM main.series WHERE of_family = $family),
labels AS (SELECT * EXCLUDE (of_family) FROM main.labels WHERE of_family = $family)"""


OWN = _own()
# The same of `$model` alone.
OWN_MODEL = _own(
    "AND checkpoint_id IN (SELECT checkpoint_id FROM main.checkpoints WHERE family = $family AND model = $model)",
    "AND c.model = $model",
)


def on_text(*measures: str) -> str:
    """The current measurements of a family on one text a model, and those that need none; parameters: family, text_id.

    The text is the one given, else of those that the model was measured on by these measures the one that most of the
    family's checkpoints were: models share a text where they can. It is picked by the same query, since a second one
    could see a newer store.
    """
    named = ", ".join(f"'{measure}'" for measure in measures)
    return f"""{OWN},
on_texts AS (
    SELECT c.model, t.text_id, t.name,
           sum(count(DISTINCT m.checkpoint_id)) OVER (PARTITION BY t.text_id) AS total
    FROM current_checkpoints c JOIN current_measurements m USING (checkpoint_id)
    JOIN texts t ON t.text_id = m.text_id
    WHERE m.measure IN ({named}) AND t.text_id = coalesce($text_id, t.text_id)
    GROUP BY c.model, t.text_id, t.name
),
chosen_text AS (
    SELECT model, text_id FROM on_texts
    QUALIFY row_number() OVER (PARTITION BY model ORDER BY total DESC, name, text_id) = 1
),
on_text AS (
    SELECT m.* FROM current_checkpoints c JOIN current_measurements m USING (checkpoint_id)
    LEFT JOIN chosen_text ON chosen_text.model = c.model
    WHERE m.text_id IS NULL OR m.text_id = chosen_text.text_id
)"""


ON_TEXT = on_text("loss", "anisotropy", "alignment")
CHOSEN = "c.family = $family AND ($models IS NULL OR list_contains($models::VARCHAR[], c.model))"


def chosen(family: str, models: Sequence[str] | None) -> dict[str, object]:
    """The parameters of `CHOSEN`: a family, and its models or all of them."""
    return {"family": family, "models": None if models is None else list(models)}
