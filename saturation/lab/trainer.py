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
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.optim import AdamW
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from saturation.errors import CheckpointError, InputError, NotFiniteError
from saturation.lab.config import RunConfig
from saturation.lab.tokenizer import save_tokenizer
from saturation.measures.head_loss import HeadLoss

DATA_STREAM = 2  # keeps the training data's random numbers apart from those of the language and its texts
BLOCK_STEPS = 256  # data is drawn this many steps at a time: 2 MB of tokens at 1024 a step
RESUME_EVERY = 500  # steps, the most that a stopped run loses
CURVE_POINTS = 400

Progress = Callable[[int, int, float], None]
"""Called after each step with the step, the last step and that step's loss in nats per token."""


def build_model(config: RunConfig) -> GPTNeoXForCausalLM:
    """The run's model with its initial weights, which depend on `config.seed` alone."""
    model_config = GPTNeoXConfig(
        vocab_size=config.language.vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.context_length,
        initializer_range=config.initializer_range,
        # Pythia turns a quarter of each head; these heads are too small to be split.
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return GPTNeoXForCausalLM(model_config)


def build_optimizer(model: GPTNeoXForCausalLM, config: RunConfig) -> AdamW:
    """AdamW that decays matrices only, as in Pythia's training."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def training_batches(config: RunConfig, first_step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs (batch, context_length) and targets (batch * context_length, 1) of step `first_step` and all that follow.

    The data of a step depends on the seed and the step alone, so resuming needs no state of the generator,
    and runs that differ in width see the same tokens.
    """
    block = (first_step - 1) // BLOCK_STEPS
    skipped = (first_step - 1) % BLOCK_STEPS
    while True:
        generator = np.random.default_rng([config.seed, DATA_STREAM, block])
        tokens = config.language.sample(BLOCK_STEPS * config.batch, config.context_length + 1, generator)
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


def _save_resume_point(
    path: Path, model: GPTNeoXForCausalLM, optimizer: AdamW, losses: list[float], seconds: float
) -> None:
    # No generator state: the data follows from the step, and the models have no dropout.
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "losses": torch.tensor(losses, dtype=torch.float32),
        "seconds": seconds,
    }
    temporary = path.with_name(path.name + ".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


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
    return {"config": config.to_dict(), "language": dataclasses.asdict(config.language)}


def _describe(config: RunConfig, model: GPTNeoXForCausalLM, losses: list[float], seconds: float) -> dict[str, Any]:
    """The content of `run.json`; losses and entropies in nats per token, `seconds` of training without pauses."""
    language = config.language
    return {
        "run": config.name,
        **_settings(config),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tokens_per_step": config.tokens_per_step,
        "entropy_rate": language.entropy_rate,
        "first_order_entropy": language.first_order_entropy,
        "window_floor": language.window_floor(config.context_length),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
        },
        "steps_done": len(losses),
        "finished": len(losses) == config.steps,
        "seconds": round(seconds, 1),
        "loss_curve": thin_curve(losses),
    }


def _is_finished(path: Path, config: RunConfig) -> bool:
    """Whether `run.json` at `path` says that this very run is over; refuses to mix two runs in one folder."""
    if not path.exists():
        return False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        settings, finished = {key: found[key] for key in ("config", "language")}, found["finished"]
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
    optimizer = build_optimizer(model, config)
    losses: list[float] = []
    seconds_before = 0.0
    if resume_point.exists():
        try:
            state = torch.load(resume_point, weights_only=True)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            losses, seconds_before = state["losses"].tolist(), state["seconds"]
        except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{resume_point} is damaged; delete {run_folder} to train the run anew.") from error
    else:
        save_tokenizer(config.language, run_folder)
        _write_json(description, _describe(config, model, losses, 0.0))
        save_checkpoint(model, run_folder, 0)

    started = time.perf_counter()
    head_loss = HeadLoss(config.tokens_per_step, config.language.vocab_size)
    head = model.get_output_embeddings()
    saved_steps = set(config.checkpoint_steps)
    batches = training_batches(config, len(losses) + 1)
    for step in range(len(losses) + 1, last_step + 1):
        inputs, targets = next(batches)
        rate = config.learning_rate_at(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        hidden = model.gpt_neox(input_ids=inputs, use_cache=False).last_hidden_state
        loss = head_loss(hidden.view(-1, config.hidden_size), head.weight, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise NotFiniteError(f"The loss of {config.name} is not finite at step {step}: lower its learning rate.")
        if step in saved_steps:
            save_checkpoint(model, run_folder, step)
        if step % RESUME_EVERY == 0 or step == last_step:
            seconds = seconds_before + time.perf_counter() - started
            _save_resume_point(resume_point, model, optimizer, losses, seconds)
            _write_json(description, _describe(config, model, losses, seconds))
        if progress is not None:
            progress(step, config.steps, losses[-1])
    if len(losses) == config.steps:
        resume_point.unlink(missing_ok=True)
    return run_folder


def train_run(name: str, output: Path, *, progress: Progress | None = None, stop_at: int | None = None) -> Path:
    """Train the bundled run called `name` (see `RunConfig.from_name`) into `output/<name>`; returns that folder."""
    return train(RunConfig.from_name(name), output, progress=progress, stop_at=stop_at)
