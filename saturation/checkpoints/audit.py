"""Is each checkpoint what its name says? Compares content ids before anything is downloaded. Pure functions.

Public checkpoints are not always what they seem: branches that repeat the final weights, steps that are missing,
shards of another model. Two steps of a training run never have equal weights, so equal content ids are a fault.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True)
class Audit:
    """What is wrong with a model's checkpoints.

    duplicates: groups of steps with equal weights. missing: steps that the run's own spacing asks for.
    doubtful: step -> why its weights are not what the name says.
    """

    duplicates: list[list[int]] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    doubtful: dict[int, str] = field(default_factory=dict)


def duplicates(content_ids: Mapping[int, str]) -> list[list[int]]:
    """Groups of two or more steps whose content ids are equal, in order of their first step."""
    groups: dict[str, list[int]] = defaultdict(list)
    for step in sorted(content_ids):
        groups[content_ids[step]].append(step)
    return [steps for steps in groups.values() if len(steps) > 1]


def missing_steps(steps: Sequence[int]) -> list[int]:
    """Steps left out of a run's regular spacing.

    The spacing is the commonest gap, if at least half of the gaps are equal to it; a gap of a whole multiple of it,
    after its first use, has steps missing inside. Doubling steps at the start (0, 1, 2, 4 ...) are no gaps.
    """
    ordered = sorted(steps)
    gaps = [after - before for before, after in pairwise(ordered)]
    if not gaps:
        return []
    spacing, times = Counter(gaps).most_common(1)[0]
    if spacing < 1 or times < max(2, len(gaps) / 2):
        return []
    start = gaps.index(spacing)
    missing: list[int] = []
    for before, after in pairwise(ordered[start:]):
        if (after - before) % spacing == 0:
            missing += range(before + spacing, after, spacing)
    return missing


def audit(
    content_ids: Mapping[int, str],
    head_shapes: Mapping[int, tuple[int, int]] | None = None,
    stated_shape: tuple[int, int] | None = None,
) -> Audit:
    """Compare a model's checkpoints with each other and with the shape that the registry states.

    content_ids: step -> content id of the weights. head_shapes: step -> (vocab_size, hidden_size), where known.
    In a group of equal weights the last step of the run keeps its name (a branch left at the final weights is the
    usual fault); in a group without it no step can be told to be the right one, so all are doubtful.
    """
    groups = duplicates(content_ids)
    last = max(content_ids, default=0)
    doubtful: dict[int, str] = {}
    for steps in groups:
        others = [step for step in steps if step != last]
        for step in others:
            twins = [twin for twin in steps if twin != step]
            shown = ", ".join(str(twin) for twin in twins[:3]) + (", ..." if len(twins) > 3 else "")
            doubtful[step] = f"same weights as step {shown}"
    for step, shape in (head_shapes or {}).items():
        if stated_shape and shape != stated_shape:
            doubtful[step] = f"head of shape {shape[0]} x {shape[1]} instead of {stated_shape[0]} x {stated_shape[1]}"
    return Audit(groups, missing_steps(list(content_ids)), dict(sorted(doubtful.items())))
