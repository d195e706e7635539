"""The monitor as a callback of the transformers Trainer."""

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from saturation.monitor import Monitor


class MonitorCallback(TrainerCallback):
    """Watches the model of a Trainer from its first step to its end (see `Monitor`)."""

    def __init__(self, batch: torch.Tensor | None = None, run: str = "run", **options: Any) -> None:
        self._batch, self._run, self._options = batch, run, options
        self.monitor: Monitor | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Before the first step."""
        if state.is_world_process_zero and kwargs.get("model") is not None:
            self.monitor = Monitor(kwargs["model"], self._batch, self._run, **self._options)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After each optimizer step."""
        if self.monitor is not None:
            self.monitor.step(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """One last point, of the weights that training ended with."""
        if self.monitor is not None:
            self.monitor.close()
            self.monitor = None
