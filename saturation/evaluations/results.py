"""One result file of the LM Evaluation Harness, as JSON has loaded it: the format before version 0.4, and since.

Before: `results` {task: {metric: value, metric_stderr: value}}, `versions`, `config`. Since: metrics are named
`metric,filter` and `metric_stderr,filter`; `n-shot`, `n-samples`, `higher_is_better` and `groups` stand beside them.
Source: `lm_eval/result_schema.py` and `lm_eval/loggers/evaluation_tracker.py` of lm-eval 0.4.13.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from saturation.errors import InputError

# The harness wrote the first before version 0.4 and writes the second since.
RENAMED = {"ppl": "perplexity"}
PLAIN_FILTER = "none"
STDERR = "_stderr"
# Signs that pages and figures would take for links, formulas or markup; no task or metric of the harness has them.
MARKUP = re.compile(r"[<>\[\]{}`$*\\\x00-\x1f\x7f]")
# Directions as the harness registers its metrics, for files that do not state them.
HIGHER = {
    *("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "acc_all", "exact_match", "em", "f1", "mcc", "mc1", "mc2"),
    *("bleu", "chrf", "pass@1", "prompt_level_strict_acc", "prompt_level_loose_acc"),
    *("inst_level_strict_acc", "inst_level_loose_acc"),
}
HIGHER_PREFIXES = ("rouge", "bleu_", "pass@")
LOWER = {
    *("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter", "wer"),
    *("likelihood_diff", "likelihood_difference", "pct_stereotype"),
}


@dataclass(frozen=True)
class Result:
    """One number. task: with what part of it was evaluated, where that is not all. shots: examples in the prompt."""

    task: str
    metric: str
    value: float
    stderr: float | None
    shots: int
    higher_is_better: bool | None
    task_version: str | None


@dataclass(frozen=True)
class ResultFile:
    """What a file holds. model_args: how the harness was told of the model, as far as it was; harness: its version.

    skipped: one sentence for each value that is no finite number.
    """

    results: tuple[Result, ...]
    skipped: tuple[str, ...]
    model_args: Mapping[str, str]
    harness: str
    evaluated_at: datetime | None


def parse(loaded: object) -> ResultFile:
    """The numbers of a result file and what it says of its model.

    Raises InputError, a sentence about "it", for anything that is no such file.
    """
    if not isinstance(loaded, dict):
        raise InputError("It is no result file of the LM Evaluation Harness: it holds no JSON object.")
    for key in ("results", "config"):
        if not isinstance(loaded.get(key), dict):
            raise InputError(f"It is no result file of the LM Evaluation Harness: it has no `{key}`.")
    tasks = _section(loaded, "groups") | loaded["results"]
    tasks = {str(name): values for name, values in tasks.items() if isinstance(values, dict)}
    recent = any("," in key for values in tasks.values() for key in values) or "configs" in loaded
    found: dict[tuple[str, str], Result] = {}
    skipped: list[str] = []
    for task, values in tasks.items():
        for result in _task(loaded, task, values, recent, skipped):
            found[result.task, result.metric] = result
    if not found:
        why = skipped[0] if skipped else "its `results` are empty."
        raise InputError(f"It holds no number: {why}")
    return ResultFile(
        tuple(found.values()), tuple(skipped), _model_args(loaded), _harness(loaded, recent), _when(loaded)
    )


def direction(metric: str, stated: object = None) -> bool | None:
    """Whether a higher value is better: as the file states it, else by the metric's name, else None."""
    if isinstance(stated, bool):
        return stated
    if metric in HIGHER or metric.startswith(HIGHER_PREFIXES):
        return True
    return False if metric in LOWER else None


def arguments(text: str) -> dict[str, str]:
    """`key=value,key=value` as the harness is given it; a comma inside a value stays with it."""
    found: dict[str, str] = {}
    last = None
    for piece in text.split(","):
        key, equals, value = piece.partition("=")
        if equals and key.strip().isidentifier():
            last = key.strip()
            found[last] = value.strip()
        elif last:
            found[last] += f",{piece}"
    return found


def _task(
    loaded: dict[str, Any], task: str, values: dict[str, Any], recent: bool, skipped: list[str]
) -> Iterator[Result]:
    version = _section(loaded, "versions").get(task)
    stated = _section(_section(loaded, "higher_is_better"), task)
    for key, value in values.items():
        name, comma, filtered = key.partition(",")
        if name.endswith(STDERR) or (recent and not comma):
            continue  # a deviation goes with its value; alias, name and counts are no metrics
        metric = RENAMED.get(name, name).replace("/", "-")
        shown = metric if filtered in ("", PLAIN_FILTER) else f"{metric} ({filtered})"
        if MARKUP.search(task + shown):
            skipped.append(f"{task}/{shown} has signs of markup in its name.")
            continue
        number = _number(value)
        if number is None:
            skipped.append(f"{task}/{shown} is {_shown(value)}, not a finite number.")
            continue
        yield Result(
            task=task + _part(loaded, task),
            metric=shown,
            value=number,
            stderr=_number(values.get(f"{name}{STDERR}{comma}{filtered}")),
            shots=_shots(loaded, task),
            higher_is_better=direction(metric, stated.get(name)),
            task_version=None if version in (None, "N/A") else str(version),
        )


def _section(loaded: dict[str, Any], name: str) -> dict[str, Any]:
    value = loaded.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _part(loaded: dict[str, Any], task: str) -> str:
    """What part of a task was evaluated: a number on the first hundred examples is another number than on all."""
    counts = _section(_section(loaded, "n-samples"), task)
    whole, seen = _number(counts.get("original")), _number(counts.get("effective"))
    complete = whole is not None and seen is not None and seen >= whole
    limit = _number(loaded["config"].get("limit"))
    if complete:
        return ""
    if limit is not None:
        return f" (limit {limit:g})"
    return "" if whole is None or seen is None else f" ({seen:.0f} examples)"


def _shots(loaded: dict[str, Any], task: str) -> int:
    stated = (
        _section(loaded, "n-shot").get(task),
        _section(_section(loaded, "configs"), task).get("num_fewshot"),
        loaded["config"].get("num_fewshot"),
    )
    return next((value for value in stated if type(value) is int and 0 <= value < 2**31), 0)


def _model_args(loaded: dict[str, Any]) -> dict[str, str]:
    """How the model was named: `model_args`, else what the harness made of them."""
    config = loaded["config"]
    given = config.get("model_args")
    if isinstance(given, dict):
        found = {str(key): str(value) for key, value in given.items() if value is not None}
    else:
        found = arguments(given) if isinstance(given, str) else {}
    name = loaded.get("model_name")
    if not {"pretrained", "model", "path"} & found.keys() and isinstance(name, str) and name:
        found["pretrained"] = name
    revision = config.get("model_revision")
    if "revision" not in found and isinstance(revision, str) and revision:
        found["revision"] = revision
    return found


def _harness(loaded: dict[str, Any], recent: bool) -> str:
    version = loaded.get("lm_eval_version")
    if isinstance(version, str) and version:
        return f"lm-eval {version}"
    return "lm-eval 0.4" if recent else "lm-eval before 0.4"


def _when(loaded: dict[str, Any]) -> datetime | None:
    seconds = _number(loaded.get("date"))
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
