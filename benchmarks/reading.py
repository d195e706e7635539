"""The head of a checkpoint read by range from a stand-in hub on loopback, beside a download of the whole file.

`python -m benchmarks.reading` prints the line.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.command import saturation
from benchmarks.timing import HEADER, Line
from saturation.settings import ROOT

VOCAB, WIDTH, LAYERS = 50304, 512, 6
HEAD = "embed_out.weight"
ALLOWED = 200_000


def _checkpoint(folder: Path) -> tuple[int, int]:
    """Weights in the shapes and dtype of a Pythia-70M; bytes of the file and of its head."""
    names = {"gpt_neox.embed_in.weight": (VOCAB, WIDTH), HEAD: (VOCAB, WIDTH)}
    for layer in range(LAYERS):
        for part, shape in (
            ("attention.query_key_value", (3 * WIDTH, WIDTH)),
            ("attention.dense", (WIDTH, WIDTH)),
            ("mlp.dense_h_to_4h", (4 * WIDTH, WIDTH)),
            ("mlp.dense_4h_to_h", (WIDTH, 4 * WIDTH)),
        ):
            names[f"gpt_neox.layers.{layer}.{part}.weight"] = shape
    generator = torch.Generator().manual_seed(0)
    save_file(
        {name: torch.randn(shape, generator=generator).half() for name, shape in names.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "config.json").write_text('{"model_type": "gpt_neox"}')
    return (folder / "model.safetensors").stat().st_size, VOCAB * WIDTH * 2


def range_line() -> Line:
    """Bytes that the hub sent for the head alone, as the command line tells them."""
    sys.path.insert(0, str(ROOT / "tests"))  # the stand-in hub is the tests'
    from standin_hub import StandInHub

    with tempfile.TemporaryDirectory() as name, StandInHub() as hub:
        folder = Path(name)
        (folder / "step0").mkdir()
        whole, head = _checkpoint(folder / "step0")
        hub.add("bench/model", {"main": folder / "step0"})
        environment = os.environ | hub.environment(folder / "home")
        told = saturation(folder / "cache", "measure", "bench/model@main", "--measures", "spectrum", env=environment)
    read = json.loads(told)["bytes_read"]
    share = read / whole
    name = f"head of a Pythia-70M read by range ({head / 1e6:.2f} MB)"
    note = f"{(read - head) / 1e3:,.1f} kB beyond the head"
    line = Line(name, "full download", read, whole, share, share, share, note, unit="bytes")
    return line.aimed("within 200 kB of the head", read - head <= ALLOWED)


if __name__ == "__main__":
    print(HEADER)
    print(range_line().row())
