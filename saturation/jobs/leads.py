"""From work that is done to the figures it made: names of pages, and what they are to show. Imports no torch."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saturation.checkpoints import local
from saturation.families import registry
from saturation.jobs import plan
from saturation.store import Store, queue

# The page that draws a measure.
PAGES = {
    "loss": "Performance",
    "anisotropy": "Anisotropy",
    "spectrum": "Singular values",
    "alignment": "Singular values",
}
BOTTLENECK = "Bottleneck"
# What the link calls the options of a playground's language.
TOY = {"zipf_exponent": "toy_zipf", "logit_scale": "toy_scale"}
LANGUAGE = ("rank", "vocab_size", "contexts", "zipf_exponent", "logit_scale", "seed")


@dataclass(frozen=True)
class Lead:
    """A page by its name, and the part of the selection to show there, as in a link."""

    page: str
    address: Mapping[str, str]


def leads(store: Store) -> dict[str, tuple[Lead, ...]]:
    """Where each request's results are drawn, by its id; nothing for one that has done nothing yet."""
    if not store.path.exists():
        return {}
    done = queue.made(store)
    return {str(key): of_jobs(rows.to_dict("records")) for key, rows in done.groupby("request_id", sort=False)}


def of_jobs(done: Sequence[Mapping[Hashable, Any]]) -> tuple[Lead, ...]:
    """One lead a page, in the order of the menu. done: kind, target, measure, settings of jobs of one request.

    A page opens with the first model that was measured for it, at its last step.
    """
    found: dict[str, dict[str, str]] = {}
    for job in done:
        page = PAGES.get(str(job["measure"]), BOTTLENECK) if job["kind"] == plan.MEASURE else BOTTLENECK
        for address in _addresses(job):
            held = found.get(page)
            if held is None or _later(address, held):
                found[page] = address
    order = [*dict.fromkeys(PAGES.values()), BOTTLENECK]
    return tuple(Lead(page, found[page]) for page in sorted(found, key=order.index))


def _addresses(job: Mapping[Hashable, Any]) -> list[dict[str, str]]:
    if job["kind"] == plan.MEASURE:
        return [_address(str(job["target"]))]
    options = json.loads(str(job["settings"]))
    if job["kind"] == "heads":
        return [_address(target) for target in options["targets"]]
    if job["kind"] == "playground":
        return [{TOY.get(name, f"toy_{name}"): f"{options[name]:.12g}" for name in LANGUAGE if name in options}]
    return [{}]


def target_name(target: str) -> str:
    """`family/model@step` of a target, which may be a checkpoint's folder."""
    address = _address(target)
    return f"{address['family']}/{address['model']}@{address['step']}"


def _address(target: str) -> dict[str, str]:
    """family/model@step, or a checkpoint's folder, as a part of the selection."""
    name, _, step = target.rpartition("@") if "@" in target else (target, "", "")
    family, _, model = name.partition("/")
    if family not in registry.families():
        run, number = local.run_and_step(Path(target))
        family, model, step = registry.LOCAL, local.run_name(run), str(number or 0)
    return {"family": family, "model": model, "step": step or "0"}


def _later(address: Mapping[str, str], held: Mapping[str, str]) -> bool:
    same = all(address.get(key) == held.get(key) for key in ("family", "model"))
    return same and int(address.get("step", 0)) > int(held.get("step", 0))
