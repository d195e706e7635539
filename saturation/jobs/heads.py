"""Measure what the rank of the head alone costs a checkpoint: truncated heads, and heads trained on its last states."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from saturation import __version__, texts
from saturation.checkpoints.load import load_model, pick_device, read_head
from saturation.checkpoints.resolve import resolve_one
from saturation.checkpoints.source import Source, open_source
from saturation.errors import CheckpointError
from saturation.families import registry
from saturation.families.model import Checkpoint
from saturation.jobs.head_request import HeadsRequest
from saturation.jobs.measure import checkpoint_row
from saturation.jobs.request import HEAD_VERSIONS, Request
from saturation.jobs.scored_text import ScoredText, TextReader
from saturation.jobs.state_file import Split, StateFile, size, split
from saturation.measures.forward_pass import Parts, state_batches
from saturation.measures.head import Head
from saturation.measures.loss import RunningLoss
from saturation.measures.trained_heads import TRUNCATED, Training, learning_rates, score, train_head
from saturation.measures.truncated_heads import Factors, RunningTruncatedHeads, check_ranks, default_ranks
from saturation.settings import Settings
from saturation.store import CheckpointRow, Measurement, Store

Report = Callable[[int, int, str], None]
SHARES = 1000  # of a target, in the progress of a job


@dataclass(frozen=True)
class HeadsResult:
    """Truncated heads of all ranks, trained heads (one measurement each), and how many were computed just now."""

    checkpoint: CheckpointRow
    truncated: Measurement
    trained: tuple[Measurement, ...]
    computed: int


def measure_heads(
    store: Store,
    checkpoint: Checkpoint,
    request: Request,
    heads: HeadsRequest,
    report: Report | None = None,
    cache: Path | None = None,
    training: Mapping[str, int] | None = None,
) -> HeadsResult:
    """Read or compute heads of lower rank of one checkpoint; each trained head is stored as soon as it is done.

    request: the text and how it is run; its measures are not looked at. training: settings of `Training` other than
    its defaults. With trained heads, all losses are those of the text's last tenth.
    Raises SaturationError; what was stored before stays.
    """
    work = _Work(store, checkpoint, request, heads, cache or store.path.parent, training or {})
    return work.run(report or (lambda done, total, message: None))


class _Work:
    """One checkpoint, one text: what is planned, and what of it is missing."""

    def __init__(
        self,
        store: Store,
        checkpoint: Checkpoint,
        request: Request,
        heads: HeadsRequest,
        cache: Path,
        training: Mapping[str, int],
    ) -> None:
        own = registry.family(checkpoint.family).text_of(checkpoint.model)
        if request.text is None and own == texts.LAB_LANGUAGE and heads.train:
            request = replace(request, text=texts.LONG_LAB_LANGUAGE)
        self.store, self.request, self.heads, self.cache = store, request, heads, cache
        self.device = pick_device(request.device)
        self.source: Source = open_source(checkpoint, cache, request.keep)
        weight, shape = read_head(self.source, request.head_tensor)
        widest = min(weight.shape)
        self.ranks = check_ranks(heads.ranks or default_ranks(widest), widest)
        self.row = checkpoint_row(checkpoint, self.source, shape)
        self.text: ScoredText = TextReader(request).read(checkpoint, self.source, shape)
        self.cuts: Split | None = split(len(self.text.ids), self.text.context_length) if heads.train else None
        self.planned = self._plan("truncated_heads", f"ranks {self.ranks}")
        trainings = [
            Training(rank, rate, seed, start, **training)
            for rank in reversed(self.ranks)  # the largest first: it tells at once whether the training works
            for start in heads.starts
            for rate in heads.learning_rates or learning_rates()
            for seed in range(heads.seeds)
        ]
        self.trained = [
            (item, self._plan("trained_head", repr(sorted(asdict(item).items())))) for item in trainings if heads.train
        ]

    def _plan(self, measure: str, settings: str) -> Measurement:
        """A measurement without its values: all that its id depends on."""
        first = self.cuts.validation if self.cuts else 0
        inputs = hashlib.sha256(f"{self.text.inputs} {self.cuts} {settings}".encode()).hexdigest()
        return Measurement(
            checkpoint=self.row,
            measure=measure,
            version=HEAD_VERSIONS[measure],
            dtype=self.request.dtype,
            device=str(self.device),
            measured_at=datetime.now(UTC),
            seconds=0.0,
            bytes_read=0,
            software=f"saturation {__version__}, torch {torch.__version__}",
            text=self.text.row,
            tokens=len(self.text.ids) - first,
            context_length=self.text.context_length,
            inputs=f"sha256:{inputs}",
        )

    def run(self, report: Report) -> HeadsResult:
        planned = [self.planned, *(item for _, item in self.trained)]
        held = self.store.load(item.measurement_id for item in planned)
        stored = {key: replace(item, **held[key]) for item in planned if (key := item.measurement_id) in held}
        missing = len(planned) - len(stored)
        if missing:
            untrained = [(how, item) for how, item in self.trained if item.measurement_id not in stored]
            for item in self._compute(stored.get(self.planned.measurement_id), untrained, missing, report):
                self.store.add([item])
                stored[item.measurement_id] = item
        report(missing, missing, "done")
        found = [stored[item.measurement_id] for item in planned]
        return HeadsResult(self.row, found[0], tuple(found[1:]), missing)

    def _compute(
        self,
        truncated: Measurement | None,
        untrained: list[tuple[Training, Measurement]],
        missing: int,
        report: Report,
    ) -> Iterator[Measurement]:
        """What is missing, one measurement after another; None stands for truncated heads that are to be measured."""
        report(0, missing, "loading the model")
        start, before = time.perf_counter(), self.source.bytes_read
        with self.source.model() as folder:
            parts = load_model(folder, self.request.dtype, self.device)
        head = _head(parts)
        with ExitStack() as stack:
            kept = None
            if untrained:
                tokens, width = len(self.text.ids), head.weight.shape[1]
                report(0, missing, f"states of {tokens:,} tokens take {size(tokens, width) / 1e6:,.0f} MB")
                kept = StateFile(self.cache / "states", tokens, width)
                stack.callback(kept.close)
            values = self._pass(parts, kept, truncated is None, lambda message: report(0, missing, message))
            if truncated is None:
                seconds, read = time.perf_counter() - start, self.source.bytes_read - before
                truncated = replace(
                    self.planned, seconds=seconds, bytes_read=read, measured_at=datetime.now(UTC), **values
                )
                yield truncated
            del parts  # only the head is needed from here on
            if kept is not None:
                yield from self._train(head, kept, truncated, untrained, missing, report)

    def _slices(self) -> list[tuple[int, int, bool]]:
        """Parts of the text that are run one after another, and whether their losses are asked for."""
        if self.cuts is None:
            return [(0, len(self.text.ids), True)]
        ends = [0, *self.cuts]
        return [(first, last, last == self.cuts.evaluation) for first, last in pairwise(ends)]

    def _pass(
        self, parts: Parts, kept: StateFile | None, truncate: bool, report: Callable[[str], None]
    ) -> dict[str, Any]:
        """Run the text; keep its states, and score the model's own and the truncated heads where they are asked for."""
        head = _head(parts)
        views = {"": False} if head.softcap else {"": False, "centred_": True}
        running = {
            prefix: RunningTruncatedHeads(head, self.ranks, centred) for prefix, centred in views.items() if truncate
        }
        own, done, ids = RunningLoss(), 0, self.text.ids
        for first, last, scored in self._slices():
            if not (kept or (scored and truncate)):
                continue
            before = int(ids[first - 1]) if first else self.text.first_token
            for states, targets in state_batches(parts, ids[first:last], before, self.text.context_length):
                if kept is not None:
                    kept.add(states, targets)
                if scored and truncate:
                    own.update(states, targets, parts.logits, parts.vocab_size)
                    for sums in running.values():
                        sums.update(states, targets)
                done += len(targets)
                report(f"forward pass {done / len(ids):.0%}")
        if not truncate:
            return {}
        series: dict[str, Sequence[float]] = {"ranks": [float(rank) for rank in self.ranks]}
        for prefix, sums in running.items():
            found = sums.value()
            series |= {
                f"{prefix}nats_per_token": found.nats_per_token,
                f"{prefix}accuracy": found.accuracy,
                f"{prefix}w_error": found.w_error,
            }
        scalars = {"own_nats_per_token": own.nats / own.tokens, "own_accuracy": own.correct / own.tokens}
        return {"scalars": scalars, "series": series}

    def _train(
        self,
        head: Head,
        kept: StateFile,
        truncated: Measurement,
        untrained: list[tuple[Training, Measurement]],
        missing: int,
        report: Report,
    ) -> Iterator[Measurement]:
        """Train one head after another on the kept states; factors of the own head serve a truncated start."""
        ends = [0, *(self.cuts or ())]
        train, validation, evaluation = (kept.part(first, last) for first, last in pairwise(ends))
        factors = Factors(head) if TRUNCATED in self.heads.starts else None
        w_error = dict(zip(self.ranks, truncated.series["w_error"], strict=True))
        for place, (how, item) in enumerate(untrained):
            done, start = missing - len(untrained) + place, time.perf_counter()
            name = f"rank {how.rank}, {how.init} start, learning rate {how.learning_rate:g}, seed {how.seed}"
            report(done, missing, name)

            def within(step: int, steps: int, done: int = done, name: str = name) -> None:
                report(done, missing, f"{name}: step {step:,} of {steps:,}")

            found = train_head(train, validation, len(head.weight), how, factors, self.device, within)
            nats, accuracy = score(found, evaluation, self.device)
            scalars = {
                "rank": float(how.rank),
                "learning_rate": how.learning_rate,
                "seed": float(how.seed),
                "nats_per_token": nats,
                "accuracy": accuracy,
                "validation_nats_per_token": found.validation_nats,
                "train_steps": float(found.steps),
                "best_step": float(found.best_step),
                "w_error": w_error[how.rank],
            }
            yield replace(
                item,
                scalars=scalars,
                labels={"init": [how.init]},
                seconds=time.perf_counter() - start,
                measured_at=datetime.now(UTC),
            )


def _head(parts: Parts) -> Head:
    if parts.head is None:
        raise CheckpointError("The model's head cannot be taken apart; no other can take its place.")
    return parts.head


def run_job(settings: Settings, options: Mapping[str, Any], report: Report) -> None:
    """A job of the dashboard; one that is run again goes on after the last head that was stored.

    options: targets, one checkpoint each, and any of text, max_tokens and device (as in `Request`), ranks, train,
    learning_rates, seeds and init (as in `HeadsRequest`). Raises SaturationError.
    """
    reading = {name: options[name] for name in ("text", "max_tokens", "device") if options.get(name) is not None}
    asked = {name: options[name] for name in HeadsRequest.__dataclass_fields__ if options.get(name) is not None}
    for name in ("ranks", "learning_rates"):
        asked[name] = tuple(asked.get(name, ()))
    store, targets = Store(settings.store_path), list(options["targets"])
    for place, target in enumerate(targets):

        def within(done: int, total: int, message: str, place: int = place, target: str = target) -> None:
            # Each target is one part of the whole, whatever is missing of it.
            share = round(SHARES * (place + done / max(total, 1)))
            report(share, SHARES * len(targets), message if len(targets) == 1 else f"{target}: {message}")

        checkpoint = resolve_one(target, settings.cache)
        measure_heads(store, checkpoint, Request(**reading), HeadsRequest(**asked), within, settings.cache)
