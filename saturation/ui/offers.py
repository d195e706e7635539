"""What the Measure page can measure: models of the selected family, or a folder of this machine."""

from collections.abc import Mapping, Sequence
from functools import cache

import pandas as pd

from saturation.families import registry
from saturation.families.model import Checkpoint
from saturation.jobs import asking, catalogue, hosting
from saturation.ui import coverage, data
from saturation.ui.frame import View
from saturation.ui.measuring import Offer


def of_selection(view: View) -> Offer:
    """The models of the selected family, or of its group; on a public server those that it measures."""
    settings, store, family = data.settings(), data.store(), view.selection.family
    waiting = asking.waiting(store, family)
    names = data.groups(family)[view.selection.group] if view.selection.group else data.families()[family]

    @cache
    def known(model: str) -> pd.DataFrame:
        found = data.checkpoints(family, model)
        return coverage.with_queue(found, coverage.queued(asking.of_model(waiting, f"{family}/{model}")))

    def target(model: str, step: int) -> str:
        if family != registry.LOCAL:
            return f"{family}/{model}@{step}"
        return str(catalogue.weights(settings, store, family, model)[step].path)

    return Offer(
        key="measure",
        family=family,
        group=view.selection.group,
        own=view.selection.model,
        models=tuple(name for name in names if hosting.too_large(settings, family, name) is None),
        known=known,
        sizes=lambda model: data.sizes(family, model),
        target=target,
    )


def of_folder(found: Sequence[Checkpoint], text: str | None = None) -> Offer:
    """The checkpoints of a folder. text: a file to measure them on."""
    store, model = data.store(), found[0].model
    weights: Mapping[int, Checkpoint] = {item.step or 0: item for item in found}

    @cache
    def known(name: str) -> pd.DataFrame:
        table = catalogue.table(store, registry.LOCAL, name, weights)
        waiting = asking.of_model(asking.waiting(store, registry.LOCAL), f"{registry.LOCAL}/{name}")
        return coverage.with_queue(table, coverage.queued(waiting))

    return Offer(
        key="folder",
        family=registry.LOCAL,
        group=None,
        own=model,
        models=(model,),
        known=known,
        sizes=lambda name: (
            catalogue.sizes(store, registry.LOCAL, name) or catalogue.sizes_of_folder(weights[max(weights)].path)
        ),
        target=lambda name, step: str(weights[step].path),
        text=text,
    )
