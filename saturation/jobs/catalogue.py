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
    """One row per known step of a model.

    Columns: step; place of its weights (`here`, `hub`, or empty); available (there is a place); source; whether each
    measure is done; bytes_read for its spectrum, and weight_bytes, the size of all its weights (NaN where not known).
    Never asks the hub: its last listing is what is known.
    """
    known = {step or 0: item for step, item in library.checkpoints(settings.cache, family, model).items()}
    held = queries.provenance(store, family, [model])
    steps = sorted({*known, *held["step"].astype(int)})
    by_step = {int(str(step)): rows for step, rows in held.groupby("step")}
    rows = []
    for step in steps:
        item, measured = known.get(step), by_step.get(step, held.iloc[:0])
        spectrum = measured[measured["measure"] == "spectrum"]
        rows.append(
            {
                "step": step,
                "place": "" if item is None else "hub" if item.path is None else "here",
                "available": item is not None,
                "source": item.source if item else str(measured["source"].iloc[0]),
                **{measure: bool((measured["measure"] == measure).any()) for measure in MEASURES},
                "bytes_read": float(spectrum["bytes_read"].iloc[0]) if len(spectrum) else float("nan"),
                "weight_bytes": float(measured["weight_bytes"].astype("float64").max()),
            }
        )
    columns = ["step", "place", "available", "source", *MEASURES, "bytes_read", "weight_bytes"]
    return pd.DataFrame(rows, columns=columns).astype(
        {"step": "int64", "available": "bool", **dict.fromkeys(MEASURES, "bool")}
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
            known = {*of_model["step"], *(step or 0 for step in library.checkpoints(settings.cache, family.name, name))}
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
