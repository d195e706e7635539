"""What there is of a family: the registry, the weights on this machine, and the store, in one table. No torch."""

from typing import Any

import pandas as pd

from saturation.checkpoints import library
from saturation.families import registry
from saturation.families.model import Model
from saturation.jobs.request import MEASURES
from saturation.settings import Settings
from saturation.store import Store, queries

SHAPE = ("parameters", "hidden_size", "layers")


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
    shapes = queries.models(store).set_index(["family", "model"])
    steps = queries.steps(store)
    listed = []
    for family in registry.families().values():
        stored = steps[steps["family"] == family.name]
        here = library.lab_models(settings.cache) if family.name == library.LAB else []
        names = [*family.models, *sorted({*stored["model"], *here} - set(family.models))]
        models = []
        for name in names:
            of_model = stored[stored["model"] == name]
            known = {*of_model["step"], *library.checkpoints(settings.cache, family.name, name)}
            shape = shapes.loc[(family.name, name)] if (family.name, name) in shapes.index else None
            models.append(
                {
                    "name": name,
                    **{field: _shape(field, shape, family.models.get(name)) for field in SHAPE},
                    "checkpoints": len(known),
                    "measured": int(of_model["spectrum"].sum()),
                }
            )
        listed.append({"name": family.name, "title": family.title, "models": models})
    return listed


def _shape(field: str, measured: "pd.Series[Any] | None", stated: Model | None) -> int | None:
    """What was measured, else what the registry states."""
    if measured is not None and not pd.isna(measured[field]):
        return int(measured[field])
    return getattr(stated, field, None)
