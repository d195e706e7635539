"""`python -m benchmarks.kills`: SIGKILL at random moments while a sweep of lab checkpoints runs.

After each kill: every value that was there before is still there, unchanged, and nothing is there twice. At the end the
queue drains, and the values equal those of a sweep that nobody disturbed. Whenever a folder is done before the kills
are, the sweep goes on with another copy of it.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from saturation.lab.config import RunConfig
from saturation.lab.trainer import train
from saturation.settings import ROOT, Settings
from saturation.store import Store, queue

Values = dict[tuple[int, str, str], object]


@dataclass
class Report:
    """kills by whether anything was being measured; values kept: checks that a value once there stayed."""

    kills: int = 0
    at_work: int = 0
    rounds: int = 0
    values: int = 0
    checks: int = 0
    problems: list[str] = field(default_factory=list)
    drains: Counter[str] = field(default_factory=Counter)


def checkpoints(folder: Path, count: int, like: str = "w16") -> Path:
    """A lab run of so many checkpoints, trained now; like: the run whose settings it takes."""
    config = replace(RunConfig.from_name(like), name="drill", steps=count - 1, checkpoint_every=1, extra_steps=())
    return train(config, folder)


class Drill:
    """Sweeps in processes of their own, killed after a random while. tokens: of the text, so that jobs take a while."""

    def __init__(self, folder: Path, run: Path, tokens: int, seed: int) -> None:
        self.folder, self.run, self.tokens = folder, run, tokens
        self.random = random.Random(seed)
        self.report = Report()
        self.settings = Settings(folder / "cache", "local")
        self.store = Store(self.settings.store_path, bundled=folder / "no-packs")
        self.store.ensure()

    def arguments(self, run: Path) -> list[str]:
        options = ["--text", "lab-language", "--max-tokens", str(self.tokens), "--measures", "spectrum,anisotropy,loss"]
        return ["sweep", str(run), *options]

    def start(self, *arguments: str, cache: Path | None = None) -> subprocess.Popen[bytes]:
        environment = os.environ | {"SATURATION_CACHE": str(cache or self.settings.cache), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "saturation", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def values(self, store: Store, run: Path) -> Values:
        """Every number of a run's measurements; says if one is there twice."""
        rows = store.frame(
            "SELECT c.step, m.measure, s.name, s.value FROM checkpoints c JOIN measurements m USING (checkpoint_id) "
            "JOIN (SELECT measurement_id, name, [value] AS value FROM scalars UNION ALL "
            'SELECT measurement_id, name, "values" FROM series) s USING (measurement_id) '
            "WHERE starts_with(c.source, ?)",
            [str(run)],
        )
        found: Values = {}
        for step, measure, name, value in rows.itertuples(index=False, name=None):
            if (step, measure, name) in found:
                self.report.problems.append(f"{measure} {name} of step {step} is there twice")
            found[int(step), measure, name] = tuple(value)
        return found

    def go(self, kills: int, longest: float) -> Report:
        """Kill that many processes, each after up to `longest` seconds; every other one is a worker of the queue."""
        reference = self.undisturbed()
        while self.report.kills < kills:
            self.report.rounds += 1
            run = Path(shutil.copytree(self.run, self.folder / f"run{self.report.rounds}"))
            before: Values = {}
            while self.report.kills < kills and len(before) < len(reference):
                before = self.kill(run, before, longest)
            self.drain(run)
            self.equal(reference, self.values(self.store, run))
        return self.report

    def undisturbed(self) -> Values:
        cache = self.folder / "undisturbed"
        store = Store(cache / "measurements.duckdb", bundled=self.folder / "no-packs")
        self.complete(*self.arguments(self.run), cache=cache)
        return self.values(store, self.run)

    def kill(self, run: Path, before: Values, longest: float) -> Values:
        working = self.report.kills % 2 == 1 and queue.active(self.store) > 0
        process = self.start("work") if working else self.start(*self.arguments(run))
        end = time.monotonic() + self.random.uniform(0.2, longest)
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.02)
        running = not self.store.frame("SELECT 1 FROM jobs WHERE state = 'running'").empty
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            self.report.kills += 1
            self.report.at_work += running
        process.communicate()
        after = self.values(self.store, run)
        self.report.checks += len(before)
        self.report.problems += [f"{key} was lost" for key in before if key not in after]
        self.report.problems += [f"{key} changed" for key in before if key in after and before[key] != after[key]]
        return after

    def drain(self, run: Path) -> None:
        """What the killed left is finished, by the queue's worker or by the same command."""
        how = "work" if self.report.rounds % 2 else "sweep"
        if how == "work":
            self.complete("work")
        self.complete(*self.arguments(run))
        self.report.drains[how] += 1
        if left := queue.active(self.store):
            self.report.problems.append(f"{left} jobs are left in the queue")

    def complete(self, *arguments: str, cache: Path | None = None) -> None:
        """A command that nobody disturbs."""
        process = self.start(*arguments, cache=cache)
        _, errors = process.communicate()
        if process.returncode:
            self.report.problems.append(f"exit code {process.returncode}: {errors.decode()[-500:]}")

    def equal(self, reference: Values, found: Values) -> None:
        self.report.values += len(found)
        for key in reference.keys() | found.keys():
            if reference.get(key) != found.get(key):
                self.report.problems.append(f"{key} is {found.get(key)} and not {reference.get(key)}")


def main(kills: int = 200, count: int = 60, seed: int = 7) -> int:
    """Run the whole drill and print what came of it."""
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.monotonic()
        drill = Drill(folder, checkpoints(folder / "lab", count), tokens=50_000, seed=seed)
        report = drill.go(kills, longest=10.0)
        print(
            f"{report.kills} kills ({report.at_work} while a checkpoint was being measured) in {report.rounds} sweeps "
            f"of {count} checkpoints, {time.monotonic() - start:,.0f} s: {report.checks:,} values checked after kills, "
            f"{report.values:,} compared with an undisturbed sweep, {len(report.problems)} problems."
        )
        for problem in report.problems[:20]:
            print(problem)
        return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(*(int(number) for number in sys.argv[1:])))
