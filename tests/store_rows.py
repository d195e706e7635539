"""Rows for the store, small enough to work out by hand what every query must say of them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from saturation.store import (
    CheckpointRow,
    Evaluation,
    Measurement,
    NgramCurve,
    PlaygroundRow,
    Store,
    TextRow,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = TextRow("sha256:text", "text.txt", "file text.txt", 50, 10)
OTHER_TEXT = TextRow("sha256:other", "other.txt", "file other.txt", 70, 12)


def empty_store(path: Path, **options: Any) -> Store:
    """A store without bundled packs."""
    return Store(path, bundled=path.parent / "no-packs", **options)


def checkpoint(model: str = "run~1", step: int | None = 1, **changes: Any) -> CheckpointRow:
    row = CheckpointRow(
        family="local",
        model=model,
        step=step,
        source=f"/somewhere/{model}/{step}",
        revision=None,
        content_id=f"sha256:{model}-{step}",
        hidden_size=2,
        layers=3,
        vocab_size=5,
        parameters=90,
    )
    return replace(row, **changes)


def measurement(
    row: CheckpointRow | None = None, measure: str = "spectrum", minute: int = 0, **changes: Any
) -> Measurement:
    item = Measurement(
        checkpoint=row or checkpoint(),
        measure=measure,
        version=1,
        dtype="float32",
        device="cpu",
        measured_at=START.replace(minute=minute),
        seconds=1.5,
        bytes_read=40,
        software="saturation, torch",
    )
    return replace(item, **changes)


def spectrum(row: CheckpointRow | None = None, entropy: float = 0.5, **changes: Any) -> Measurement:
    values = {"singular_values": [3.0, 1.0], "centred_singular_values": [2.0, 0.5]}
    return measurement(row, scalars={"singular_entropy": entropy}, series=values, **changes)


def loss(row: CheckpointRow | None = None, nats: float = 3.0, **changes: Any) -> Measurement:
    values = {"nats_per_token": nats, "perplexity": nats * 10}
    settings: dict[str, Any] = {"text": TEXT, "tokens": 9, "context_length": 4, "scalars": values} | changes
    return measurement(row, "loss", **settings)


def anisotropy(row: CheckpointRow | None = None, last: float = 0.4, **changes: Any) -> Measurement:
    settings: dict[str, Any] = {"text": TEXT, "tokens": 9, "context_length": 4} | changes
    series = {"layers": [0.1, 0.2, 0.3, last], "centred_layers": [0.01, 0.02, 0.03, last / 10]}
    return measurement(row, "anisotropy", scalars={"anisotropy": last}, series=series, **settings)


def alignment(row: CheckpointRow | None = None, first: float = 0.9, **changes: Any) -> Measurement:
    """Two vectors with two tokens at each end, of which the first has no correlation; centred, one vector."""
    settings: dict[str, Any] = {"text": TEXT, "tokens": 9} | changes
    series = {"ones_alignment": [first, 0.3], "frequency_correlation": [0.6], "frequency_ranks": [2.0]}
    series |= {
        "centred_ones_alignment": [0.0],
        "centred_frequency_correlation": [0.7],
        "centred_frequency_ranks": [1.0],
    }
    labels = {}
    for prefix, vectors in (("", 2), ("centred_", 1)):
        for side, sign in (("top", 1.0), ("bottom", -1.0)):
            labels[f"{prefix}{side}_tokens"] = [f"{prefix}{side}{place}" for place in range(2 * vectors)]
            series[f"{prefix}{side}_ids"] = [float(place) for place in range(2 * vectors)]
            series[f"{prefix}{side}_entries"] = [sign * (0.5 - place / 10) for place in range(2 * vectors)]
    scalars = {"tokens_seen": 7.0, "correlation_by_chance": 0.87}
    return measurement(row, "alignment", scalars=scalars, series=series, labels=labels, **settings)


def evaluation(model: str = "run~1", step: int = 1, value: float = 0.25, **changes: Any) -> Evaluation:
    item = Evaluation(
        family="local",
        model=model,
        step=step,
        task="sciq",
        metric="acc",
        value=value,
        harness="lm-eval 0.4",
        source="results.json",
        content_id="sha256:results",
        imported_at=START,
        stderr=0.01,
        higher_is_better=True,
        task_version="1",
    )
    return replace(item, **changes)


def truncated_heads(row: CheckpointRow | None = None, own: float = 3.0, **changes: Any) -> Measurement:
    """Ranks 1 and 2 of a head of width 2."""
    settings: dict[str, Any] = {"text": TEXT, "tokens": 9} | changes
    series = {"ranks": [1.0, 2.0], "nats_per_token": [own + 0.5, own], "accuracy": [0.2, 0.4], "w_error": [0.6, 0.0]}
    series |= {
        "centred_nats_per_token": [own + 0.25, own],
        "centred_accuracy": [0.3, 0.4],
        "centred_w_error": [0.5, 0.0],
    }
    scalars = {"own_nats_per_token": own, "own_accuracy": 0.4}
    return measurement(row, "truncated_heads", scalars=scalars, **{"series": series} | settings)


def trained_head(row: CheckpointRow | None = None, rank: int = 1, rate: float = 0.01, **changes: Any) -> Measurement:
    scalars = {"rank": rank, "learning_rate": rate, "seed": 0, "nats_per_token": 3.2, "w_error": 0.6}
    settings: dict[str, Any] = {"text": OTHER_TEXT, "tokens": 9, "inputs": f"{rank} {rate}"} | changes
    return measurement(row, "trained_head", scalars=scalars | settings.pop("scalars", {}), **settings)


def ngram_curve(corpus: str = "corpus.txt", **changes: Any) -> NgramCurve:
    curve = NgramCurve(
        corpus_id=f"sha256:{corpus}",
        corpus=corpus,
        corpus_source=f"file {corpus}",
        tokenizer_id="sha256:tokenizer",
        tokenizer="tokenizer.json",
        gram_order=5,
        method="exact",
        version=1,
        tokens=100,
        contexts=80,
        vocabulary=5,
        tokens_seen=3,
        frobenius_norm=4.5,
        rank_at_half=2,
        ranks=[0, 1, 2, 3],
        w_error=[1.0, 0.7, 0.4, 0.0],
        w_error_low=[1.0, 0.7, 0.4, 0.0],
        w_error_high=[1.0, 0.7, 0.4, 0.0],
        seconds=1.5,
        measured_at=START,
        software="saturation",
    )
    return replace(curve, **changes)


def playground_row(width: int = 2, **changes: Any) -> PlaygroundRow:
    row = PlaygroundRow(
        rank=4,
        vocab_size=16,
        contexts=32,
        zipf_exponent=1.0,
        logit_scale=3.0,
        seed=0,
        width=width,
        version=1,
        gap=0.5 / width,
        entropy=2.0,
        w_error=0.3,
        tail=1.5,
        train_steps=100,
        seconds=1.5,
        measured_at=START,
        software="saturation",
    )
    return replace(row, **changes)
