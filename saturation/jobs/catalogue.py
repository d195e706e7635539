"""What there is of a family: the registry, the weights on this machine, and the store, in one table. No torch."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from saturation.checkpoints import library, local
from saturation.checkpoints.layout import weights_in
from saturation.errors import SaturationError
from saturation.families import registry
from saturation.families.model import Checkpoint, Model
from saturation.jobs.head_request import default_count
from saturation.jobs.memory import Sizes
from saturation.jobs.request import HEADS, MEASURES
from saturation.settings import Settings
from saturation.store import Store, queries

SHAPE = ("parameters", "hidden_size", "layers")


def weights(settings: Settings, store: Store, family: str, model: str) -> dict[int, Checkpoint]:
    """The checkpoints of a model whose weights can be had, by step; those of a local run where it was measured before.

    Never asks the hub: its last listing is what is known.
    """
    if family != registry.LOCAL:
        return {step or 0: item for step, item in library.checkpoints(settings.cache, family, model).items()}
    if settings.mode != "local":
        return {}
    for source in queries.provenance(store, family, [model])["source"].unique():
        try:
            run, _ = local.run_and_step(Path(source))
            found = local.checkpoints_at(run)
        except (SaturationError, OSError):  # moved or deleted since: its values stay
            continue
        if found[0].model == model:
            return {item.step or 0: item for item in found}
    return {}


def table(
    store: Store, family: str, model: str, known: Mapping[int, Checkpoint], held: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per known step of a model. known: the checkpoints whose weights can be had, by step.

    Columns: step; place of its weights (`here`, `hub`, or empty); available (there is a place); source; whether each
    measure is done, heads of lower rank included; bytes_read for its spectrum, and weight_bytes, the size of all its
    weights (NaN where not known). held: `queries.provenance` of the model, where it is there.
    """
    held = queries.provenance(store, family, [model]) if held is None else held
    held = held.assign(step=held["step"].astype("int64"))
    done = held.groupby(["step", "measure"]).size().unstack(fill_value=0)
    sources = held.groupby("step")["source"].first()
    read = held[held["measure"] == "spectrum"].groupby("step")["bytes_read"].first()
    sizes = held.groupby("step")["weight_bytes"].max()
    steps = pd.Index(sorted({*known, *held["step"]}), dtype="int64", name="step")
    places = ["" if item is None else "hub" if item.path is None else "here" for item in map(known.get, steps)]
    shapes = queries.head_shapes(store, family, model)
    trained = [default_count(min(shapes[step])) if step in shapes else 1 for step in steps]
    columns = {
        "place": places,
        "available": [step in known for step in steps],
        "source": [known[step].source if step in known else str(sources[step]) for step in steps],
        **{measure: _measured(done, measure, steps) for measure in MEASURES},
        HEADS[0]: _measured(done, "truncated_heads", steps),
        HEADS[1]: _measured(done, "trained_head", steps, trained),
        "bytes_read": read.reindex(steps).astype("float64").to_numpy(),
        "weight_bytes": sizes.reindex(steps).astype("float64").to_numpy(),
    }
    kinds = {"available": "bool", **dict.fromkeys((*MEASURES, *HEADS), "bool")}
    return pd.DataFrame(columns, index=steps).reset_index().astype(kinds)


def _measured(
    done: pd.DataFrame, measure: str, steps: "pd.Index[int]", least: Sequence[int] | None = None
) -> list[bool]:
    """Whether each step has a measurement of this kind, or as many as it takes; `done` counts by step and measure."""
    if measure not in done:
        return [False] * len(steps)
    counts = done[measure].reindex(steps, fill_value=0)
    return [bool(count >= most) for count, most in zip(counts, least or [1] * len(steps), strict=True)]


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


def sizes(store: Store, family: str, model: str, measured: pd.DataFrame | None = None) -> Sizes | None:
    """What decides the cost of measuring a model: as it was measured, else as the registry states it, else None.

    measured: `queries.models`, where it is there.
    """
    stated = registry.families()[family].models.get(model) if family in registry.families() else None
    measured = queries.models(store) if measured is None else measured
    of_model = measured[(measured["family"] == family) & (measured["model"] == model)]
    shape = of_model.iloc[0] if len(of_model) else None
    found = {field: _shape(field, shape, stated) for field in (*SHAPE, "vocab_size")}
    hidden_size, vocab_size, parameters = found["hidden_size"], found["vocab_size"], found["parameters"]
    if hidden_size is None or vocab_size is None or parameters is None:
        return None
    return Sizes(hidden_size, vocab_size, found["layers"] or 1, parameters)


def sizes_of_folder(path: Path | None) -> Sizes | None:
    """The same of a checkpoint on this machine, from its config.json and the size of its files; None without them."""
    if path is None:
        return None
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        hidden_size = next(config[name] for name in ("hidden_size", "n_embd", "d_model") if name in config)
        layers = next((config[name] for name in ("num_hidden_layers", "n_layer") if name in config), 1)
        found = weights_in(path)
        files = path.glob(f"*{found.name.partition('.')[2].removesuffix('.index.json')}") if found else ()
        item = 2 if str(config.get("torch_dtype") or config.get("dtype")) in ("float16", "bfloat16") else 4
        parameters = sum(file.stat().st_size for file in files) // item
        return Sizes(int(hidden_size), int(config["vocab_size"]), int(layers), parameters, item)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def _shape(field: str, measured: "pd.Series[Any] | None", stated: Model | None) -> int | None:
    """What was measured, else what the registry states."""
    if measured is not None and not pd.isna(measured[field]):
        return int(measured[field])
    return getattr(stated, field, None)
