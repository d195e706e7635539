"""What every test can use: no network, a cache of its own, and tiny models that are made once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: tests run side by side, one a core

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_test_writes_to_the_projects_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SATURATION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, in force for this test and the processes it starts."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SATURATION_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny random model of a shape, with its tokenizer; to be read, not changed."""
    import tiny

    root, made = tmp_path_factory.mktemp("tiny"), {}

    def folder(shape: str) -> Path:
        if shape not in made:
            made[shape] = tiny.save_model(root / shape, shape)
        return made[shape]

    return folder
