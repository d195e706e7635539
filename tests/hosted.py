"""A dashboard that is hosted: its settings, and packs and results of any names for it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dashboard_store
import pytest

from saturation.jobs import board, quota
from saturation.settings import Limits, Settings
from saturation.store import Evaluation, Store, packs

EVIL = "<script>alert(1)</script> $x^2$ [click](https://evil.example) ![](https://evil.example/p.png) `code` %{x}"


MEASURABLE = "lab/w8@0"  # its weights come with the project


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker is started."""
    monkeypatch.setattr(board, "ensure_worker", lambda settings: None)


@pytest.fixture
def public(cache: Path, idle: None) -> Settings:
    return Settings(cache, "public", Limits(), "one")


@pytest.fixture
def demo(cache: Path, idle: None) -> Settings:
    return Settings(cache, "demo")


@pytest.fixture(autouse=True)
def no_session_is_known_yet() -> Iterator[None]:
    yield
    quota._accounts.clear()


def result_file(task: str = "sciq", metric: str = "acc") -> bytes:
    return json.dumps({"results": {task: {metric: 0.5}}, "versions": {}, "config": {"model_args": ""}}).encode()


def pack_of(folder: Path, family: str, model: str, task: str | None = None) -> Path:
    """A pack with a measurement of a model, or an evaluation, of any names."""
    store = Store(folder / f"{len(list(folder.iterdir()))}.duckdb", bundled=folder / "none")
    if task is None:
        (*_, row) = dashboard_store.measurements("14m", 0)
        store.add([replace(row, checkpoint=replace(row.checkpoint, family=family, model=model))])
    else:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        store.add_evaluations([Evaluation(family, model, 0, task, "acc", 0.5, "harness", "file", "id", now)])
    path = store.path.with_suffix(".pack.zip")
    with store.read() as connection:
        packs.save(connection, path, [f"{family}/{model}"])
    return path
