"""Pieces of SQL that several queries share."""

from collections.abc import Sequence


def on_text(*measures: str) -> str:
    """The current measurements of a family on one text a model, and those that need none; parameters: text id, family.

    The text is the one given, else of those that the model was measured on by these measures the one that most of the
    family's checkpoints were: models share a text where they can. It is picked by the same query, since a second one
    could see a newer store.
    """
    named = ", ".join(f"'{measure}'" for measure in measures)
    return f"""
asked AS (SELECT ?::VARCHAR AS text_id, ?::VARCHAR AS family),
on_texts AS (
    SELECT c.model, t.text_id, t.name,
           sum(count(DISTINCT m.checkpoint_id)) OVER (PARTITION BY t.text_id) AS total
    FROM asked JOIN current_checkpoints c USING (family) JOIN current_measurements m USING (checkpoint_id)
    JOIN texts t ON t.text_id = m.text_id
    WHERE m.measure IN ({named}) AND t.text_id = coalesce(asked.text_id, t.text_id)
    GROUP BY c.model, t.text_id, t.name
),
chosen_text AS (
    SELECT model, text_id FROM on_texts
    QUALIFY row_number() OVER (PARTITION BY model ORDER BY total DESC, name, text_id) = 1
),
on_text AS (
    SELECT m.* FROM asked JOIN current_checkpoints c USING (family) JOIN current_measurements m USING (checkpoint_id)
    LEFT JOIN chosen_text ON chosen_text.model = c.model
    WHERE m.text_id IS NULL OR m.text_id = chosen_text.text_id
)"""


ON_TEXT = on_text("loss", "anisotropy", "alignment")
CHOSEN = "c.family = ? AND (? IS NULL OR list_contains(?, c.model))"


def chosen(family: str, models: Sequence[str] | None) -> list[object]:
    """The parameters of `CHOSEN`: a family, and its models or all of them."""
    return [family, None if models is None else 1, None if models is None else list(models)]
