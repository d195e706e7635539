"""The file of a live run: a header and one line a point, appended so that a crash loses at most the last. No torch."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from saturation.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,79}")
FORMAT = 1


@dataclass(frozen=True)
class Header:
    """What a run is. batch_id: hash of the fixed batch, of which `tokens` are scored in windows of context_length.

    layers and context_length are 0 where only the head is watched.
    """

    run: str
    run_id: str
    model: str
    hidden_size: int
    vocab_size: int
    layers: int
    parameters: int
    batch_id: str | None
    tokens: int
    context_length: int
    dtype: str
    device: str
    software: str
    started: str
    format: int = FORMAT

    def same_run(self, other: "Header") -> bool:
        """Whether points of both can be of one training run: the same model watched on the same batch."""
        names = ("run", "model", "hidden_size", "vocab_size", "layers", "parameters", "batch_id", "context_length")
        return all(getattr(self, name) == getattr(other, name) for name in names)


@dataclass(frozen=True)
class Point:
    """What was measured at a step.

    seconds: what it cost; share: of training time, up to here. spectrum: what sums up the singular values, by name.
    """

    step: int
    time: str
    seconds: float
    share: float
    spectrum: dict[str, float]
    singular_values: list[float]
    centred_singular_values: list[float]
    layers: list[float] = field(default_factory=list)
    centred_layers: list[float] = field(default_factory=list)
    last_before_norm: float | None = None
    centred_last_before_norm: float | None = None
    nats_per_token: float | None = None
    accuracy: float | None = None

    @property
    def measured_at(self) -> datetime:
        return datetime.fromisoformat(self.time)


@dataclass(frozen=True)
class LiveRun:
    """A file's header and points in the order written. resumed: steps at which training went on from a checkpoint.

    superseded: steps that were measured before training went back behind them.
    """

    path: Path
    header: Header
    points: tuple[Point, ...]
    resumed: tuple[int, ...] = ()
    superseded: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.path.stem


def check_name(run: str) -> str:
    """The name of a run. Raises InputError for one that is no file name."""
    if not NAME.fullmatch(run):
        raise InputError(f"The run's name '{run}' cannot be used; take letters, digits, '.', '_', '+' and '-'.")
    return run


def batch_id(ids: Sequence[int]) -> str:
    """Hash of the token ids of a fixed batch."""
    return "sha256:" + hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


def parse(path: Path) -> LiveRun | None:
    """A live run's file; None where it has no header yet. What cannot be read is passed over, a torn last line too."""
    header: Header | None = None
    points: list[Point] = []
    resumed: list[int] = []
    superseded: set[int] = set()
    for line in path.read_bytes().split(b"\n"):
        values = _values(line)
        if values is None:
            continue
        try:
            if "run_id" in values:
                header = header or Header(**values)
            elif "resumed" in values:
                resumed.append(int(values["resumed"]))
                superseded |= {point.step for point in points if point.step > resumed[-1]}
            else:
                point = Point(**values)
                superseded.discard(point.step)
                points = [other for other in points if other.step != point.step] + [point]
        except (TypeError, ValueError):
            continue
    if header is None:
        return None
    return LiveRun(path, header, tuple(points), tuple(resumed), tuple(sorted(superseded)))


def _values(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


class PointFile:
    """Appends to a live run's file; each line is on the disk when `add` returns. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, folder: Path, header: Header, first_step: int) -> "PointFile":
        """The file of a run: a new one, or that of the same run, if training resumes behind its first step."""
        folder.mkdir(parents=True, exist_ok=True)
        number, name = 1, header.run
        while True:
            path = folder / f"{name}.jsonl"
            try:
                with path.open("xb"):
                    pass
            except FileExistsError:
                held = parse(path)
                if held is None:
                    break  # a header that was never written
                if first_step > 1 and held.points and held.header.same_run(header):
                    file = cls(path)
                    file._append({"resumed": first_step})
                    return file
                number += 1
                name = f"{header.run}-{number}"
                continue
            break
        file = cls(path)
        file._append(asdict(header))
        return file

    def add(self, point: Point) -> None:
        self._append(asdict(point))

    def _append(self, values: dict[str, Any]) -> None:
        # A line feed first: what a crash tore off stays a line of its own, which nobody can read.
        line = b"\n" + json.dumps(values, allow_nan=False).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(descriptor, line)
            if written < len(line):
                raise OSError(28, "No space left on device")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
