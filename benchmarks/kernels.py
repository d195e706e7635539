"""The measures themselves."""

from collections.abc import Iterator

import numpy as np
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from benchmarks.timing import Line, compare
from saturation.measures.anisotropy import RunningAnisotropy, anisotropy
from saturation.measures.forward_pass import Parts, measure_text, window_batches
from saturation.measures.spectrum import head_spectra

VOCAB = 50304


def _head(hidden_size: int, condition: float = 1e3) -> torch.Tensor:
    """A random head whose singular values fall evenly on a log scale to 1 / condition."""
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(VOCAB, hidden_size, generator=generator, dtype=torch.float64) / VOCAB**0.5
    turn = torch.linalg.qr(torch.randn(hidden_size, hidden_size, generator=generator, dtype=torch.float64))[0]
    return ((columns * torch.logspace(0, -np.log10(condition), hidden_size)) @ turn).float()


def spectrum_lines() -> Iterator[Line]:
    """Plain and row-mean-removed singular values, both in float64, beside one float32 SVD."""
    for hidden_size in (512, 1024):
        weight = _head(hidden_size)
        exact = torch.linalg.svdvals(weight.double()).numpy()
        error = np.abs(head_spectra(weight).plain / exact - 1).max()
        yield compare(
            f"singular values of ({VOCAB}, {hidden_size}), plain and centred",
            lambda weight=weight: head_spectra(weight),
            "torch.linalg.svdvals float32",
            lambda weight=weight: torch.linalg.svdvals(weight),
            rounds=3,
            note=f"largest relative error {error:.0e}",
        )


def anisotropy_line() -> Line:
    """50,000 vectors by running sums beside the pairwise matrix of 5,000, times 100."""
    vectors = torch.randn(50_000, 512, generator=torch.Generator().manual_seed(0)) + 0.3
    few = vectors[:5_000]

    def ours() -> float:
        running = RunningAnisotropy()
        running.update(vectors)
        return running.value()

    def pairwise() -> float:
        unit = torch.nn.functional.normalize(few)
        cosines = unit @ unit.T
        return float((cosines.sum() - len(few)) / (len(few) * (len(few) - 1)))

    small = RunningAnisotropy()
    small.update(few)
    difference = abs(small.value() - anisotropy(few))
    return compare(
        "anisotropy of 50,000 vectors of width 512",
        ours,
        "pairwise matrix, from 5,000 x 100",
        pairwise,
        scale=100.0,
        note=f"difference from float64 {difference:.0e}",
    )


def forward_line() -> Line:
    """Loss and anisotropy of all layers beside the bare forward pass with loss."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=512, num_hidden_layers=6, num_attention_heads=8, intermediate_size=2048
    )
    model = GPTNeoXForCausalLM(config).eval()
    tokens = torch.randint(0, VOCAB, (8192,))

    def base(ids: torch.Tensor) -> torch.Tensor:
        return model.gpt_neox(input_ids=ids, use_cache=False).last_hidden_state

    parts = Parts(base, tuple(model.gpt_neox.layers), model.lm_head, VOCAB, torch.device("cpu"))

    @torch.inference_mode()
    def bare() -> float:
        total = 0.0
        for inputs, targets in window_batches(tokens, 0, 2048):
            for states, wanted in zip(base(inputs), targets, strict=True):
                total += float(torch.nn.functional.cross_entropy(model.lm_head(states), wanted, reduction="sum"))
        return total / len(tokens)

    return compare(
        "loss and anisotropy of all layers, 8,192 tokens, 6 layers of width 512",
        lambda: measure_text(parts, tokens, 0, 2048, words=1, utf8_bytes=1),
        "forward pass with loss only",
        bare,
        rounds=3,
    )
