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

    def ours(one: Head) -> float:
        running = RunningLoss()
        running.update(states, targets, one, VOCAB)
        return running.nats / running.tokens

    @torch.inference_mode()
    def plain(one: Head) -> float:
        return float(torch.nn.functional.cross_entropy(one(states), targets))

    def each() -> list[float]:
        factors: Factors = many.factors
        return [plain(Head(factors.columns[:, :r] @ factors.directions[:, :r].T)) for r in RANKS]

    many.update(states, targets)
    error = max(abs(found - other) for found, other in zip(many.value().nats_per_token, each(), strict=True))
    shape, evaluation = f"({VOCAB}, {WIDTH}) on {TOKENS:,} states", "`cross_entropy` of all logits"
    alone = compare(f"loss of a head {shape}", lambda: ours(head), evaluation, lambda: plain(head))
    yield alone.aimed("", None, f"difference {abs(ours(head) - plain(head)):.0e}")
    name = f"{len(RANKS)} truncated heads of {shape}"
    one = compare(name, lambda: many.update(states, targets), f"one evaluation: {evaluation}", lambda: plain(head))
    yield one.aimed("2 times one evaluation", one.ratio <= 2.0, f"of our own loss {one.ours / alone.ours:.1f} times")
    note = f"largest difference of a loss {error:.0e}"
    yield compare(name, lambda: many.update(states, targets), f"{len(RANKS)} evaluations", each, rounds=1, note=note)


def main() -> None:
    """One line at a time, so that a stopped run shows what it had."""
    print(HEADER)
    for line in heads_lines():
        print(line.row(), flush=True)


if __name__ == "__main__":
    main()
