"""Which rows belong to families or models, for taking them out of a copy of the store, or out of the store itself."""

from collections.abc import Sequence

from saturation.store.store import Store
from saturation.store.tables import OF_MEASUREMENTS

_FAMILIES = "family IN (SELECT unnest($families::VARCHAR[]))"
_MODELS = "family || '/' || model IN (SELECT unnest($models::VARCHAR[]))"


def of_families() -> tuple[tuple[str, str], ...]:
    """(table, condition) of all rows of `$families`, in the order in which they can be deleted."""
    return _rows(_FAMILIES)


def _rows(chosen: str) -> tuple[tuple[str, str], ...]:
    checkpoints = f"checkpoint_id IN (SELECT checkpoint_id FROM checkpoints WHERE {chosen})"
    measurements = f"measurement_id IN (SELECT measurement_id FROM measurements WHERE {checkpoints})"
    return (
        *((table, measurements) for table in OF_MEASUREMENTS),
        ("measurements", checkpoints),
        *((table, chosen) for table in ("checkpoints", "models", "evaluations", "doubts")),
    )


def count_models(store: Store, models: Sequence[str]) -> dict[str, int]:
    """Rows by table (measurements, checkpoints, evaluations) of models by their names `family/model`."""
    conditions = dict(_rows(_MODELS))
    with store.read() as connection:
        return {
            table: connection.execute(
                f"SELECT count(*) FROM {table} WHERE {conditions[table]}", {"models": list(models)}
            ).fetchall()[0][0]
            for table in ("measurements", "checkpoints", "evaluations")
        }


def delete_models(store: Store, models: Sequence[str]) -> None:
    """Delete all that is held of models by their names, in one transaction. Texts stay: others may be measured on them.

    Bundled packs that were read are not read again for it (`Store.ensure`).
    """
    with store.write() as connection:
        connection.begin()
        for table, condition in _rows(_MODELS):
            connection.execute(f"DELETE FROM {table} WHERE {condition}", {"models": list(models)})
        connection.commit()
