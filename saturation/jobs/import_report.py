"""What an import brought in, and what it did not: for a reader, as JSON, and for the Data page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from saturation.store import Evaluation

# Problems that a reader is shown one by one; the rest are counted.
LISTED = 20


@dataclass
class Imported:
    """What came in of one model."""

    family: str
    model: str
    steps: set[int] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    values: int = 0

    @property
    def name(self) -> str:
        return f"{self.family}/{self.model}"


@dataclass
class ImportReport:
    """What an import did. files: those that were understood; results: values stored.

    repeated: values that a later file of the same import gave again, and so replaced. not_understood: (file, why).
    skipped: values that are no numbers, one sentence each. packs: measurements and evaluations added by each pack.
    """

    files: int = 0
    results: int = 0
    repeated: int = 0
    models: dict[str, Imported] = field(default_factory=dict)
    not_understood: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    packs: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing was imported."""
        return not self.files and not self.packs

    def add(self, rows: Sequence[Evaluation], seen: set[tuple[object, ...]]) -> None:
        """Count the rows of one file."""
        self.files += 1
        for row in rows:
            entry = self.models.setdefault(f"{row.family}/{row.model}", Imported(row.family, row.model))
            entry.steps.add(row.step)
            entry.tasks.add(row.task)
            key = (row.family, row.model, row.step, row.task, row.metric, row.shots)
            if key in seen:
                self.repeated += 1
            else:
                seen.add(key)
                entry.values += 1
                self.results += 1

    def join(self, other: "ImportReport") -> None:
        """Add what another import did."""
        self.files += other.files
        self.results += other.results
        self.repeated += other.repeated
        for name, entry in other.models.items():
            mine = self.models.setdefault(name, Imported(entry.family, entry.model))
            mine.steps |= entry.steps
            mine.tasks |= entry.tasks
            mine.values += entry.values
        self.not_understood += other.not_understood
        self.skipped += other.skipped
        self.packs |= other.packs

    def as_json(self) -> dict[str, Any]:
        """The command line's JSON."""
        return {
            "files": self.files,
            "results": self.results,
            "repeated": self.repeated,
            "models": [
                {
                    "family": entry.family,
                    "model": entry.model,
                    "steps": sorted(entry.steps),
                    "tasks": sorted(entry.tasks),
                    "results": entry.values,
                }
                for entry in self.models.values()
            ],
            "packs": [
                {"pack": name, "measurements": measurements, "evaluations": evaluations}
                for name, (measurements, evaluations) in self.packs.items()
            ],
            "not_understood": [{"file": name, "why": why} for name, why in self.not_understood],
            "skipped": self.skipped,
        }

    def as_text(self) -> str:
        """The same for a reader."""
        lines = [_of_pack(*added) for added in self.packs.values()]
        if self.files:
            lines.append(f"{count(self.results, 'result')} of {count(self.files, 'file')}:")
            width = max(len(name) for name in self.models)
            for name, entry in self.models.items():
                steps = count(len(entry.steps), "step")
                lines.append(
                    f"  {name:<{width}}  {steps} ({_range(entry.steps)}), {count(len(entry.tasks), 'task')}, "
                    f"{count(entry.values, 'value')}"
                )
        if self.repeated:
            lines.append(f"{count(self.repeated, 'value')} came in several files; the last file's stand.")
        if self.skipped:
            lines += [f"{count(len(self.skipped), 'value')} skipped:", *_listed(self.skipped)]
        if self.not_understood:
            lines.append(f"{count(len(self.not_understood), 'file')} not understood:")
            lines += _listed([_named(*problem) for problem in self.not_understood])
        return "\n".join(lines)

    def failure(self) -> str:
        """Why nothing was imported, in a sentence."""
        if not self.not_understood:
            return "There is no JSON file to import; name result files of the LM Evaluation Harness, or their folder."
        problem = _named(*self.not_understood[0])
        count = len(self.not_understood)
        return problem if count == 1 else f"None of {count:,} files was understood; the first: {problem}"


def count(number: int, noun: str) -> str:
    """A number of things, in the plural where it is not one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _range(steps: set[int]) -> str:
    first, last = min(steps), max(steps)
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _of_pack(measurements: int, evaluations: int) -> str:
    return f"{measurements} measurements{f' and {evaluations} evaluations' if evaluations else ''} added."


def _named(file: str, why: str) -> str:
    return why if why.startswith(file) else f"{file}: {why}"


def _listed(lines: Sequence[str]) -> list[str]:
    more = [f"  and {len(lines) - LISTED:,} more (--json lists all)"] if len(lines) > LISTED else []
    return [f"  {line}" for line in lines[:LISTED]] + more
