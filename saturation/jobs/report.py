"""What `measure --json` prints: plain values, keys as in the command-line contract."""

import math
from typing import Any

from saturation.jobs.measure import Result
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


_SECTIONS = {"spectrum": _spectrum, "anisotropy": _anisotropy, "loss": _loss}


def as_json(result: Result) -> dict[str, Any]:
    """One JSON-ready object for one checkpoint."""
    report: dict[str, Any] = {"checkpoint": {key: getattr(result.checkpoint, key) for key in CHECKPOINT_KEYS}}
    for item in result.measurements:
        values = _SECTIONS[item.measure](item)
        report[item.measure] = {name: _finite(value) for name, value in values.items()}
    report["text"] = next((item.text.name for item in result.measurements if item.text), None)
    # Text measures of one pass share its cost: count each pass once.
    passes = {(item.text is None, item.measured_at): item for item in result.measurements}
    report["bytes_read"] = sum(item.bytes_read for item in passes.values())
    report["seconds"] = sum(item.seconds for item in passes.values())
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
