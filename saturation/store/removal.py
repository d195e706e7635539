"""Which rows belong to families, for taking them out of a copy of the store."""

from saturation.store.tables import OF_MEASUREMENTS


def of_families() -> tuple[tuple[str, str], ...]:
    """(table, condition) of all rows of `$families`, in the order in which they can be deleted."""
    chosen = "family IN (SELECT unnest($families::VARCHAR[]))"
    checkpoints = f"checkpoint_id IN (SELECT checkpoint_id FROM checkpoints WHERE {chosen})"
    measurements = f"measurement_id IN (SELECT measurement_id FROM measurements WHERE {checkpoints})"
    return (
        *((table, measurements) for table in OF_MEASUREMENTS),
        ("measurements", checkpoints),
        *((table, chosen) for table in ("checkpoints", "evaluations", "doubts")),
    )
