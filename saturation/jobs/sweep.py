"""Measure many checkpoints one after another; what was measured stays, whatever happens to the rest."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from saturation.checkpoints import library
from saturation.checkpoints.resolve import resolve
from saturation.errors import InputError
from saturation.families import registry
from saturation.families.model import Checkpoint
from saturation.jobs import plan
from saturation.jobs.lanes import lanes_for, warm_up
from saturation.jobs.presets import Preset
from saturation.jobs.request import Request
from saturation.jobs.runner import Runner
from saturation.settings import Settings
from saturation.store import Store, queue

Report = Callable[[int, int, str], None]


@dataclass
class SweepResult:
    """How many checkpoints were measured now, were stored already, and which failed with which sentence.

    bytes_read: what was read for those measured now; weight_bytes: the size of all their weights.
    """

    checkpoints: int = 0
    computed: int = 0
    stored: int = 0
    bytes_read: int = 0
    weight_bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The command line's JSON."""
        return asdict(self)

    def summary(self) -> str:
        """The same in a sentence."""
        counts = f"{self.computed} measured, {self.stored} were stored, {len(self.failed)} failed"
        read = f"; {self.bytes_read / 1e6:,.1f} MB read of {self.weight_bytes / 1e6:,.1f} MB" if self.computed else ""
        return f"{self.checkpoints} checkpoints: {counts}{read}."


def targets(target: str, steps: str, cache: Path, preset: Preset | None = None) -> list[list[Checkpoint]]:
    """The chosen steps of each model that a sweep's target names: a family, a model, a repository or a folder.

    preset: of a family, only the models of that figure. Raises InputError, CheckpointError.
    """
    family = registry.families().get(target.partition("/")[0])
    if preset and family and not Path(target).exists():
        reason = preset.refusal(family)
        if reason:
            raise InputError(f"{preset.title} cannot be had of {family.name}: {reason}.")
    if target in registry.families() and not Path(target).exists():
        here = library.lab_models(cache) if target == library.LAB else list(registry.family(target).models)
        if not here:
            raise InputError(f"No weights of {target} are on this machine; name a model or a folder.")
        if preset:
            here = preset.of_family(target, here)
        runs = [resolve(f"{target}/{model}", cache) for model in here]
    else:
        runs = [resolve(target, cache)]
    chosen = []
    for run in runs:
        by_step = {checkpoint.step or 0: checkpoint for checkpoint in run}
        chosen.append([by_step[step] for step in pick_steps(list(by_step), steps)])
    return chosen


def pick_steps(known: Sequence[int], steps: str) -> list[int]:
    """Steps among those known: `all`, `last`, `log` (0 and the nearest to each power of two), `A:B:C` or `A,B,C`.

    A:B:C means from A to B, both included, at least C apart. Raises InputError.
    """
    ordered = sorted(known)
    if steps == "all" or not ordered:
        return ordered
    if steps == "last":
        return ordered[-1:]
    if steps == "log":
        powers = [0] + [2**k for k in range(ordered[-1].bit_length() + 1)]
        return sorted({min(ordered, key=lambda step: abs(step - power)) for power in powers})
    try:
        if ":" in steps:
            first, last, apart = (int(part) for part in steps.split(":"))
            if apart < 1:
                raise ValueError("steps lie at least 1 apart")
            chosen: list[int] = []
            for step in ordered:
                if first <= step <= last and (not chosen or step - chosen[-1] >= apart):
                    chosen.append(step)
            if not chosen:
                raise InputError(
                    f"There is no checkpoint in --steps {steps}; they reach from {ordered[0]} to {ordered[-1]}."
                )
            return chosen
        wanted = [int(part) for part in steps.split(",")]
    except ValueError as error:
        raise InputError(
            f"--steps is '{steps}'; write all, log, last, FIRST:LAST:APART or a list like 0,1000,2000."
        ) from error
    unknown = [step for step in wanted if step not in known]
    if unknown:
        raise InputError(f"There is no checkpoint at step {unknown[0]}; the last one is at {ordered[-1]}.")
    return wanted


def sweep(
    settings: Settings,
    checkpoints: Sequence[Checkpoint],
    request: Request,
    report: Report | None = None,
    force: bool = False,
    workers: int = 1,
    dask: str | None = None,
) -> SweepResult:
    """Measure each checkpoint through the queue; one that fails is noted and the rest go on.

    Published models are audited first, so that doubtful checkpoints are marked before they are drawn.
    report(done, total, message). workers: processes of this machine.
    dask: address of a scheduler whose workers measure instead.
    Stopped by the user, it cancels what waits; killed, it leaves the queue to the next worker.
    """
    if not checkpoints:
        return SweepResult()
    if dask is None:
        warm_up(workers)
    store = Store(settings.store_path)
    jobs = plan.jobs(checkpoints, request)
    request_id = queue.ask(store, plan.title(checkpoints), jobs, force=force)
    runner = Runner(
        settings, lambda presence: lanes_for(settings, presence.tell, workers, dask), request_id, report=report
    )
    try:
        runner.run()
    except KeyboardInterrupt:
        queue.cancel(store, request_id)
        raise
    result = _result(queue.jobs_of(store, request_id), len(checkpoints))
    queue.dismiss(store, request_id)
    return result


def _result(jobs: pd.DataFrame, checkpoints: int) -> SweepResult:
    """Count what became of a request's jobs, checkpoint by checkpoint."""
    result = SweepResult(checkpoints=checkpoints)
    for _, group in jobs.groupby("group_id", sort=False):
        first = group.iloc[0]
        if first["state"] != "done":
            name = first["kind"] if first["kind"] == plan.AUDIT else first["target"]
            result.failed[name] = first["error"] or "It was cancelled; run the sweep again."
        elif first["kind"] == plan.AUDIT:
            result.bytes_read += int(first["bytes_read"])
        elif group["computed"].any():
            result.computed += 1
            result.bytes_read += int(first["bytes_read"])
            result.weight_bytes += int(first["weight_bytes"])
        else:
            result.stored += 1
    return result
