"""Checkpoints for the tests of the hub: a head of 512 kB beside 6 MB of other weights, in every layout of files."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from standin_hub import StandInHub

from saturation.checkpoints.hub import Connection, Patience

VOCAB, WIDTH = 2000, 64
HEAD, EMBEDDING = "embed_out.weight", "gpt_neox.embed_in.weight"
LAYOUTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# The whole test suite waits for less than a second in all; `hasty` counts on faults that pass at once.
HASTY = Patience(tries=3, seconds=5.0, first_wait=0.01, longest_wait=5.0, timeout=2.0, window=0.3, sleep=lambda s: None)


def weights(seed: int = 0, dtype: torch.dtype = torch.float32, tied: bool = False) -> dict[str, torch.Tensor]:
    """Random weights; a tied model has an embedding and no head."""
    generator = torch.Generator().manual_seed(seed)
    names = {EMBEDDING: (VOCAB, WIDTH)} | {f"gpt_neox.layers.{n}.mlp.weight": (1024, 512) for n in range(3)}
    if not tied:
        names[HEAD] = (VOCAB, WIDTH)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in names.items()}


def save(folder: Path, state: dict[str, torch.Tensor], layout: str, metadata: bool = True) -> Path:
    """Write weights as one file, or as two shards and an index that tells the total size unless metadata is off."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "gpt_neox"}')
    if not layout.endswith(".index.json"):
        _save_file(state, folder / layout)
        return folder
    stem, suffix = layout.removesuffix(".index.json").split(".")
    names, weight_map = list(state), {}
    for number, part in enumerate((names[:3], names[3:]), start=1):
        shard = f"{stem}-{number:05}-of-00002.{suffix}"
        _save_file({name: state[name] for name in part}, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    told = {"total_size": sum(t.numel() * t.element_size() for t in state.values())} if metadata else {}
    (folder / layout).write_text(json.dumps({"metadata": told, "weight_map": weight_map}))
    return folder


def _save_file(state: dict[str, torch.Tensor], path: Path) -> None:
    if path.suffix == ".safetensors":
        save_file(state, path, metadata={"format": "pt"})
    else:
        torch.save(state, path)


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, home: Path, page_size: int = 1000) -> Iterator[StandInHub]:
    """A stand-in hub that this process uses, without a token and with an empty cache of the hub in `home`."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    # Read by huggingface_hub at import, which in a test run may have been offline.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(home / "token"))
    with StandInHub(page_size) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(home))
        yield hub


def hasty() -> Connection:
    return Connection(HASTY)


def is_one_sentence(message: str) -> bool:
    """One line that ends with a full stop and has no other sentence in it."""
    return message.endswith((".", ")")) and "\n" not in message and ". " not in message.rstrip(".")
