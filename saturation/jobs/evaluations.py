"""Bring results of the LM Evaluation Harness into the store: each file that is understood, and a word on each other."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from saturation.checkpoints import library
from saturation.checkpoints.layout import STEP_FOLDER
from saturation.checkpoints.local import run_and_step, run_name
from saturation.errors import InputError, SaturationError
from saturation.evaluations.names import ASK, Evidence, Subject, model_named, subject
from saturation.evaluations.results import ResultFile, parse
from saturation.families.registry import HUB
from saturation.jobs.import_report import ImportReport
from saturation.jobs.result_files import MAX_BYTES, TOO_LARGE, Raw, gather, read
from saturation.store import Evaluation, Store

Report = Callable[[int, int, str], None]
Check = Callable[[str, str], None]
# Rows written at once: about 10 MB of them.
BATCH = 20_000


def import_results(
    store: Store, paths: Iterable[str | os.PathLike[str]], model: str | None = None, progress: Report | None = None
) -> ImportReport:
    """Store the results of files and folders (every *.json in them). What is understood is stored, the rest is said.

    model: `family/model` of all of them, where names and configurations do not tell it. progress(done, total, message).
    Raises InputError for a model that does not exist, StoreError.
    """
    report = ImportReport()
    files = list(gather([Path(path) for path in paths], report.not_understood))

    def contents() -> Iterator[Raw]:
        for done, path in enumerate(files):
            if progress:
                progress(done, len(files), path.name)
            file = read(path, report.not_understood)
            if file is not None:
                yield file

    return import_raw(store, contents(), model, report)


def import_uploads(
    store: Store, uploads: Iterable[tuple[str, bytes]], model: str | None = None, check: Check | None = None
) -> ImportReport:
    """The same for files (name, bytes) that came from elsewhere: paths in them are not looked for on this machine.

    check(family, model): raises SaturationError for what may not be brought in.
    """
    report, kept = ImportReport(), []
    for name, data in uploads:
        folder, _, file = name.replace("\\", "/").rpartition("/")
        if len(data) > MAX_BYTES:
            report.not_understood.append((name, TOO_LARGE))
        else:
            kept.append(Raw(name, file, folder.rpartition("/")[2], data, here=False))
    return import_raw(store, kept, model, report, check=check)


def import_raw(
    store: Store,
    files: Iterable[Raw],
    model: str | None,
    report: ImportReport,
    known: Subject | None = None,
    check: Check | None = None,
) -> ImportReport:
    """Store what is understood of these files and note in the report what is not.

    known: the checkpoint that was evaluated, for files of an evaluation that was run here.
    """
    if model is not None:
        model_named(model)  # an unknown one is said once, not for every file
    seen: set[tuple[object, ...]] = set()
    rows: list[Evaluation] = []
    for file in files:
        try:
            parsed, of = _understood(file, store.path.parent, model, known)
            if check:
                check(of.family, of.model)
        except SaturationError as error:
            report.not_understood.append((file.shown, str(error)))
            continue
        found = _rows(file, parsed, of)
        report.skipped += [f"{file.shown}: {sentence}" for sentence in parsed.skipped]
        report.add(found, seen)
        rows += found
        if len(rows) >= BATCH:
            store.add_evaluations(rows)
            rows = []
    store.add_evaluations(rows)
    return report


def _understood(file: Raw, cache: Path, model: str | None, known: Subject | None) -> tuple[ResultFile, Subject]:
    try:
        loaded = json.loads(file.data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError("It is no JSON, or is damaged.") from error
    parsed = parse(loaded)
    if known is not None:
        return parsed, known
    evidence = Evidence(parsed.model_args, file.name, file.folder, lambda path: _place(path, file.here))
    found = subject(evidence, model)
    if found.step is None and found.family == HUB:
        listed = [step for step in library.checkpoints(cache, HUB, found.model) if step is not None]
        if listed:
            raise InputError(
                f"It names no step of {found.model.replace('--', '/', 1)}, which has {len(listed)} of them; {ASK} and "
                "put the step into the file's name."
            )
    return parsed, found


def _place(source: str, here: bool) -> tuple[str, int | None] | None:
    """Run and step of a path: one of this machine, or where it is of another, by its name alone."""
    try:
        path = Path(source).expanduser()
        if not source or not (path.is_absolute() or (here and path.exists())):
            return None
        path = Path(os.path.abspath(path))
        if here:
            run, step = run_and_step(path)
            return run_name(run), step
        match = STEP_FOLDER.match(path.name)
        return run_name(path.parent if match else path), int(match[1]) if match else None
    except (OSError, ValueError, RuntimeError):  # a name too long, with a null byte, or ~name of no user
        return None


def _rows(file: Raw, parsed: ResultFile, of: Subject) -> list[Evaluation]:
    now, content = datetime.now(UTC), f"sha256:{hashlib.sha256(file.data).hexdigest()}"
    return [
        Evaluation(
            family=of.family,
            model=of.model,
            step=of.step or 0,  # a model of one checkpoint
            task=result.task,
            metric=result.metric,
            value=result.value,
            harness=parsed.harness,
            source=file.name,
            content_id=content,
            imported_at=now,
            shots=result.shots,
            stderr=result.stderr,
            higher_is_better=result.higher_is_better,
            task_version=result.task_version,
            evaluated_at=parsed.evaluated_at,
        )
        for result in parsed.results
    ]
