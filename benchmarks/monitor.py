"""Training with a monitor beside training without one: the same steps in turns, and the share it reports itself.

Processor time of one thread, so that what else the machine does hardly counts. Enough steps for several points: a run
that ends before the first would compare nothing.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from benchmarks.timing import Line
from saturation.monitor import EVERY, Monitor, parse

STEPS = 3 * EVERY + 1
TURNS = 3


@dataclass(frozen=True)
class Trained:
    """Seconds of processor time, and what the monitor says: its share, and how many points it measured."""

    seconds: float
    share: float = 0.0
    points: int = 0


def monitor_line() -> Line:
    """A model of 2 million parameters, `STEPS` steps a turn. Raises RuntimeError where nothing was measured."""
    turns = []
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory() as folder:
            turns.append((_train(Path(folder)), _train(None)))
    if min(watched.points for watched, _ in turns) < 2:
        raise RuntimeError("The monitor measured less than two points; give the benchmark more steps.")
    turns.sort(key=_ratio)
    watched, plain = turns[TURNS // 2]
    return Line(
        f"{STEPS} training steps with `saturation.monitor` at its default interval, 2 M parameters",
        "the same steps without it",
        watched.seconds,
        plain.seconds,
        _ratio(turns[TURNS // 2]),
        _ratio(turns[0]),
        _ratio(turns[-1]),
        f"{watched.points} points; its own account: {max(watched.share for watched, _ in turns):.2%} at most",
    )


def _ratio(turn: tuple[Trained, Trained]) -> float:
    return turn[0].seconds / turn[1].seconds


def _train(folder: Path | None) -> Trained:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = GPTNeoXConfig(
        vocab_size=4096,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=64,
    )
    model = GPTNeoXForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(1)
    batch = torch.randint(0, 4096, (8, 64), generator=generator)
    monitor = None if folder is None else Monitor(model, batch, "bench", folder=folder)
    start = time.process_time()
    for _ in range(STEPS):
        ids = torch.randint(0, 4096, (8, 64), generator=generator)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if monitor is not None:
            monitor.step()
    seconds = time.process_time() - start
    if folder is None or monitor is None:
        return Trained(seconds)
    found = parse(folder / "bench.jsonl")
    return Trained(seconds, monitor.share, 0 if found is None else len(found.points))


if __name__ == "__main__":
    print(monitor_line().row())
