"""Verdicts kept on disk: the same as worked out anew, and never of something else."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from saturation.errors import InputError
from saturation.jobs import judgements
from saturation.jobs.judgements import Judgements
from saturation.measures.verdict import RunVerdict, Series, Thresholds, judge

STEPS = np.arange(1000, 41_000, 1000)
LIMITS = Thresholds()


def curve(turn: int, top: float, low: float, end: float) -> Series:
    """A fall to step `turn` and a rise from there, with a little noise."""
    noise = np.random.default_rng(turn).normal(size=STEPS.size) * 0.002
    return Series(STEPS, np.interp(STEPS, (STEPS[0], turn, STEPS[-1]), (top, low, end)) + noise)


LOSS, COSINE, ENTROPY = curve(30_000, 6, 3, 4), curve(25_000, 0.5, 0.2, 0.9), curve(15_000, 1.0, 0.3, 3.0)
ASKED = (LOSS, COSINE, ENTROPY, False, LIMITS)


@pytest.fixture
def judging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Judgements, list[int]]:
    """Judgements of an empty folder, and a list that grows with each run that is judged."""
    judged: list[int] = []

    def counted(*asked) -> RunVerdict:
        judged.append(1)
        return judge(*asked)

    monkeypatch.setattr(judgements, "judge", counted)
    return Judgements(tmp_path / "verdicts"), judged


def same(one: RunVerdict, other: RunVerdict) -> bool:
    arrays = all(
        np.array_equal(one.changes[name].steps, each.steps)
        and np.array_equal(one.changes[name].fitted, each.fitted)
        and one.changes[name].steps.dtype == each.steps.dtype
        and (one.changes[name].change_points, one.changes[name].turn) == (each.change_points, each.turn)
        for name, each in other.changes.items()
    )
    return arrays and (one.performance, one.order) == (other.performance, other.order)


@pytest.mark.parametrize(
    "asked",
    [
        ASKED,
        (Series([1, 2], [3.0, 2.0]), COSINE, ENTROPY, False, LIMITS),  # too few for a test of the loss
        (Series([], []), Series([], []), Series([], []), True, LIMITS),
        (curve(39_000, 6, 3, 3), Series(STEPS, np.full(STEPS.size, 0.1)), Series(STEPS, STEPS * 0.0), False, LIMITS),
    ],
    ids=["all turn", "few checkpoints", "nothing", "no turn"],
)
def test_what_was_kept_is_what_was_found(judging: tuple[Judgements, list[int]], asked: tuple) -> None:
    keeper, judged = judging
    first, again = keeper.judge(*asked), keeper.judge(*asked)
    assert len(judged) == 1
    assert same(first, again)
    assert same(judge(*asked), again)
    assert Judgements(keeper.folder).judge(*asked).marks() == first.marks()


def other_values(series: Series) -> Series:
    values = np.array(series.values)
    values[7] += 1e-12
    return Series(series.steps, values)


@pytest.mark.parametrize(
    "changed",
    [
        (other_values(LOSS), *ASKED[1:]),
        (LOSS, other_values(COSINE), ENTROPY, False, LIMITS),
        (LOSS, COSINE, Series(STEPS + 1, ENTROPY.values), False, LIMITS),
        (LOSS, ENTROPY, COSINE, False, LIMITS),
        (LOSS, COSINE, ENTROPY, True, LIMITS),
        (*ASKED[:4], dataclasses.replace(LIMITS, significance=0.05)),
    ],
    ids=["a value", "another curve", "steps", "swapped", "direction", "thresholds"],
)
def test_whatever_a_verdict_depends_on_is_told_apart(judging: tuple[Judgements, list[int]], changed: tuple) -> None:
    keeper, judged = judging
    keeper.judge(*ASKED)
    keeper.judge(*changed)
    assert len(judged) == 2


def test_other_code_judges_again(judging: tuple[Judgements, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, judged = judging
    keeper.judge(*ASKED)
    monkeypatch.setattr(judgements, "_judge_itself", lambda: b"another version")
    keeper.judge(*ASKED)
    assert len(judged) == 2


def test_the_digest_covers_all_code_that_judges() -> None:
    """Every module of `measures` that the verdict's imports, directly or not, is one of those digested."""
    import ast

    from saturation import measures

    folder = Path(measures.__path__[0])
    found, waiting = set(), ["verdict"]
    while waiting:
        name = waiting.pop()
        found.add(name)
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("saturation.measures."):
                waiting += {node.module.rpartition(".")[2]} - found
    assert found == set(judgements.CODE)


@pytest.mark.parametrize("spoil", ["", "{", '{"performance": null}', "[1, 2]"])
def test_a_spoilt_file_is_judged_again(judging: tuple[Judgements, list[int]], spoil: str) -> None:
    keeper, judged = judging
    first = keeper.judge(*ASKED)
    [file] = keeper.folder.iterdir()
    file.write_text(spoil, encoding="utf-8")
    assert same(keeper.judge(*ASKED), first)
    assert len(judged) == 2
    assert json.loads(file.read_text(encoding="utf-8"))["order"]


def test_a_folder_that_cannot_be_written_only_costs_time(judging: tuple[Judgements, list[int]]) -> None:
    keeper, judged = judging
    keeper.folder.write_text("a file where the folder should be", encoding="utf-8")
    assert same(keeper.judge(*ASKED), keeper.judge(*ASKED))
    assert len(judged) == 2


def test_errors_are_not_kept(judging: tuple[Judgements, list[int]]) -> None:
    keeper, _ = judging
    for _ in range(2):
        with pytest.raises(InputError, match="positive, finite"):
            keeper.judge(Series(STEPS, -STEPS * 1.0), COSINE, ENTROPY, False, LIMITS)
    assert not keeper.folder.exists()


def test_the_oldest_make_room(judging: tuple[Judgements, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, judged = judging
    monkeypatch.setattr(judgements, "MOST", 4)
    levels = [dataclasses.replace(LIMITS, least_entropy=0.1 + 0.01 * place) for place in range(6)]
    few = Series([1], [1.0])
    for age, limits in enumerate(levels[:4]):
        keeper.judge(few, few, few, False, limits)
        newest = max(keeper.folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1e9 + age, 1e9 + age))
    keeper.judge(few, few, few, False, levels[4])
    assert len(list(keeper.folder.iterdir())) == 3  # the newer half, and the new one
    keeper.judge(few, few, few, False, levels[3])
    assert len(judged) == 5
    keeper.judge(few, few, few, False, levels[0])
    assert len(judged) == 6
