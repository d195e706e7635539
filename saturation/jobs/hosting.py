"""What a hosted server refuses, hides and leaves unsaid: demo shows and changes nothing, public measures known models.

Whoever has a shell on the machine is no visitor: the command line is not bound by any of this.
"""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from saturation.checkpoints import library
from saturation.errors import RefusedError
from saturation.families import registry
from saturation.families.model import Checkpoint
from saturation.settings import BUNDLED, ROOT, Settings
from saturation.store import packs

OWN = "run your own with `python -m saturation serve`"
READ_ONLY = f"This demonstration is read-only: it shows what is measured already; {OWN}."
# Families that are of one machine, or of any stranger's repository.
PRIVATE = (registry.LOCAL, registry.LIVE)
UPLOADS = "corpora"
# The largest language of the playground and the largest vocabulary that pages offer.
LARGEST = {"rank": 32, "vocab_size": 4096, "contexts": 2048}
LARGEST_BPE = 65_536
# Heads that are trained take about as long as measuring so many checkpoints.
TRAINED = 10
_TARGET = re.compile(r"(?P<family>[\w-]+)/(?P<model>[\w.-]+)(?:@(?P<step>\d+))?", re.ASCII)
_BPE = re.compile(r"bpe:(?P<size>\d{1,6})", re.ASCII)
# A path from the root, or one from a home folder: no address of the web, no family/model.
_PATH = re.compile(r"(?<![\w:/.~-])~?/(?:[^\s/'\"`,;:()]+/)*(?P<name>[^\s/'\"`,;:()]+)")


def may_write(settings: Settings) -> None:
    """Raise RefusedError in a demonstration, in which nothing changes."""
    if settings.mode == "demo":
        raise RefusedError(READ_ONLY)


def check_owner(settings: Settings) -> None:
    """Raise RefusedError on a hosted server: what it keeps is no visitor's to take away."""
    if settings.mode != "local":
        raise RefusedError(f"What this server keeps stays as it is; {OWN}.")


def check_targets(settings: Settings, targets: Sequence[str], text: str | None = None) -> None:
    """Raise RefusedError for what a visitor may not have measured: unknown or large models, paths, other texts."""
    may_write(settings)
    if settings.mode != "public":
        return
    if text is not None:
        raise RefusedError(f"Models are measured here on the text of their family; to use another, {OWN}.")
    for target in targets:
        match = _TARGET.fullmatch(target)
        if match is None or not _known(match["family"], match["model"]):
            raise RefusedError(
                f"Only models of the registry are measured here, by their names and steps, such as pythia/70m@3000; to "
                f"measure anything else, {OWN}."
            )
        reason = too_large(settings, match["family"], match["model"])
        if reason:
            raise RefusedError(reason)


def _known(family: str, model: str) -> bool:
    listed = registry.families().get(family)
    return listed is not None and family not in (*PRIVATE, registry.HUB) and model in listed.models


def too_large(settings: Settings, family: str, model: str) -> str | None:
    """Why a public server does not measure a model of this size; None where it does."""
    if settings.mode != "public" or family == library.LAB:
        return None
    stated = registry.families()[family].models[model].parameters if _known(family, model) else None
    if stated is not None and stated <= settings.limits.parameters:
        return None
    size = "of unknown size" if stated is None else f"of {stated / 1e6:,.0f} million parameters"
    return (
        f"{family}/{model} is {size} and this server measures models of up to {settings.limits.parameters / 1e6:,.0f} "
        f"million; choose a smaller one, or {OWN}."
    )


def check_work(settings: Settings, kind: str, options: Mapping[str, Any]) -> int:
    """Raise RefusedError for work that a visitor may not ask for; returns how many checkpoints it counts as."""
    may_write(settings)
    if settings.mode == "public" and kind == "heads":
        check_targets(settings, options["targets"], options.get("text"))
    if settings.mode == "public" and kind == "playground" and any(options[name] > LARGEST[name] for name in LARGEST):
        most = ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in LARGEST.items())
        raise RefusedError(f"That language is larger than this server trains on ({most}); choose a smaller one.")
    if settings.mode == "public" and kind == "ngram":
        corpus = Path(str(options["corpus"]))
        if corpus.resolve().parent.parent != (settings.cache / UPLOADS).resolve():
            raise RefusedError(f"Only files that are uploaded here are counted; for one of a machine's own, {OWN}.")
        if corpus.suffix == ".gz":
            raise RefusedError(f"Packed files are not counted here; upload the text itself, or {OWN}.")
        match = _BPE.fullmatch(str(options["tokenizer"]))
        if match is None or int(match["size"]) > LARGEST_BPE:
            raise RefusedError(f"Only tokenizers that are trained here are used, such as bpe:8192; for others, {OWN}.")
    return len(options["targets"]) * (TRAINED if options.get("train") else 1) if kind == "heads" else 1


def check_import(settings: Settings, family: str, model: str) -> None:
    """Raise RefusedError for a model that a visitor may not bring in: what others see stays what was measured."""
    may_write(settings)
    if settings.mode != "public":
        return
    name = f"{family}/{model}"
    if not _known(family, model):
        raise RefusedError(f"{name} is no model of the registry, and no other is imported here; {OWN}.")
    if name in bundled():
        raise RefusedError(f"{name} comes with this server and is not changed by an import; {OWN}.")


def list_published(settings: Settings, family: str, model: str, seconds: float) -> dict[int | None, Checkpoint]:
    """Ask the hub for a model's revisions: at most once an hour for all visitors of a public server.

    seconds: how long the hub is waited for. Raises RefusedError, HubError.
    """
    may_write(settings)
    local = settings.mode == "local"
    if not (local or _known(family, model)):
        raise RefusedError(f"Only repositories of the registry are listed here; for {family}/{model}, {OWN}.")
    return library.list_checkpoints(settings.cache, family, model, refresh=local, seconds=seconds)


@cache
def bundled() -> frozenset[str]:
    """The models, `family/model`, that come with the project."""
    return frozenset(name for pack in packs.bundled(BUNDLED / "packs") for name in packs.manifest(pack)["models"])


def shown(settings: Settings, family: str, model: str) -> bool:
    """Whether pages show a model: what was measured of folders and live runs is of no visitor's business."""
    return settings.mode == "local" or family not in PRIVATE or f"{family}/{model}" in bundled()


def disk_bytes(settings: Settings) -> int:
    """Bytes of the store and of what visitors uploaded."""
    uploads = (settings.cache / UPLOADS).rglob("*") if (settings.cache / UPLOADS).is_dir() else ()
    files = [settings.store_path, Path(f"{settings.store_path}.wal"), *uploads]
    return sum(path.stat().st_size for path in files if path.is_file())


def said(settings: Settings, text: str) -> str:
    """A sentence for a visitor: on a hosted server a path becomes its last part, and no secret is in it."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if len(secret := os.environ.get(name) or "") >= 8:
            text = text.replace(secret, "…")
    if settings.mode == "local":
        return text
    for place in sorted({str(settings.cache), str(ROOT), tempfile.gettempdir(), str(Path.home())}, key=len)[::-1]:
        if len(place) > 1:
            text = re.sub(rf"{re.escape(place)}(?:/(?=[^\s]))?", "", text)
    return _PATH.sub(lambda match: match["name"], text)
