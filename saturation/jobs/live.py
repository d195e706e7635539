"""Brings the points of live runs into the store, where pages find them like any other measurement. Imports no torch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from saturation.errors import StoreBusyError
from saturation.families.registry import LIVE
from saturation.jobs.request import VERSIONS
from saturation.monitor.points import LiveRun, Point, parse
from saturation.settings import Settings
from saturation.store import CheckpointRow, Measurement, Store, TextRow, queries

# A run whose file has not grown for so long is no longer called live.
QUIET_SECONDS = 600
_seen: dict[Path, tuple[int, int]] = {}
_latest: dict[Path, "News"] = {}


@dataclass(frozen=True)
class News:
    """How far a live run is. age: seconds since its file grew; share: of its training time that measuring took."""

    name: str
    step: int
    points: int
    loss: float | None
    anisotropy: float | None
    singular_entropy: float
    share: float
    written: float

    @property
    def age(self) -> float:
        return max(datetime.now(UTC).timestamp() - self.written, 0.0)

    @property
    def live(self) -> bool:
        return self.age < QUIET_SECONDS


def folder(settings: Settings) -> Path:
    """Where monitors write, unless told otherwise."""
    return settings.cache / "live"


def bring_in(settings: Settings, store: Store) -> list[News]:
    """Store what live runs have written since the last look; returns how far each is, the latest first.

    Costs a look at the files' sizes where nothing is new. A store that is busy is left for the next look. Live runs are
    of one machine: a hosted server has none.
    """
    if settings.mode != "local":
        return []
    for path in sorted(folder(settings).glob("*.jsonl")):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        state = (stat.st_mtime_ns, stat.st_size)
        if _seen.get(path) == state:
            continue
        run = parse(path)
        if run is None or not run.points:
            continue
        try:
            _store(store, run)
        except StoreBusyError:
            continue
        _seen[path] = state
        _latest[path] = _news(run, stat.st_mtime)
    here = [news for path, news in _latest.items() if path.parent == folder(settings) and path.exists()]
    return sorted(here, key=lambda news: -news.written)


def _store(store: Store, run: LiveRun) -> None:
    store.ensure()
    held = set(queries.measurement_ids(store, [(LIVE, run.name, point.step) for point in run.points]))
    rows = [row for point in run.points for row in _measurements(run, point) if row.measurement_id not in held]
    store.add(rows)
    if run.superseded:
        back = ", ".join(f"{step:,}" for step in run.resumed)
        reason = f"measured before training went back to an earlier checkpoint (resumed at step {back})"
        store.mark(LIVE, run.name, dict.fromkeys(run.superseded, reason))


def _measurements(run: LiveRun, point: Point) -> Iterator[Measurement]:
    header = run.header
    checkpoint = CheckpointRow(
        family=LIVE,
        model=run.name,
        step=point.step,
        source=str(run.path),
        revision=None,
        content_id=f"live:{header.run_id}:{point.step}:{point.time}",
        hidden_size=header.hidden_size,
        layers=header.layers or None,
        vocab_size=header.vocab_size,
        parameters=header.parameters,
    )
    common: dict[str, Any] = {
        "checkpoint": checkpoint,
        "dtype": header.dtype,
        "device": header.device,
        "measured_at": point.measured_at,
        "seconds": point.seconds,
        "bytes_read": 0,
        "software": header.software,
        "inputs": header.model,
    }
    spectra = {"singular_values": point.singular_values, "centred_singular_values": point.centred_singular_values}
    yield Measurement(
        measure="spectrum", version=VERSIONS["spectrum"], scalars=point.spectrum, series=spectra, **common
    )
    if header.batch_id is None or point.nats_per_token is None or not point.layers:
        return
    text = TextRow(header.batch_id, f"fixed batch of {header.tokens:,} tokens", f"live run {header.run}", 0, 0)
    on_batch = common | {"text": text, "tokens": header.tokens, "context_length": header.context_length}
    yield Measurement(
        measure="anisotropy",
        version=VERSIONS["anisotropy"],
        scalars={
            "anisotropy": point.layers[-1],
            "centred_anisotropy": point.centred_layers[-1],
            "anisotropy_before_norm": float(point.last_before_norm or 0.0),
            "centred_anisotropy_before_norm": float(point.centred_last_before_norm or 0.0),
        },
        series={"layers": point.layers, "centred_layers": point.centred_layers},
        **on_batch,
    )
    loss = {"nats_per_token": point.nats_per_token, "accuracy": float(point.accuracy or 0.0)}
    loss["perplexity"] = math.exp(min(point.nats_per_token, 709))
    yield Measurement(measure="loss", version=VERSIONS["loss"], scalars=loss, **on_batch)


def _news(run: LiveRun, written: float) -> News:
    last = run.points[-1]
    return News(
        name=run.name,
        step=last.step,
        points=len(run.points),
        loss=last.nats_per_token,
        anisotropy=last.layers[-1] if last.layers else None,
        singular_entropy=last.spectrum["singular_entropy"],
        share=last.share,
        written=written,
    )
