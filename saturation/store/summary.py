"""The table `models`: what is held of each model, told anew in the transaction that changes it.

Told from all rows at every look, it would take the longer the more a store holds; a page asks for it at every click.
"""

from collections.abc import Iterable

import duckdb


def refresh(connection: duckdb.DuckDBPyConnection, models: Iterable[tuple[str, str]]) -> None:
    """Tell models (family, model) anew, inside the transaction that is open."""
    by_family: dict[str, list[str]] = {}
    for family, model in sorted(set(models)):
        by_family.setdefault(family, []).append(model)
    for family, names in by_family.items():
        chosen = "family = ? AND list_contains(?::VARCHAR[], model)"
        connection.execute(f"DELETE FROM models WHERE {chosen}", [family, names])
        connection.execute(f"INSERT INTO models SELECT * FROM computed_models WHERE {chosen}", [family, names])


def refresh_all(connection: duckdb.DuckDBPyConnection) -> None:
    """Tell all models anew."""
    connection.execute("DELETE FROM models; INSERT INTO models SELECT * FROM computed_models")
