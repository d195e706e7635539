"""Run the LM Evaluation Harness on a checkpoint, in a process of its own, and import what it finds."""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from saturation.checkpoints.layout import TOKENIZER_FILES
from saturation.errors import InputError, JobError
from saturation.evaluations.names import Subject
from saturation.families.model import Checkpoint
from saturation.jobs.evaluations import import_raw
from saturation.jobs.import_report import ImportReport
from saturation.jobs.result_files import Raw, gather, read
from saturation.store import Store

HARNESS = "lm_eval"
MISSING = (
    'The LM Evaluation Harness is not installed here; install it with `python -m pip install "lm-eval[hf]"`, '
    "or import result files that it wrote elsewhere."
)


@dataclass(frozen=True)
class Evaluate:
    """What is asked of the harness; None leaves its own default.

    limit: examples of each task, or a share of them below 1. num_fewshot: examples in the prompt.
    include_path: folder of task definitions of one's own (YAML).
    """

    tasks: tuple[str, ...]
    limit: float | None = None
    batch_size: str | None = None
    num_fewshot: int | None = None
    device: str | None = None
    include_path: Path | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InputError("No task was named; write --tasks lambada_openai,sciq.")
        if self.limit is not None and not self.limit > 0:
            raise InputError(f"--limit is {self.limit:g}; it must be positive.")
        if self.num_fewshot is not None and self.num_fewshot < 0:
            raise InputError(f"--num-fewshot is {self.num_fewshot}; it must be at least 0.")


def evaluate(
    store: Store, checkpoint: Checkpoint, request: Evaluate, progress: Callable[[str], None] | None = None
) -> ImportReport:
    """Evaluate one checkpoint and store the results under its family, model and step. progress: lines of the harness.

    Raises InputError where the harness is not installed or the checkpoint is no model folder, JobError with the
    harness's last line where it fails.
    """
    if importlib.util.find_spec(HARNESS) is None:
        raise InputError(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "results")
        _run(_command(checkpoint, request, Path(folder), output), progress or (lambda line: None))
        report = ImportReport()
        of = Subject(checkpoint.family, checkpoint.model, checkpoint.step)
        found = [read(path, report.not_understood) for path in gather([output], report.not_understood)]
        files = [Raw(file.name, file.name, "", file.data) for file in found if file is not None]
        import_raw(store, files, None, report, known=of)
    if report.empty:
        why = report.not_understood[0][1] if report.not_understood else "It wrote none."
        raise JobError(f"The LM Evaluation Harness ended without results for {checkpoint.name}: {why}")
    return report


def _command(checkpoint: Checkpoint, request: Evaluate, folder: Path, output: Path) -> list[str]:
    # Every version since 0.4 takes this form; newer ones put their `run` before it.
    command = [sys.executable, "-m", HARNESS, "--model", "hf", "--model_args", _model(checkpoint, folder)]
    command += ["--tasks", ",".join(request.tasks), "--output_path", str(output)]
    options = {
        "--limit": None if request.limit is None else f"{request.limit:g}",
        "--batch_size": request.batch_size,
        "--num_fewshot": request.num_fewshot,
        "--device": request.device,
        "--include_path": request.include_path,
    }
    return command + [text for name, value in options.items() if value is not None for text in (name, str(value))]


def _model(checkpoint: Checkpoint, folder: Path) -> str:
    """The harness's model arguments. A local folder is reached by a link, whose name has no comma."""
    if checkpoint.path is None:
        return f"pretrained={checkpoint.source},revision={checkpoint.revision or checkpoint.commit or 'main'}"
    if not checkpoint.path.is_dir():
        raise InputError(f"{checkpoint.path} is a bare weight file; the harness needs a model folder.")
    link = folder / "model"
    link.symlink_to(checkpoint.path.resolve(), target_is_directory=True)
    args = f"pretrained={link}"
    if not _has_tokenizer(checkpoint.path):
        run = checkpoint.path.resolve().parent
        if not _has_tokenizer(run):
            raise InputError(f"{checkpoint.path} holds no tokenizer, nor does its run's folder; the harness needs one.")
        (folder / "tokenizer").symlink_to(run, target_is_directory=True)
        args += f",tokenizer={folder / 'tokenizer'}"
    return args


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def _run(command: list[str], progress: Callable[[str], None]) -> None:
    """Run to the end, passing on each line; raises JobError with the last one of a run that failed."""
    last = ""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as harness:
        try:
            for line in harness.stdout or ():
                shown = line.strip()  # a bar that is drawn anew is a line too
                if shown:
                    last = shown
                    progress(shown)
            harness.wait()
        finally:
            if harness.poll() is None:  # this run was broken off
                harness.terminate()
    if harness.returncode:
        said = f"its last line: {last.rstrip('.')}" if last else f"exit code {harness.returncode}"
        raise JobError(f"The LM Evaluation Harness failed; {said}.")
