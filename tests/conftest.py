"""What every test can use: no network, a cache of its own, and tiny models that are made once."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: tests run side by side, one a core

import pytest

# Files that take longest: they go first, so that workers that are given whole files end together.
LONGEST = (
    "browser/test_links.py",
    "test_cluster.py",
    "browser/test_work.py",
    "test_kills.py",
    "browser/test_foreign_names.py",
    "test_board.py",
    "browser/test_drawn.py",
    "browser/test_data.py",
    "browser/test_cursor.py",
    "browser/test_run_choice.py",
    "browser/test_saved_files.py",
    "browser/test_keyboard.py",
    "test_end_to_end.py",
    "test_hub_sweep.py",
    "test_hosted_files.py",
    "test_monitor.py",
    "test_store_sharing.py",
)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):  # xdist would put files of many tests first, however quick these are
        config.option.loadscopereorder = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file to a worker; those with a browser all to one, which starts the server and the browser once."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "browser" if "browser/" in file else file

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def _no_test_writes_to_the_projects_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SATURATION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _new_stores_are_copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """To make a store takes a fifth of a second, with the bundled packs two: each new one begins as a copy."""
    from saturation.settings import BUNDLED
    from saturation.store import Store

    folder = tmp_path_factory.mktemp("template")
    ensure = Store.ensure

    def template(store: Store) -> Path | None:
        """A store like the one that is wanted; None where it has packs of its own."""
        bundled = store.bundled == BUNDLED / "packs"
        made = folder / ("bundled.duckdb" if bundled else "empty.duckdb")
        if store.path == made or (not bundled and store.bundled.exists()):
            return None
        if not made.exists():
            ensure(Store(made, bundled=store.bundled))
        return made

    def copied(store: Store) -> None:
        if not store.path.exists() and (made := template(store)):
            part = store.path.with_name(f"{store.path.name}.{os.getpid()}.{threading.get_ident()}.copy")
            with contextlib.suppress(OSError):  # another thread was first, or there is no such place
                store.path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(made, part)
                os.link(part, store.path)
            with contextlib.suppress(OSError):
                part.unlink()
        ensure(store)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "ensure", copied)
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
