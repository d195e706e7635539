"""Deleting what the store holds of models, and what would bring it back. Imports no torch."""

from collections.abc import Sequence

from saturation.errors import InputError, JobError
from saturation.families.registry import LIVE
from saturation.jobs import hosting, live
from saturation.settings import BUNDLED, Settings
from saturation.store import Store, packs, queue, removal


def held(settings: Settings, models: Sequence[str]) -> dict[str, int]:
    """How many measurements, checkpoints and evaluations the store holds of models by their names `family/model`."""
    return removal.count_models(Store(settings.store_path), models)


def forget(settings: Settings, models: Sequence[str]) -> dict[str, int]:
    """Delete all that the store holds of models; returns how much that was, as `held`.

    Raises RefusedError on a hosted server, InputError where nothing is held, JobError while one is being measured.
    """
    hosting.check_owner(settings)
    store = Store(settings.store_path)
    for name in models:
        targets = queue.waiting_measures(store, name.partition("/")[0])["target"]
        if name in {target.partition("@")[0] for target in targets}:
            raise JobError(f"{name} is being measured, or waits for it; wait for it to end, or cancel it.")
    found = removal.count_models(store, models)
    if not any(found.values()):
        raise InputError(f"Nothing is held of {', '.join(models) or 'no model'}; choose models from the table.")
    removal.delete_models(store, models)
    return found


def comes_back(settings: Settings, models: Sequence[str]) -> list[str]:
    """What would bring deleted measurements back, a sentence each."""
    sentences = []
    for pack in packs.bundled(BUNDLED / "packs"):
        if set(models) & set(packs.manifest(pack)["models"]):
            sentences.append(
                f"What came with the project in {pack.name} stays away until a release with a newer pack, or until you "
                f"import `cache/packs/{pack.name}`."
            )
    files = {f"{LIVE}/{path.stem}" for path in live.folder(settings).glob("*.jsonl")}
    if set(models) & files:
        sentences.append(
            "A live run is read again when its file grows or the dashboard starts anew; remove its file in live/ too."
        )
    return sentences
