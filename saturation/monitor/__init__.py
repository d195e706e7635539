"""Watch a training run while it goes on.

    monitor = Monitor(model, batch, run="mine")     # before the loop
    monitor.step()                                  # in the loop, after each optimizer step

or, with transformers, `Trainer(..., callbacks=[monitor_callback(batch, run="mine")])`. The dashboard draws the run as
it grows. A monitor never stops a training run: an error of its own is logged once, and the watching ends.
"""

import logging
import math
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saturation import __version__, settings
from saturation.monitor.points import Header, LiveRun, Point, PointFile, batch_id, check_name, parse

if TYPE_CHECKING:
    import torch

    from saturation.measures.forward_pass import Parts
    from saturation.monitor.probe import Measured, Probe

__all__ = ["LiveRun", "Monitor", "monitor_callback", "parse"]
log = logging.getLogger("saturation.monitor")
EVERY = 100
MOST_OVERHEAD = 0.01
# A change is looked for from so many points on (`measures.changes` needs six after the first 2 %), and one that began
# in the first half of what there is belongs to the first descent: the spectrum of a random head is the flattest.
FEWEST_POINTS, LATE = 8, 0.5


class Monitor:
    """Measures a model in training every so often, and appends what it found to a file that the dashboard reads.

    batch: token ids (rows, length) on which anisotropy and loss are measured; None watches the head alone.
    every: steps between points, at least; stretched so that measuring takes no more than `most_overhead` of the
    training time (1 %). folder: where the file goes; default: `live/` in the cache folder. head, parts: for models
    that are not of transformers (see `probe.Probe`). Only the process of rank 0 measures.
    """

    def __init__(
        self,
        model: "torch.nn.Module",
        batch: "torch.Tensor | None" = None,
        run: str = "run",
        *,
        every: int = EVERY,
        most_overhead: float = MOST_OVERHEAD,
        folder: str | os.PathLike[str] | None = None,
        head: "torch.Tensor | None" = None,
        parts: "Parts | None" = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.every, self.most_overhead = max(1, every), most_overhead
        self.file: PointFile | None = None
        self._run, self._model, self._batch, self._head, self._parts = run, model, batch, head, parts
        self._folder = Path(folder) if folder is not None else settings.load().cache / "live"
        self._clock = clock
        self._step = 0
        self._probe: Probe | None = None
        self._before: Measured | None = None
        self._spent = self._cost = 0.0
        self._next = 0
        self._points: list[tuple[int, float | None, float]] = []
        self._warned = self._ended = self._complained = False
        if int(os.environ.get("RANK", "0")) != 0:
            self._ended = True
        else:
            self._guarded(self._prepare)
        self._began = clock()

    @property
    def share(self) -> float:
        """Seconds spent on measuring by seconds of training, so far."""
        trained = self._clock() - self._began - self._spent
        return self._spent / trained if trained > 0 else 0.0

    def step(self, step: int | None = None) -> None:
        """Tell that an optimizer step is done; measures when it is time to. step: its number, else counted from 1."""
        self._step = self._step + 1 if step is None else int(step)
        if self._ended:
            return
        if self._before is not None:
            self._guarded(self._begin)
        if not self._ended and self._step >= self._next and self._affordable():
            self._guarded(self._measure)

    def close(self) -> None:
        """Measure once more, at the end of training."""
        if not self._ended and self._points and self._points[-1][0] != self._step:
            self._guarded(self._measure)

    def _affordable(self) -> bool:
        return self._spent + self._cost <= self.most_overhead * (self._clock() - self._began - self._spent)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do it; whatever goes wrong is said once and training goes on: unwatched, but for a disk that may recover."""
        try:
            action()
        except OSError as error:
            self._next = self._step + self.every
            if not self._complained:
                log.warning("Saturation cannot write what it sees of the run '%s' (%s).", self._run, error.strerror)
            self._complained = True
        except Exception as error:  # noqa: BLE001 (an error of the monitor must not end hours of training)
            self._ended = True
            line = str(error).strip().partition("\n")[0] or type(error).__name__
            log.warning("Saturation stops watching the run '%s' at step %d: %s", self._run, self._step, line)

    def _prepare(self) -> None:
        """Before training: load what is needed, and measure what the model is before its first step."""
        from saturation.monitor.probe import Probe

        check_name(self._run)
        self._probe = Probe(self._model, self._batch, self._head, self._parts)
        self._before = self._probe.measure()
        start = self._clock()
        self._before = self._probe.measure()  # again: the first time takes longer than those to come
        self._cost = self._clock() - start

    def _begin(self) -> None:
        """At the first step: its number tells whether training was resumed, and so which file is this run's."""
        assert self._probe is not None
        before, self._before = self._before, None
        if before is None:
            return
        self.file = PointFile.open(self._folder, self._header(self._probe), self._step)
        log.info("Saturation watches the run '%s' in %s", self._run, self.file.path)
        self._keep(self._point(before, self._step - 1, self._cost, 0.0))
        self._next = self._step - 1 + self.every

    def _measure(self) -> None:
        start = self._clock()
        assert self._probe is not None
        measured = self._probe.measure()
        cost = self._clock() - start
        trained = start - self._began - self._spent
        self._keep(self._point(measured, self._step, cost, (self._spent + cost) / trained if trained > 0 else 0.0))
        self._warn()
        self._cost = self._clock() - start
        self._spent += self._cost
        self._next = self._step + self.every

    def _keep(self, point: Point) -> None:
        assert self.file is not None
        self._points.append(
            (point.step, point.layers[-1] if point.layers else None, point.spectrum["singular_entropy"])
        )
        self.file.add(point)

    def _header(self, probe: "Probe") -> Header:
        import torch

        head = probe.head
        ids = None if probe.tokens is None else probe.tokens.tolist()
        return Header(
            run=self._run,
            run_id=f"{time.time_ns():x}-{os.getpid():x}",
            model=type(probe.model).__name__,
            hidden_size=head.shape[1],
            vocab_size=head.shape[0],
            layers=len(probe.parts.blocks) if probe.parts else 0,
            parameters=sum(parameter.numel() for parameter in probe.model.parameters()),
            batch_id=None if ids is None else batch_id(ids),
            tokens=0 if ids is None else len(ids),
            context_length=probe.context_length,
            dtype=str(head.dtype).removeprefix("torch."),
            device=head.device.type,
            software=f"saturation {__version__}, torch {torch.__version__}",
            started=datetime.now(UTC).isoformat(),
        )

    def _point(self, measured: "Measured", step: int, seconds: float, share: float) -> Point:
        from saturation.measures.spectrum import summary

        found, loss = measured.anisotropy, measured.loss
        return Point(
            step=step,
            time=datetime.now(UTC).isoformat(),
            seconds=seconds,
            share=share,
            spectrum={name: value for name, value in summary(measured.spectra).items() if math.isfinite(value)},
            singular_values=measured.spectra.plain.tolist(),
            centred_singular_values=measured.spectra.centred.tolist(),
            layers=found.layers if found else [],
            centred_layers=found.centred_layers if found else [],
            last_before_norm=found.last_before_norm if found else None,
            centred_last_before_norm=found.centred_last_before_norm if found else None,
            nats_per_token=loss.nats_per_token if loss else None,
            accuracy=loss.accuracy if loss else None,
        )

    def _warn(self) -> None:
        """Say once, in a line, that anisotropy or entropy has begun to rise; the rule is that of the verdict."""
        if self._warned or len(self._points) < FEWEST_POINTS:
            return
        from saturation.measures.changes import changes
        from saturation.measures.verdict import Thresholds

        limits, turned = Thresholds(), []
        steps = [step for step, _, _ in self._points]
        anisotropy = [value for _, value, _ in self._points if value is not None]
        entropy = np.log([max(value, 1e-12) for _, _, value in self._points])
        if len(anisotropy) == len(steps):
            turn = changes(steps, anisotropy, limits.least_anisotropy).turn
            if turn and turn.step >= LATE * steps[-1]:
                rise = f"({turn.low:.2f} to {turn.last:.2f})"
                turned.append(f"last-layer anisotropy since about step {turn.step:,} {rise}")
        turn = changes(steps, entropy, math.log1p(limits.least_entropy)).turn
        if turn and turn.step >= LATE * steps[-1]:
            rise = f"({math.exp(turn.low):.2f} to {math.exp(turn.last):.2f} nats)"
            turned.append(f"singular entropy since about step {turn.step:,} {rise}")
        if turned:
            self._warned = True
            log.warning("Saturation: in the run '%s' these rise: %s.", self._run, " and ".join(turned))


def monitor_callback(batch: "torch.Tensor | None" = None, run: str = "run", **options: Any) -> Any:
    """A `transformers.TrainerCallback` that watches the Trainer's model; arguments as those of `Monitor`."""
    from saturation.monitor.trainer import MonitorCallback

    return MonitorCallback(batch, run, **options)
