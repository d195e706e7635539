"""What there is of a family: the registry, the weights on this machine, and the store, in one table. No torch."""

from typing import Any

import pandas as pd

from saturation.checkpoints import library
from saturation.families import registry
from saturation.jobs.request import MEASURES
from saturation.settings import Settings
from saturation.store import Store, queries


def checkpoints(settings: Settings, store: Store, family: str, model: str) -> pd.DataFrame:
    """One row per known step of a model: step, available (its weights are here), source, and each measure done."""
    here = library.checkpoints(settings.cache, family, model)
    held = queries.provenance(store, family, [model])
    steps = sorted({*here, *held["step"].astype(int)})
    done = held.groupby("step")["measure"].agg(set).to_dict() if len(held) else {}
    sources = held.groupby("step")["source"].first().to_dict() if len(held) else {}
    return pd.DataFrame(
        {
            "step": pd.array(steps, dtype="int64"),
            "available": pd.array([step in here for step in steps], dtype="bool"),
            "source": [here[step].source if step in here else sources.get(step, "") for step in steps],
            **{
                measure: pd.array([measure in done.get(step, set()) for step in steps], dtype="bool")
                for measure in MEASURES
            },
        }
    )


def families(settings: Settings, store: Store) -> list[dict[str, Any]]:
    """Every family with its models: name, title, and of each model its shape, checkpoints known and measured."""
    stored = queries.models(store)
    listed = []
    for family in registry.families().values():
        rows = {row["model"]: row for row in stored[stored["family"] == family.name].to_dict("records")}
        here = library.lab_models(settings.cache) if family.name == library.LAB else []
        names = [*family.models, *sorted({*rows, *here} - set(family.models))]
        listed.append(
            {
                "name": family.name,
                "title": family.title,
                "models": [_model(settings, store, family.name, name, rows.get(name)) for name in names],
            }
        )
    return listed


def _model(
    settings: Settings, store: Store, family: str, name: str, row: dict[str, Any] | None
) -> dict[str, Any]:
    known = registry.family(family).models.get(name)
    table = checkpoints(settings, store, family, name)

    def value(field: str) -> int | None:
        measured = row.get(field) if row else None
        stated = getattr(known, field, None)
        return stated if measured is None or pd.isna(measured) else int(measured)

    return {
        "name": name,
        "parameters": value("parameters"),
        "hidden_size": value("hidden_size"),
        "layers": value("layers"),
        "checkpoints": len(table),
        "measured": int(table["spectrum"].sum()),
    }
