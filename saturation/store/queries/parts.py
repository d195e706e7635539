"""Pieces of SQL that several queries share."""

from collections.abc import Sequence


def on_text(*measures: str) -> str:
    """The current measurements on one text and those that need none.

    The text is the one given, else the one that most of the family's checkpoints were measured on by these measures,
    picked by the same query: a second one could see a newer store.
    """
    named = ", ".join(f"'{measure}'" for measure in measures)
    return f"""
chosen_text AS (
    SELECT coalesce(?, (
        SELECT t.text_id
        FROM current_measurements m JOIN current_checkpoints c USING (checkpoint_id) JOIN texts t USING (text_id)
        WHERE c.family = ? AND m.measure IN ({named})
        GROUP BY t.text_id, t.name ORDER BY count(DISTINCT m.checkpoint_id) DESC, t.name, t.text_id LIMIT 1
    )) AS text_id
),
on_text AS (
    SELECT m.* FROM current_measurements m, chosen_text WHERE m.text_id IS NULL OR m.text_id = chosen_text.text_id
)"""


ON_TEXT = on_text("loss", "anisotropy", "alignment")
CHOSEN = "c.family = ? AND (? IS NULL OR list_contains(?, c.model))"


def chosen(family: str, models: Sequence[str] | None) -> list[object]:
    """The parameters of `CHOSEN`: a family, and its models or all of them."""
    return [family, None if models is None else 1, None if models is None else list(models)]
