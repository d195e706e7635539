"""What measuring costs on a GPU: the text pass beside the bare forward pass, heads, and a monitor beside training.

`python -m benchmarks.gpu` prints the lines; it needs a GPU that torch can use.
"""

import sys
from collections.abc import Iterator
from itertools import chain

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from benchmarks.timing import HEADER, Line, compare
from saturation.measures.anisotropy import RunningAnisotropy
from saturation.measures.forward_pass import Parts, measure_text, window_batches
from saturation.measures.head import Head
from saturation.measures.loss import RunningLoss
from saturation.measures.spectrum import head_spectra
from saturation.measures.truncated_heads import RunningTruncatedHeads

VOCAB, TOKENS, DEVICE = 50304, 50_000, "cuda"
# (layers, width, heads): Pythia 70M and 1B.
SIZES = {"6 layers of width 512": (6, 512, 8), "16 layers of width 2,048": (16, 2048, 8)}
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512)


def text_lines() -> Iterator[Line]:
    """Loss and anisotropy of all layers on 50,000 tokens beside the bare forward pass with loss."""
    tokens = torch.randint(0, VOCAB, (TOKENS,), generator=torch.Generator().manual_seed(0))
    for name, (layers, width, heads) in SIZES.items():
        torch.manual_seed(0)
        config = GPTNeoXConfig(
            vocab_size=VOCAB,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
        )
        model = GPTNeoXForCausalLM(config).to(DEVICE).eval()

        def base(ids: torch.Tensor, model: GPTNeoXForCausalLM = model) -> torch.Tensor:
            return model.gpt_neox(input_ids=ids, use_cache=False).last_hidden_state

        parts = Parts(base, tuple(model.gpt_neox.layers), model.lm_head, VOCAB, torch.device(DEVICE))

        @torch.inference_mode()
        def bare(model: GPTNeoXForCausalLM = model, parts: Parts = parts) -> float:
            total = torch.zeros((), device=DEVICE, dtype=torch.float64)
            for inputs, targets in window_batches(tokens, 0, 2048):
                for states, wanted in zip(parts.base(inputs.to(DEVICE)), targets.to(DEVICE), strict=True):
                    total += torch.nn.functional.cross_entropy(model.lm_head(states), wanted, reduction="sum")
            return float(total) / len(tokens)

        yield compare(
            f"GPU: loss and anisotropy of all layers, {TOKENS:,} tokens, {name}",
            lambda parts=parts: measure_text(parts, tokens, 0, 2048, words=1, utf8_bytes=1),
            "forward pass with loss only",
            bare,
        )
        del model, parts
        torch.cuda.empty_cache()


def heads_line() -> Line:
    """Twelve truncated heads beside the own head once."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(TOKENS, 512, generator=generator).to(DEVICE)
    head = Head((torch.randn(VOCAB, 512, generator=generator) / 512**0.5).to(DEVICE))
    targets = torch.randint(0, VOCAB, (TOKENS,), generator=generator).to(DEVICE)

    def own() -> float:
        running = RunningLoss()
        running.update(states, targets, head, VOCAB)
        return running.value(1, 1).nats_per_token

    def cut() -> list[float]:
        many.update(states, targets)
        return many.value().nats_per_token

    many = RunningTruncatedHeads(head, RANKS)
    return compare(f"GPU: {len(RANKS)} truncated heads of ({VOCAB}, 512) on {TOKENS:,} states", cut, "own head", own)


def spectrum_lines() -> Iterator[Line]:
    """Our float64 spectra of a head in each memory beside a float32 SVD on the GPU."""
    here = torch.randn(VOCAB, 1024, generator=torch.Generator().manual_seed(0))
    there = here.to(DEVICE)
    exact = torch.linalg.svdvals(there.double()).cpu()

    def svd() -> torch.Tensor:
        return torch.linalg.svdvals(there).cpu()

    def error(found: torch.Tensor) -> float:
        return float((found.double() / exact - 1).abs().max())

    for name, weight in (("processor", here), ("GPU", there)):
        ours = error(torch.from_numpy(head_spectra(weight).plain.copy()))
        yield compare(
            f"singular values of a ({VOCAB}, 1024) in the {name}'s memory, plain and centred in float64",
            lambda weight=weight: head_spectra(weight),
            "`torch.linalg.svdvals` in float32 on the GPU (plain)",
            svd,
            note=f"largest relative error {ours:.0e}, the SVD's {error(svd()):.0e}",
        )


def anisotropy_line() -> Line:
    """A million vectors by a running sum beside a pairwise matrix of 50,000 on the GPU, by the number of pairs."""
    vectors = torch.randn(1_000_000, 512, device=DEVICE) + 0.3
    few = vectors[:50_000]

    def ours() -> float:
        running = RunningAnisotropy()
        running.update(vectors)
        return running.value()

    def pairwise() -> float:
        unit = torch.nn.functional.normalize(few)
        cosines = unit @ unit.T
        return float((cosines.sum(dtype=torch.float64) - len(few)) / (len(few) * (len(few) - 1)))

    name = f"GPU: anisotropy of {len(vectors):,} vectors of width 512"
    return compare(name, ours, f"pairwise matrix, from {len(few):,} x 400", pairwise, scale=400.0)


def main() -> None:
    """One line at a time, so that a stopped run shows what it had."""
    if not torch.cuda.is_available():
        sys.exit("There is no GPU here that torch can use.")
    print(f"Measured on {torch.cuda.get_device_name()} with torch {torch.__version__}:\n\n{HEADER}")
    for line in chain(text_lines(), spectrum_lines(), (work() for work in (heads_line, anisotropy_line))):
        print(line.row(), flush=True)


if __name__ == "__main__":
    main()
