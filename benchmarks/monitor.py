"""Training with a monitor beside training without one: the same steps in turns, and the share it reports itself.

Processor time of one thread, so that what else the machine does hardly counts.
"""

import tempfile
import time
from pathlib import Path

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from benchmarks.timing import Line
from saturation.monitor import Monitor

SECONDS = 40.0
TURNS = 3


def monitor_line() -> Line:
    """A model of 12 million parameters; the plain turn makes as many steps as the watched one did."""
    ratios, ours, plains, shares = [], [], [], []
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory() as folder:
            steps, watched, share = _train(Path(folder))
        _, plain, _ = _train(None, steps)
        ratios.append(watched / plain)
        ours.append(watched)
        plains.append(plain)
        shares.append(share)
    middle = sorted(range(TURNS), key=ratios.__getitem__)[TURNS // 2]
    return Line(
        "training with `saturation.monitor` at its default interval, 12 M parameters",
        "the same steps without it",
        ours[middle],
        plains[middle],
        ratios[middle],
        min(ratios),
        max(ratios),
        f"its own account: {max(shares):.2%} at most",
    )


def _train(folder: Path | None, steps: int | None = None) -> tuple[int, float, float]:
    """Steps made, seconds taken, and the monitor's share; for SECONDS, or so many steps."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = GPTNeoXConfig(
        vocab_size=16384,
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
        max_position_embeddings=128,
    )
    model = GPTNeoXForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(1)
    batch = torch.randint(0, 16384, (16, 128), generator=generator)
    monitor = None if folder is None else Monitor(model, batch, "bench", folder=folder)
    start, done = time.process_time(), 0
    while done < steps if steps is not None else time.process_time() - start < SECONDS:
        ids = torch.randint(0, 16384, (8, 128), generator=generator)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        done += 1
        if monitor is not None:
            monitor.step()
    seconds = time.process_time() - start
    return done, seconds, 0.0 if monitor is None else monitor.share


if __name__ == "__main__":
    print(monitor_line().row())
