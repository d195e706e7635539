"""Measure many checkpoints one after another; what was measured stays, whatever happens to the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from saturation.errors import InputError, SaturationError
from saturation.families.model import Checkpoint
from saturation.jobs.measure import Measurer

Report = Callable[[int, int, str], None]


@dataclass
class SweepResult:
    """How many checkpoints were measured now, were stored already, and which failed with which sentence."""

    computed: int = 0
    stored: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def pick_steps(known: Sequence[int], steps: str) -> list[int]:
    """Steps among those known: `all`, `log` (0 and the nearest to each power of two), `A:B:C` or `A,B,C`.

    A:B:C means from A to B, both included, at least C apart. Raises InputError.
    """
    ordered = sorted(known)
    if steps == "all" or not ordered:
        return ordered
    if steps == "log":
        powers = [0] + [2**k for k in range(ordered[-1].bit_length() + 1)]
        return sorted({min(ordered, key=lambda step: abs(step - power)) for power in powers})
    try:
        if ":" in steps:
            first, last, apart = (int(part) for part in steps.split(":"))
            chosen: list[int] = []
            for step in ordered:
                if first <= step <= last and (not chosen or step - chosen[-1] >= apart):
                    chosen.append(step)
            return chosen
        wanted = [int(part) for part in steps.split(",")]
    except ValueError as error:
        raise InputError(
            f"--steps is '{steps}'; write all, log, FIRST:LAST:APART or a list like 0,1000,2000."
        ) from error
    unknown = [step for step in wanted if step not in known]
    if unknown:
        raise InputError(f"There is no checkpoint at step {unknown[0]}; the last one is at {ordered[-1]}.")
    return wanted


def sweep(
    measurer: Measurer, checkpoints: Sequence[Checkpoint], report: Report | None = None, force: bool = False
) -> SweepResult:
    """Measure each checkpoint; one that fails is noted and the rest go on. report(done, total, message)."""
    result, total = SweepResult(), len(checkpoints)
    tell = report or (lambda done, total, message: None)
    for done, checkpoint in enumerate(checkpoints):
        tell(done, total, checkpoint.name)

        def within(what: str, part: int, whole: int, done: int = done, name: str = checkpoint.name) -> None:
            share = f" {part / whole:.0%}" if whole > 1 else ""
            tell(done, total, f"{name}: {what}{share}")

        try:
            measured = measurer.measure(checkpoint, force=force, progress=within)
        except SaturationError as error:
            result.failed[checkpoint.name] = str(error)
            continue
        if measured.computed:
            result.computed += 1
        else:
            result.stored += 1
    tell(total, total, "done")
    return result
