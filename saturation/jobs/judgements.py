"""Verdicts kept on disk, so that a server that has just started shows them at once. Imports no torch.

A verdict is known by everything that it depends on: the values, the thresholds, the code and the versions of the
libraries that judged. Nothing kept can be out of date; what is not used any more is removed in time.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from saturation import measures
from saturation.measures.changes import Changes, Turn
from saturation.measures.onset import Onset
from saturation.measures.verdict import Place, RunVerdict, Series, Thresholds, judge
from saturation.store import Store

FOLDER = "verdicts"
MOST = 4000  # verdicts kept, 2 kB each
CODE = ("changes", "noise", "onset", "pieces", "verdict")
LIBRARIES = ("numpy", "ruptures", "scipy")


@dataclass(frozen=True)
class Judgements:
    """Judges a run as `measures.verdict.judge` does, and keeps what came of it in a folder of the cache.

    Where the folder cannot be written or what lies in it cannot be read, it judges.
    """

    folder: Path

    @classmethod
    def of(cls, store: Store) -> "Judgements":
        """Those beside a store."""
        return cls(store.path.parent / FOLDER)

    def judge(
        self,
        performance: Series,
        anisotropy: Series,
        singular_entropy: Series,
        higher_is_better: bool,
        thresholds: Thresholds,
    ) -> RunVerdict:
        """The verdict. Raises InputError as `judge` does; errors are not kept."""
        asked = (performance, anisotropy, singular_entropy, higher_is_better, thresholds)
        place = self.folder / f"{_key(*asked)}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            return _verdict(json.loads(place.read_bytes()))
        found = judge(*asked)
        with suppress(OSError):
            self._keep(place, json.dumps(_plain(found), separators=(",", ":")))
        return found

    def _keep(self, place: Path, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        held = list(self.folder.iterdir())
        if len(held) >= MOST:
            for old in sorted(held, key=lambda path: path.stat().st_mtime)[: len(held) - MOST // 2]:
                old.unlink(missing_ok=True)
        part = place.with_suffix(f".{os.getpid()}.tmp")
        part.write_text(text, encoding="ascii")
        part.replace(place)


def _key(*asked: Series | bool | Thresholds) -> str:
    seen = hashlib.sha256(_judge_itself())
    for each in asked:
        if isinstance(each, Series):
            steps, values = np.asarray(each.steps, dtype=np.int64), np.asarray(each.values, dtype=np.float64)
            seen.update(f"{steps.size}:".encode() + steps.tobytes() + values.tobytes())
        else:
            seen.update(repr(each).encode())
    return seen.hexdigest()[:40]


@cache
def _judge_itself() -> bytes:
    """A digest of the code that judges, and of the libraries that it calls."""
    seen = hashlib.sha256(" ".join(version(name) for name in LIBRARIES).encode())
    for name in CODE:
        seen.update((Path(measures.__path__[0]) / f"{name}.py").read_bytes())
    return seen.digest()


def _plain(found: RunVerdict) -> dict[str, Any]:
    return {
        "performance": found.performance and asdict(found.performance),
        "changes": {
            name: {
                "steps": each.steps.tolist(),
                "fitted": each.fitted.tolist(),
                "change_points": each.change_points,
                "turn": each.turn and asdict(each.turn),
            }
            for name, each in found.changes.items()
        },
        "order": [asdict(place) for place in found.order],
    }


def _verdict(held: Mapping[str, Any]) -> RunVerdict:
    return RunVerdict(
        performance=held["performance"] and Onset(**held["performance"]),
        changes={
            name: Changes(
                np.asarray(each["steps"], dtype=np.int64),
                np.asarray(each["fitted"], dtype=np.float64),
                tuple(each["change_points"]),
                each["turn"] and Turn(**each["turn"]),
            )
            for name, each in held["changes"].items()
        },
        order=tuple(Place(**place) for place in held["order"]),
    )
