"""What `measure --json` prints: plain values, keys as in the command-line contract."""

import math
from collections.abc import Sequence
from typing import Any

from saturation.jobs.measure import Result, bytes_of
from saturation.jobs.request import PASS_MEASURES
from saturation.store import Measurement

CHECKPOINT_KEYS = (
    "family",
    "model",
    "step",
    "source",
    "revision",
    "content_id",
    "hidden_size",
    "layers",
    "vocab_size",
    "parameters",
)

PRINTED = 10  # tokens of a direction in a line


def _finite(value: Any) -> Any:
    """JSON knows no infinity: a perplexity or condition number without bound prints as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _spectrum(item: Measurement) -> dict[str, Any]:
    return {**item.series, **item.scalars}


def _anisotropy(item: Measurement) -> dict[str, Any]:
    return {
        **item.series,
        "last_before_norm": item.scalars["anisotropy_before_norm"],
        "centred_last_before_norm": item.scalars["centred_anisotropy_before_norm"],
        "tokens": item.tokens,
    }


def _loss(item: Measurement) -> dict[str, Any]:
    return {**item.scalars, "tokens": item.tokens}


def _alignment(item: Measurement) -> dict[str, Any]:
    """One entry for each leading vector: a correlation or null, and a list of tokens with their ids and entries."""
    report: dict[str, Any] = {}
    for prefix in ("", "centred_"):
        ones = item.series[f"{prefix}ones_alignment"]
        report[f"{prefix}ones_alignment"] = ones
        report[f"{prefix}frequency_correlation"] = correlations(item, prefix)
        report[f"{prefix}frequency_r_squared"] = item.scalars.get(f"{prefix}frequency_r_squared")
        for side in ("top", "bottom"):
            ids = [int(number) for number in item.series[f"{prefix}{side}_ids"]]
            values = {"tokens": item.labels[f"{prefix}{side}_tokens"], "ids": ids}
            for name, flat in (values | {"entries": item.series[f"{prefix}{side}_entries"]}).items():
                report[f"{prefix}{side}_{name}"] = _by_vector(flat, len(ones))
    report["tokens_seen"] = int(item.scalars["tokens_seen"])
    report["correlation_by_chance"] = item.scalars.get("correlation_by_chance")
    return report | {"tokens": item.tokens}


def correlations(item: Measurement, prefix: str = "") -> list[float | None]:
    """Correlation of each leading vector with log frequency, None where there is none."""
    ranks = item.series[f"{prefix}frequency_ranks"]
    held = dict(zip(map(int, ranks), item.series[f"{prefix}frequency_correlation"], strict=True))
    return [held.get(rank) for rank in range(1, len(item.series[f"{prefix}ones_alignment"]) + 1)]


def _by_vector(flat: Sequence[Any], vectors: int) -> list[list[Any]]:
    places = len(flat) // vectors if vectors else 0
    return [list(flat[start * places : (start + 1) * places]) for start in range(vectors)]


_SECTIONS = {"spectrum": _spectrum, "anisotropy": _anisotropy, "loss": _loss, "alignment": _alignment}


def as_json(result: Result) -> dict[str, Any]:
    """One JSON-ready object for one checkpoint."""
    report: dict[str, Any] = {"checkpoint": {key: getattr(result.checkpoint, key) for key in CHECKPOINT_KEYS}}
    for item in result.measurements:
        values = _SECTIONS[item.measure](item)
        report[item.measure] = {name: _finite(value) for name, value in values.items()}
    report["text"] = next((item.text.name for item in result.measurements if item.text), None)
    report["bytes_read"] = bytes_of(result.measurements)
    # Measures of one pass share its time: count each pass once.
    passes = {
        (item.measure in PASS_MEASURES or item.measure, item.measured_at): item.seconds for item in result.measurements
    }
    report["seconds"] = sum(passes.values())
    report["computed"] = list(result.computed)
    return report


def as_text(result: Result) -> str:
    """The same for a reader: one line a number."""
    row = result.checkpoint
    step = "" if row.step is None else f" at step {row.step:,}"
    lines = [
        f"{row.family}/{row.model}{step}: hidden size {row.hidden_size}, vocabulary {row.vocab_size:,}, "
        f"{row.parameters:,} parameters"
    ]
    for item in result.measurements:
        if item.measure == "spectrum":
            s = item.scalars
            lines += [
                f"  singular entropy   {s['singular_entropy']:.4f} nats ({s['centred_singular_entropy']:.4f} centred)",
                f"  effective rank     {s['effective_rank']:.2f} of {row.hidden_size}",
                f"  stable rank        {s['stable_rank']:.2f}",
            ]
        elif item.measure == "anisotropy":
            by_layer = "  ".join(f"{value:.3f}" for value in item.series["layers"])
            lines += [
                f"  anisotropy         {item.scalars['anisotropy']:.4f} in the last layer "
                f"({item.scalars['centred_anisotropy']:.4f} centred) on {item.tokens:,} tokens",
                f"    by layer         {by_layer}",
            ]
        elif item.measure == "alignment":
            lines += _alignment_lines(item)
        else:
            s = item.scalars
            floor = f", floor {s['floor']:.4f}" if "floor" in s else ""
            lines += [
                f"  loss               {s['nats_per_token']:.4f} nats/token{floor}",
                f"  perplexity         {s['perplexity']:.2f} per token, {s['word_perplexity']:.2f} per word",
                f"  bits per byte      {s['bits_per_byte']:.4f}",
                f"  accuracy           {100 * s['accuracy']:.2f} %",
            ]
    return "\n".join(lines)


def _alignment_lines(item: Measurement) -> list[str]:
    """The first direction of the head as stored, and of the head as the softmax sees it."""
    lines = []
    chance = item.scalars.get("correlation_by_chance")
    below = f", by chance below {chance:.3f}" if chance is not None else ""
    for prefix, view in (("", "as stored"), ("centred_", "centred")):
        ones, found = item.series[f"{prefix}ones_alignment"], correlations(item, prefix)
        if not ones:
            lines.append(f"  first direction    none ({view}: the head is a shift of all logits)")
            continue
        said = "no correlation" if found[0] is None else f"correlation {found[0]:.3f}"
        lines += [
            f"  first direction    {ones[0]:.3f} along all-ones, {said} with log frequency{below} ({view})",
            f"    highest tokens   {'  '.join(item.labels[f'{prefix}top_tokens'][:PRINTED])}",
        ]
    return lines
