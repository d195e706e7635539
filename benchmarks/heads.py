"""Heads cut to many ranks in one pass, beside one evaluation and beside an evaluation for every rank.

`python -m benchmarks.heads` prints the table.
"""

from collections.abc import Iterator

import torch

from benchmarks.timing import HEADER, Line, compare
from saturation.measures.head import Head
from saturation.measures.loss import RunningLoss
from saturation.measures.truncated_heads import Factors, RunningTruncatedHeads

VOCAB, WIDTH, TOKENS = 50304, 512, 2048
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512)


def heads_lines() -> Iterator[Line]:
    """Loss and accuracy of 2,048 states under a head of a Pythia-70M's shape, the forward pass before it left out."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(TOKENS, WIDTH, generator=generator)
    head = Head(torch.randn(VOCAB, WIDTH, generator=generator) / WIDTH**0.5)
    targets = torch.randint(0, VOCAB, (TOKENS,), generator=generator)
    many = RunningTruncatedHeads(head, RANKS)

    def loss_of(one: Head) -> float:
        running = RunningLoss()
        running.update(states, targets, one, VOCAB)
        return running.nats / running.tokens

    def each() -> list[float]:
        factors: Factors = many.factors
        return [loss_of(Head(factors.columns[:, :r] @ factors.directions[:, :r].T)) for r in RANKS]

    many.update(states, targets)
    error = max(abs(ours - plain) for ours, plain in zip(many.value().nats_per_token, each(), strict=True))
    name = f"{len(RANKS)} truncated heads of ({VOCAB}, {WIDTH}) on {TOKENS:,} states"
    one = compare(name, lambda: many.update(states, targets), "the own head once", lambda: loss_of(head), rounds=3)
    yield one.aimed("2 times one evaluation", one.ratio <= 2.0)
    note = f"largest difference of a loss {error:.0e}"
    all_ranks = f"{len(RANKS)} evaluations"
    yield compare(name, lambda: many.update(states, targets), all_ranks, each, rounds=1, note=note)


def main() -> None:
    """One line at a time, so that a stopped run shows what it had."""
    print(HEADER)
    for line in heads_lines():
        print(line.row(), flush=True)


if __name__ == "__main__":
    main()
