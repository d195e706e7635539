"""The verdicts that pages show, worked out once for all visitors; by `jobs.judgements` also kept on disk."""

import pandas as pd

from saturation.jobs.judgements import Judgements
from saturation.jobs.verdict import judge_run, verdict_table
from saturation.measures.verdict import RunVerdict, Thresholds
from saturation.ui import data
from saturation.ui.memory import kept
from saturation.ui.verdict import Verdict, verdict


def table(family: str, models: tuple[str, ...], metric: str, thresholds: Thresholds) -> pd.DataFrame:
    """One row a model (`jobs.verdict.verdict_table`)."""
    opened = data.store()
    found = _table(str(opened.path), opened.signature(), family, models, metric, thresholds)
    return found.copy(deep=False)


@kept(64)
def _table(
    path: str, signature: tuple[int, ...], family: str, models: tuple[str, ...], name: str, thresholds: Thresholds
) -> pd.DataFrame:
    judge = Judgements.of(data.store()).judge
    asked = data.curve(family, models, name), data.trajectory(family, models), data.metric(family, name)
    return verdict_table(*asked, thresholds, judge)


def of_run(family: str, model: str, metric: str, thresholds: Thresholds) -> tuple[RunVerdict, Verdict]:
    """The verdict on one run (`jobs.verdict.judge_run`), and the same in words (`ui.verdict`)."""
    opened = data.store()
    return _of_run(str(opened.path), opened.signature(), family, model, metric, thresholds)


@kept(64)
def _of_run(
    path: str, signature: tuple[int, ...], family: str, model: str, name: str, thresholds: Thresholds
) -> tuple[RunVerdict, Verdict]:
    asked = data.curve(family, (model,), name), data.trajectory(family, (model,)), data.metric(family, name)
    found, doubtful = judge_run(*asked, thresholds, Judgements.of(data.store()).judge)
    return found, verdict(found, doubtful, *asked)
