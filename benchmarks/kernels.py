"""The measures themselves: spectra of a head, anisotropy, and the pass over a text."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import blas
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from benchmarks.timing import Line, compare, seconds_of
from saturation.checkpoints.load import parts_of
from saturation.measures.anisotropy import RunningAnisotropy, anisotropy
from saturation.measures.forward_pass import measure_text, window_batches
from saturation.measures.spectrum import ROWS_PER_CHUNK, head_spectra

VOCAB = 50304
TOKENS, MANY_TOKENS = 50_000, 500_000
TIMED = 20_480


def random_head(hidden_size: int, condition: float = 9.9e3) -> torch.Tensor:
    """A random head whose singular values fall evenly on a log scale from 1 to 1 / condition."""
    generator = torch.Generator().manual_seed(0)
    columns = torch.linalg.qr(torch.randn(VOCAB, hidden_size, generator=generator, dtype=torch.float64))[0]
    turn = torch.linalg.qr(torch.randn(hidden_size, hidden_size, generator=generator, dtype=torch.float64))[0]
    return ((columns * torch.logspace(0, -np.log10(condition), hidden_size)) @ turn).float()


def _error(weight: torch.Tensor) -> float:
    """The largest relative error of a singular value, against LAPACK's float64 SVD of the whole head."""
    exact = torch.linalg.svdvals(weight.double()).numpy()
    return float(np.abs(head_spectra(weight).plain / exact - 1).max())


def spectrum_lines() -> Iterator[Line]:
    """Plain and centred singular values, both in float64, beside one float32 SVD."""
    beyond = _error(random_head(512, 1e6))
    for hidden_size in (512, 1024):
        weight = random_head(hidden_size)
        error = _error(weight)
        line = compare(
            f"singular values of ({VOCAB}, {hidden_size}) in float64, plain and centred",
            lambda weight=weight: head_spectra(weight),
            "one `torch.linalg.svdvals` in float32",
            lambda weight=weight: torch.linalg.svdvals(weight),
            rounds=5 if hidden_size == 512 else 3,
        )
        note = f"largest relative error {error:.0e} at a condition number of 1e4"
        if hidden_size == 512:
            note += f", {beyond:.0e} at 1e6 (QR)"
        floor = _products_alone(hidden_size) / line.plain
        note += f"; the float64 products alone, of a chunk in the cache: {floor:.2f}"
        yield line.aimed("half its time, error 1e-7", line.ratio <= 0.5 and max(error, beyond) <= 1e-7, note)


def _products_alone(hidden_size: int) -> float:
    """Seconds of BLAS for the products of a whole head's rows, from those of one chunk: the floor of our way."""
    rows = np.random.default_rng(0).random((ROWS_PER_CHUNK, hidden_size)).T
    room = np.zeros((hidden_size, hidden_size), order="F")
    times = sorted(seconds_of(lambda: blas.dsyrk(1.0, rows, beta=1.0, c=room, overwrite_c=1)) for _ in range(9))
    return times[4] * VOCAB / ROWS_PER_CHUNK


def anisotropy_line() -> Line:
    """50,000 vectors by running sums beside the pairwise matrix of 5,000, times 100."""
    vectors = torch.randn(TOKENS, 512, generator=torch.Generator().manual_seed(0)) + 0.3
    few = vectors[:5_000]

    def ours() -> float:
        running = RunningAnisotropy()
        running.update(vectors)
        return running.value()

    def pairwise() -> float:
        unit = torch.nn.functional.normalize(few.double())
        cosines = unit @ unit.T
        return float((cosines.sum() - len(few)) / (len(few) * (len(few) - 1)))

    small = RunningAnisotropy()
    small.update(few)
    difference = max(abs(small.value() - pairwise()), abs(ours() - anisotropy(vectors)))
    name, beside = f"anisotropy of {TOKENS:,} vectors of width 512", "pairwise matrix, from 5,000 x 100"
    line = compare(name, ours, beside, pairwise, scale=100.0)
    met = line.ratio <= 1e-3 and difference <= 1e-6
    return line.aimed("1,000 times faster, equal to 1e-6", met, f"largest difference {difference:.0e}")


def text_line() -> Line:
    """Loss and anisotropy of all layers beside the bare forward pass with loss, on `TIMED` tokens: ten windows.

    More tokens are more of the same windows: the ratio stays (1.12 with 50,000 tokens, 1.07 to 1.17), the memory is
    compared for 50,000 and 500,000: the same but for the tokens themselves, 16 bytes each.
    """
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=512, num_hidden_layers=6, num_attention_heads=8, intermediate_size=2048
    )
    model = GPTNeoXForCausalLM(config).eval()
    tokens = torch.randint(0, VOCAB, (TIMED,))

    def base(ids: torch.Tensor) -> torch.Tensor:
        return model.gpt_neox(input_ids=ids, use_cache=False).last_hidden_state

    parts = parts_of(model, "the model")

    @torch.inference_mode()
    def bare() -> float:
        total = 0.0
        for inputs, targets in window_batches(tokens, 0, 2048):
            for states, wanted in zip(base(inputs), targets, strict=True):
                total += float(torch.nn.functional.cross_entropy(model.lm_head(states), wanted, reduction="sum"))
        return total / len(tokens)

    few, many = (_peak(count) for count in (TOKENS, MANY_TOKENS))
    line = compare(
        f"loss and anisotropy of all layers, {TIMED:,} tokens, 6 layers of width 512",
        lambda: measure_text(parts, tokens, 0, 2048, words=1, utf8_bytes=1),
        "forward pass with loss only",
        bare,
        rounds=2,
        warm=False,
    )
    met = line.ratio <= 1.10 and many - few < 0.05 * few
    sizes = f"{few / 1e6:,.0f} MB, with {MANY_TOKENS:,} tokens {many / 1e6:,.0f} MB"
    note = f"peak memory of a small model with {TOKENS:,} tokens: {sizes}"
    return line.aimed("1.10, memory the same", met, note)


def _peak(tokens: int) -> int:
    """Bytes that a process of its own takes at most for so many tokens under a small model."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure_small, (tokens,))


def _measure_small(count: int) -> int:
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=1024, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256
    )
    model = GPTNeoXForCausalLM(config).eval()
    tokens = torch.randint(0, 1024, (count,))
    measure_text(parts_of(model, "the model"), tokens, 0, 256, words=1, utf8_bytes=1)
    # Not `ru_maxrss`: a new process takes that over from the one that started it.
    told = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(told.partition("VmHWM:")[2].split()[0]) * 1024
