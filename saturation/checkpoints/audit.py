"""Is each checkpoint what its name says? Compares content ids before anything is downloaded. Pure functions.

Public checkpoints are not always what they seem: branches that repeat the final weights, steps that are missing,
shards of another model. Two steps of a training run never have equal weights, so equal content ids are a fault.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

# Headers and file layout differ by less than this between steps of one model.
SIZE_TOLERANCE = 0.02


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


def odd_sizes(sizes: Mapping[int, int]) -> dict[int, str]:
    """Steps whose weight files cannot hold the same model as the others: step -> why.

    Half or twice the usual size is another precision; anything else is another model, or a part of one.
    """
    usual = median(sizes.values()) if sizes else 0
    odd = {}
    for step, size in sizes.items():
        if min(abs(size - share * usual) / (share * usual) for share in (0.5, 1, 2)) > SIZE_TOLERANCE:
            odd[step] = f"weights of {size / 1e6:,.1f} MB where most steps have {usual / 1e6:,.1f} MB"
    return odd


def odd_shapes(shapes: Mapping[int, tuple[int, int]]) -> dict[int, str]:
    """Steps whose head has another shape (vocab_size, hidden_size) than most of the run: step -> why."""
    if not shapes:
        return {}
    usual = Counter(shapes.values()).most_common(1)[0][0]
    return {
        step: f"head of shape {shape[0]} x {shape[1]} where most steps have {usual[0]} x {usual[1]}"
        for step, shape in shapes.items()
        if shape != usual
    }


def audit(
    content_ids: Mapping[int, str],
    sizes: Mapping[int, int] | None = None,
    head_shapes: Mapping[int, tuple[int, int]] | None = None,
) -> Audit:
    """Compare a model's checkpoints with each other.

    content_ids: step -> content id of the weights. sizes: step -> bytes of the weight files. head_shapes: step ->
    (vocab_size, hidden_size) of those measured before.
    In a group of equal weights the last step of the run keeps its name (a branch left at the final weights is the
    usual fault); in a group without it no step can be told to be the right one, so all are doubtful.
    """
    groups = duplicates(content_ids)
    last = max(content_ids, default=0)
    doubtful = odd_sizes(sizes or {}) | odd_shapes(head_shapes or {})
    for steps in groups:
        for step in steps:
            if step != last:
                twins = [twin for twin in steps if twin != step]
                shown = ", ".join(str(twin) for twin in twins[:3]) + (", ..." if len(twins) > 3 else "")
                doubtful[step] = f"same weights as step {shown}"
    return Audit(groups, missing_steps(list(content_ids)), dict(sorted(doubtful.items())))
