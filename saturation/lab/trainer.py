"""Training of the lab's models: transformers' own GPT-NeoX, on data that never repeats, resumable bit for bit.

A run's folder holds `tokenizer.json`, `tokenizer_config.json`, `run.json`, one `step<N>` folder in the
transformers format for every checkpoint and, until the run is over, `resume.pt`.
"""

import dataclasses
import json
import math
import os
import pickle
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import GPTNeoXForCausalLM

from saturation.errors import CheckpointError, InputError, NotFiniteError
from saturation.lab.config import RunConfig
from saturation.lab.models import build_model
from saturation.lab.objective import build_objective
from saturation.lab.optimizers import Optimizers, build_optimizer
from saturation.lab.precision import FORMATS, LossScale

DATA_STREAM = 2  # keeps the training data's random numbers apart from those of the language and its texts
BLOCK_STEPS = 256  # data is drawn this many steps at a time: 2 MB of tokens at 1024 a step
RESUME_EVERY = 500  # steps, the most that a stopped run loses
CURVE_POINTS = 400

Progress = Callable[[int, int, float], None]
"""Called after each step with the step, the last step and that step's loss in nats per token."""


def training_batches(config: RunConfig, first_step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs (batch, context_length) and targets (batch * context_length, 1) of step `first_step` and all that follow.

    The data of a step depends on the seed and the step alone, so resuming needs no state of the generator,
    and runs that differ in width see the same tokens.
    """
    block = (first_step - 1) // BLOCK_STEPS
    skipped = (first_step - 1) % BLOCK_STEPS
    while True:
        generator = np.random.default_rng([config.seed, DATA_STREAM, block])
        tokens = config.corpus.sample(BLOCK_STEPS * config.batch, config.context_length + 1, generator)
        batches = torch.from_numpy(tokens).view(BLOCK_STEPS, config.batch, config.context_length + 1)
        for batch in batches[skipped:]:
            yield batch[:, :-1].contiguous(), batch[:, 1:].reshape(-1, 1)
        block, skipped = block + 1, 0


@contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread: sums over threads have no fixed order, and models this small gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def save_checkpoint(model: GPTNeoXForCausalLM, run_folder: Path, step: int) -> None:
    """Write `step<N>` in the transformers format; it appears whole or not at all."""
    final = run_folder / f"step{step}"
    if final.exists():  # a run stopped between this step and its next resume point writes the same bits again
        return
    temporary = run_folder / f".step{step}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    showed_bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        model.save_pretrained(temporary)
    finally:
        if showed_bars:
            transformers.utils.logging.enable_progress_bar()
    (temporary / "generation_config.json").unlink(missing_ok=True)
    temporary.rename(final)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


@dataclass
class _State:
    """All that changes while a run trains. No generator: the data follows from the step, the models have no dropout."""

    model: GPTNeoXForCausalLM
    optimizers: Optimizers
    scale: LossScale
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0  # of training, without pauses

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": self.optimizers.state(),
            "scale": dataclasses.asdict(self.scale),
            "losses": torch.tensor(self.losses, dtype=torch.float32),
            "seconds": self.seconds,
        }
        temporary = path.with_name(path.name + ".part")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        try:
            state = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizers.load(state["optimizers"])
            self.scale = LossScale(**state["scale"])
            self.losses, self.seconds = state["losses"].tolist(), state["seconds"]
        except (RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{path} is damaged; delete {path.parent} to train the run anew.") from error


def thin_curve(losses: list[float], points: int = CURVE_POINTS) -> list[list[float]]:
    """Means of `losses` (one a step, in nats per token) over up to `points` stretches of equal ratio.

    Each entry is the last step of a stretch and the mean loss within it.
    """
    if not losses:
        return []
    edges = np.unique(np.geomspace(1, len(losses), points).round().astype(int))
    starts = np.concatenate([[0], edges[:-1]])
    return [[int(end), float(np.mean(losses[start:end]))] for start, end in zip(starts, edges, strict=True)]


def _settings(config: RunConfig) -> dict[str, Any]:
    return {"config": config.to_dict(), "corpus": config.corpus.settings()}


def _describe(config: RunConfig, state: _State) -> dict[str, Any]:
    """The content of `run.json`; losses and entropies in nats per token, `seconds` of training without pauses."""
    return {
        "run": config.name,
        **_settings(config),
        **config.corpus.describe(config.context_length),
        "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
        "tokens_per_step": config.tokens_per_step,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
        },
        "steps_done": len(state.losses),
        "skipped_updates": state.scale.skipped,
        "finished": len(state.losses) == config.steps,
        "seconds": round(state.seconds, 1),
        "loss_curve": thin_curve(state.losses),
    }


def _is_finished(path: Path, config: RunConfig) -> bool:
    """Whether `run.json` at `path` says that this very run is over; refuses to mix two runs in one folder."""
    if not path.exists():
        return False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        settings, finished = {key: found[key] for key in ("config", "corpus")}, found["finished"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged; delete {path.parent} to train the run anew.") from error
    if settings != _settings(config):
        raise InputError(
            f"{path.parent} holds a run with other settings; delete it, or give another name or output folder."
        )
    return bool(finished)


def train(config: RunConfig, output: Path, *, progress: Progress | None = None, stop_at: int | None = None) -> Path:
    """Train a run into `output/<run name>` and return that folder; continues a run that was stopped.

    Interrupted at any moment and started again, a run ends with the same bits as one that was left alone,
    on the same machine and versions. `stop_at` ends this call after that step, ready to be resumed. Raises
    `InputError` if the folder holds a run with other settings, `CheckpointError` if what is there cannot be
    read, and `NotFiniteError` if the loss is no longer finite.
    """
    if stop_at is not None and stop_at < 0:
        raise InputError(f"stop_at is {stop_at}, but it must be 0 or more.")
    with _one_thread():
        return _train(config, Path(output), progress, config.steps if stop_at is None else min(stop_at, config.steps))


def _train(config: RunConfig, output: Path, progress: Progress | None, last_step: int) -> Path:
    run_folder = output / config.name
    run_folder.mkdir(parents=True, exist_ok=True)
    description, resume_point = run_folder / "run.json", run_folder / "resume.pt"
    if _is_finished(description, config):
        resume_point.unlink(missing_ok=True)
        return run_folder

    model = build_model(config).train()
    state = _State(model, build_optimizer(model, config), LossScale.of(config.precision, config.loss_scale))
    if resume_point.exists():
        state.load(resume_point)
    else:
        config.corpus.save_tokenizer(run_folder)
        _write_json(description, _describe(config, state))
        save_checkpoint(model, run_folder, 0)

    before, started = state.seconds, time.perf_counter()
    objective = build_objective(config, model)
    saved_steps = set(config.checkpoint_steps)
    batches = training_batches(config, len(state.losses) + 1)
    for step in range(len(state.losses) + 1, last_step + 1):
        inputs, targets = next(batches)
        state.optimizers.set_rate(config.learning_rate_at(step))
        hidden = model.gpt_neox(input_ids=inputs, use_cache=False).last_hidden_state
        loss, minimised = objective(hidden.view(-1, config.hidden_size), targets, state.scale.value)
        (minimised if state.scale.value == 1.0 else minimised * state.scale.value).backward()
        _update(config, state, step)
        state.losses.append(loss.item())
        if not math.isfinite(state.losses[-1]):
            raise _diverged(config, step)
        if step in saved_steps:
            save_checkpoint(model, run_folder, step)
        if step % RESUME_EVERY == 0 or step == last_step:
            state.seconds = before + time.perf_counter() - started
            state.save(resume_point)
            _write_json(description, _describe(config, state))
        if progress is not None:
            progress(step, config.steps, state.losses[-1])
    if len(state.losses) == config.steps:
        resume_point.unlink(missing_ok=True)
    return run_folder


def _update(config: RunConfig, state: _State, step: int) -> None:
    """One update from the gradients at hand, unless they overflowed, and what follows it."""
    parameters = list(state.model.parameters())
    try:
        usable = config.precision != "float16" or state.scale.unscale(parameters)
    except NotFiniteError as error:
        raise _diverged(config, step) from error
    if usable:
        state.optimizers.step()
        with torch.no_grad():
            if config.centred_head:
                head = state.model.get_output_embeddings().weight
                head.sub_(head.mean(0))
            if config.weight_dtype != "float32":
                dtype = FORMATS[config.weight_dtype]
                for parameter in parameters:
                    parameter.copy_(parameter.to(dtype))
    state.optimizers.zero_grad()


def _diverged(config: RunConfig, step: int) -> NotFiniteError:
    return NotFiniteError(f"The loss of {config.name} is not finite at step {step}: lower its learning rate.")


def train_run(name: str, output: Path, *, progress: Progress | None = None, stop_at: int | None = None) -> Path:
    """Train the bundled run called `name` (see `RunConfig.from_name`) into `output/<name>`; returns that folder."""
    return train(RunConfig.from_name(name), output, progress=progress, stop_at=stop_at)
