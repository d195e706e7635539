"""Measure one checkpoint: what is stored is read, what is missing is computed and stored in one transaction."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from saturation import __version__, texts
from saturation.checkpoints.library import LAB
from saturation.checkpoints.load import Shape, load_model, pick_device, read_head
from saturation.checkpoints.source import Source, open_source
from saturation.families import registry
from saturation.families.model import Checkpoint
from saturation.jobs import memory
from saturation.jobs.head import alignment_values, spectrum_values
from saturation.jobs.request import HEAD_MEASURES, PASS_MEASURES, VERSIONS, Request
from saturation.jobs.scored_text import CountedText, ScoredText, TextReader
from saturation.measures.forward_pass import Anisotropy, measure_text
from saturation.measures.loss import Loss
from saturation.store import CheckpointRow, Measurement, Store

Progress = Callable[[str, int, int], None]
Held = Callable[[Iterable[str]], Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Result:
    """The measurements of one checkpoint, in the order asked for, and which of them were computed just now."""

    checkpoint: CheckpointRow
    measurements: tuple[Measurement, ...]
    computed: tuple[str, ...]

    @property
    def bytes_read(self) -> int:
        """Bytes read for what was computed."""
        return bytes_of(item for item in self.measurements if item.measure in self.computed)


def bytes_of(measurements: Iterable[Measurement]) -> int:
    """Bytes read for measurements; those that read the head together share them, and so do those of one pass."""
    reads: dict[tuple[bool, datetime], int] = {}
    for item in measurements:
        key = (item.measure in HEAD_MEASURES, item.measured_at)
        reads[key] = max(reads.get(key, 0), item.bytes_read)
    return sum(reads.values())


def _nothing(ids: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """Nothing is held: everything is computed."""
    return {}


class Measurer:
    """Measures checkpoints one after another under one request; texts and tokens are prepared once."""

    def __init__(self, store: Store, request: Request, cache: Path | None = None) -> None:
        self.store = store
        self.cache = cache or store.path.parent
        self.request = request
        self._computer = Computer(request, self.cache)

    def measure(self, checkpoint: Checkpoint, force: bool = False, progress: Progress | None = None) -> Result:
        """Read or compute what the request asks of one checkpoint.

        progress is called with (what is being done, done, total). Raises SaturationError; nothing is then stored.
        """
        held = _nothing if force else self.store.load
        result = self._computer.compute(checkpoint, self.request.measures, held, progress)
        self.store.add(item for item in result.measurements if item.measure in result.computed)
        return result


class Computer:
    """Computes what is missing of checkpoints, without a store: a worker on another machine can do it.

    gate: held while computing and free while reading, so that one checkpoint is read while another is computed.
    most_bytes: memory that a checkpoint may take.
    """

    def __init__(
        self,
        request: Request,
        cache: Path,
        gate: AbstractContextManager[object] | None = None,
        most_bytes: int | None = None,
    ) -> None:
        self.request = request
        self.cache = cache
        self.device = pick_device(request.device)
        self._gate = gate or nullcontext()
        self._most_bytes = most_bytes
        self._reader = TextReader(request)

    def compute(
        self, checkpoint: Checkpoint, measures: Sequence[str], held: Held, progress: Progress | None = None
    ) -> Result:
        """Compute those of the measures that are not held. held: ids -> values of those ids that are known.

        Raises SaturationError, MemoryBoundError among them before anything large is read.
        """
        report = progress or (lambda what, done, total: None)
        report("reading the head", 0, 1)
        source = open_source(checkpoint, self.cache, self.request.keep)
        head, shape = read_head(source, self.request.head_tensor)
        row = checkpoint_row(checkpoint, source, shape)
        head_bytes = source.bytes_read
        needs_pass = any(measure in PASS_MEASURES for measure in measures)
        text = self._reader.read(checkpoint, source, shape) if needs_pass else None
        counted = self._reader.count(checkpoint, source) if "alignment" in measures else None
        # One time for all: measures of one pass are told from those of another by it.
        plan = self._plan(row, head.dtype, shape.head_tensor)
        planned = {name: self._plan_measure(plan, name, text, counted) for name in measures}
        stored = held(item.measurement_id for item in planned.values())
        done = {
            name: replace(item, **stored[item.measurement_id])
            for name, item in planned.items()
            if item.measurement_id in stored
        }
        missing = [name for name in planned if name not in done]
        memory.check(checkpoint.name, row, head.dtype.itemsize, missing, self.request.dtype, self._most_bytes)
        with self._gate:
            if "spectrum" in missing:
                report("singular values", 0, 1)
                done["spectrum"] = replace(planned["spectrum"], bytes_read=head_bytes, **spectrum_values(head))
            if "alignment" in missing and counted is not None:
                report("leading directions", 0, 1)
                values = alignment_values(head, counted.tokens)
                done["alignment"] = replace(planned["alignment"], bytes_read=source.bytes_read, **values)
        of_text = [planned[name] for name in missing if name in PASS_MEASURES]
        if of_text and text is not None:
            done |= self._forward(checkpoint, source, of_text, text, report)
        return Result(row, tuple(done[name] for name in measures), tuple(missing))

    def _plan(self, row: CheckpointRow, head_dtype: torch.dtype, head_tensor: str) -> Measurement:
        """A measurement of the head without its values: all that its id depends on."""
        return Measurement(
            checkpoint=row,
            measure="spectrum",
            version=VERSIONS["spectrum"],
            dtype=str(head_dtype).removeprefix("torch."),
            device="cpu",
            measured_at=datetime.now(UTC),
            seconds=0.0,
            bytes_read=0,
            software=f"saturation {__version__}, torch {torch.__version__}",
            inputs=head_tensor,
        )

    def _plan_measure(
        self, plan: Measurement, name: str, text: ScoredText | None, counted: CountedText | None
    ) -> Measurement:
        """The same for a measure by name; what a text is run through depends on it instead of the head's tensor."""
        plan = replace(plan, measure=name, version=VERSIONS[name])
        if name == "alignment" and counted is not None:
            return replace(
                plan, text=counted.row, tokens=len(counted.tokens.ids), inputs=counted.inputs(str(plan.inputs))
            )
        if name not in PASS_MEASURES or text is None:
            return plan
        return replace(
            plan,
            dtype=self.request.dtype,
            device=str(self.device),
            text=text.row,
            tokens=len(text.ids),
            context_length=text.context_length,
            inputs=text.inputs,
        )

    def _forward(
        self,
        checkpoint: Checkpoint,
        source: Source,
        planned: list[Measurement],
        text: ScoredText,
        report: Progress,
    ) -> dict[str, Measurement]:
        """All text measures from one forward pass."""
        before = source.bytes_read
        names = {item.measure for item in planned}
        report("fetching the model", 0, 1)
        with ExitStack() as stack:
            folder = stack.enter_context(source.model())
            stack.enter_context(self._gate)
            start = time.perf_counter()
            report("loading the model", 0, 1)
            parts = load_model(folder, self.request.dtype, self.device)
            measured = measure_text(
                parts,
                text.ids,
                text.first_token,
                text.context_length,
                words=text.words,
                utf8_bytes=text.utf8_bytes,
                loss="loss" in names,
                anisotropy="anisotropy" in names,
                progress=lambda done, total: report("forward pass", done, total),
            )
        values = {}
        if measured.anisotropy:
            values["anisotropy"] = _anisotropy(measured.anisotropy)
        if measured.loss:
            values["loss"] = _loss(measured.loss, text, checkpoint.family)
        cost: dict[str, Any] = {
            "seconds": time.perf_counter() - start,
            "bytes_read": source.bytes_read - before,
        }
        return {item.measure: replace(item, **cost, **values[item.measure]) for item in planned}


def checkpoint_row(checkpoint: Checkpoint, source: Source, shape: Shape) -> CheckpointRow:
    """What the store keeps of a checkpoint."""
    stated = registry.families()[checkpoint.family].models.get(checkpoint.model)
    return CheckpointRow(
        family=checkpoint.family,
        model=checkpoint.model,
        step=checkpoint.step,
        source=checkpoint.source,
        revision=checkpoint.revision,
        commit_sha=checkpoint.commit,
        content_id=source.weights.content_id(),
        hidden_size=shape.hidden_size,
        layers=shape.layers,
        vocab_size=shape.vocab_size,
        parameters=shape.parameters or (stated.parameters if stated else None),
        weight_bytes=source.weights.size(),
    )


def _anisotropy(found: Anisotropy) -> dict[str, Any]:
    scalars = {
        "anisotropy": found.layers[-1],
        "centred_anisotropy": found.centred_layers[-1],
        "anisotropy_before_norm": found.last_before_norm,
        "centred_anisotropy_before_norm": found.centred_last_before_norm,
    }
    return {"scalars": scalars, "series": {"layers": found.layers, "centred_layers": found.centred_layers}}


def _loss(found: Loss, text: ScoredText, family: str) -> dict[str, Any]:
    scalars = {name: value for name, value in asdict(found).items() if name != "tokens"}
    language = texts.language_of(text.row.text_id, text.row.name) if family == LAB else None
    if language is not None:  # the least loss that any model can expect on it is known exactly
        scalars["floor"] = language.floor(len(text.ids), text.context_length)
    return {"scalars": scalars}
