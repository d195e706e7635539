"""How a checkpoint's files and a run's folders are named. Imports no torch, so that the dashboard can list them."""

import re
from pathlib import Path

# In the order in which transformers looks for them.
LAYOUTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model", "vocab.json")
STEP_FOLDER = re.compile(r"^(?:checkpoint[-_]?|global_step[-_]?|step[-_]?|iter[-_]?)(\d+)$")


def weights_in(folder: Path) -> Path | None:
    """The weight file or index of shards that a model folder holds, None where it holds none."""
    return next((folder / name for name in LAYOUTS if (folder / name).is_file()), None)


def step_folders(run: Path) -> dict[int, Path]:
    """The step folders of a training run that hold weights, by step in ascending order."""
    found = {
        int(match[1]): child
        for child in run.iterdir()
        if (match := STEP_FOLDER.match(child.name)) and child.is_dir() and weights_in(child)
    }
    return dict(sorted(found.items()))
