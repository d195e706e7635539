"""Rows for the store, small enough to work out by hand what every query must say of them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from saturation.store import CheckpointRow, Evaluation, Measurement, Store, TextRow

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
