"""`python -m saturation ...`: the command line. Results go to stdout, logs and progress to stderr.

Exit codes: 0 done, 1 failed with one sentence, 2 wrong arguments.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from saturation import __version__, settings
from saturation.errors import InputError, SaturationError
from saturation.families import registry
from saturation.jobs.request import MEASURES, Request
from saturation.store import Store

Report = Callable[[int, int, str], None]
# A bar appears only for what takes longer than this.
PROGRESS_DELAY = 2.0


@dataclass(frozen=True)
class Context:
    settings: settings.Settings
    debug: bool

    @property
    def store(self) -> Store:
        return Store(self.settings.store_path)


def _say(value: Any, as_json: bool, text: str) -> None:
    click.echo(json.dumps(value, allow_nan=False) if as_json else text)


@contextmanager
def _bar(unit: str) -> Iterator[Report]:
    """report(done, total, message) drawn as a bar on stderr, where that is a terminal (`disable=None`)."""
    with tqdm(delay=PROGRESS_DELAY, unit=unit, file=sys.stderr, leave=False, dynamic_ncols=True, disable=None) as bar:

        def report(done: int, total: int, message: str) -> None:
            bar.total = total
            bar.set_description(message, refresh=False)
            bar.update(done - bar.n)

        yield report


def _measures(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def measuring_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that `measure` and `sweep` share; the command receives them as one Request."""

    @click.option(
        "--measures",
        default=",".join(MEASURES),
        show_default=True,
        callback=_measures,
        help="What to measure.",
    )
    @click.option("--text", metavar="FILE", help="UTF-8 text file, or a bundled text; default: the family's own.")
    @click.option("--max-tokens", type=int, help="Score only the first tokens of the text.")
    @click.option("--context-length", type=int, help="Windows shorter than the model's own.")
    @click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16", "float64"]),
        default="float32",
        show_default=True,
    )
    @click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
    @click.option("--head-tensor", metavar="NAME", help="Name of the head's tensor, for a bare weight file.")
    @click.option(
        "--tokenizer",
        type=click.Path(exists=True, path_type=Path),
        help="Folder or tokenizer.json, if not beside it.",
    )
    @click.option("--keep", is_flag=True, help="Keep downloaded models in the hub cache.")
    @click.option("--force", is_flag=True, help="Measure again what is stored.")
    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        names = Request.__dataclass_fields__
        request = Request(**{name: options.pop(name) for name in list(options) if name in names})
        command(*args, request=request, **options)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="saturation")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of the store (SATURATION_CACHE).")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, cache: Path | None, debug: bool) -> None:
    """Is this language model saturating, since when, and is its output head the reason?"""
    context.obj = Context(settings.load(cache), debug)


@cli.command("families")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def families_command(context: Context, as_json: bool) -> None:
    """List the families, their models, and what is measured of each."""
    from saturation.jobs.catalogue import families

    context.store.ensure()
    listed = families(context.settings, context.store)
    lines = []
    for family in listed:
        lines.append(f"{family['name']}: {family['title']}")
        for model in family["models"]:
            size = f"{model['parameters']:,} parameters" if model["parameters"] else "size not known"
            lines.append(
                f"  {model['name']:<12} {size}, hidden size {model['hidden_size']}, "
                f"{model['measured']} of {model['checkpoints']} checkpoints measured"
            )
    _say({"families": listed}, as_json, "\n".join(lines))


@cli.command("measure")
@click.argument("target")
@measuring_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def measure_command(context: Context, target: str, request: Request, force: bool, as_json: bool) -> None:
    """Measure one checkpoint. TARGET is family/model@step, a path, or organisation/name@revision on the hub.

    A folder of checkpoints, or a model without a step, means the last one.
    """
    from saturation.checkpoints.resolve import resolve_one
    from saturation.jobs.measure import Measurer
    from saturation.jobs.report import as_json as to_json
    from saturation.jobs.report import as_text

    checkpoint = resolve_one(target, context.settings.cache)
    with _bar("tok") as report:
        measurer = Measurer(context.store, request)
        result = measurer.measure(checkpoint, force, lambda what, done, total: report(done, total, what))
    _say(to_json(result), as_json, as_text(result))


@cli.command("sweep")
@click.argument("target")
@click.option("--steps", default="all", show_default=True, help="all, log, FIRST:LAST:APART, or a list 0,1000,2000.")
@measuring_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def sweep_command(context: Context, target: str, steps: str, request: Request, force: bool, as_json: bool) -> None:
    """Measure what is missing of a family, model, repository or folder of checkpoints. Run it again to resume."""
    _run_sweep(context, target, steps, request, force, as_json)


def _run_sweep(context: Context, target: str, steps: str, request: Request, force: bool, as_json: bool) -> None:
    from saturation.jobs.measure import Measurer
    from saturation.jobs.sweep import sweep, targets

    runs = targets(target, steps, context.settings.cache)
    with _bar("checkpoint") as report:
        result = sweep(Measurer(context.store, request), [c for run in runs for c in run], report, force)
    for name, sentence in result.failed.items():
        click.echo(f"{name}: {sentence}", err=True)
    _say(result.as_dict(), as_json, result.summary())
    if result.failed:
        sys.exit(1)


@cli.command("audit")
@click.argument("target")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def audit_command(context: Context, target: str, as_json: bool) -> None:
    """Find duplicated, missing and mislabelled checkpoints of a model (family/model) or a folder of checkpoints."""
    from saturation.checkpoints.resolve import resolve
    from saturation.jobs import audit

    checkpoints = resolve(target, context.settings.cache)
    found, _ = audit.audit_model(context.store, checkpoints, context.settings.cache)
    name = f"{checkpoints[0].family}/{checkpoints[0].model}"
    _say(audit.as_json(found), as_json, audit.as_text(found, name))


@cli.command("onset")
@click.argument("target")
@click.option("--metric", default="loss", show_default=True, help="loss, perplexity, word_perplexity, ...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def onset_command(context: Context, target: str, metric: str, as_json: bool) -> None:
    """Tell whether a measured model (family/model) saturates, since when and by how much."""
    from saturation.jobs import onset

    family, _, model = target.partition("/")
    if not model:
        raise InputError(f"'{target}' names no model; write family/model.")
    registry.family(family)
    found, doubtful = onset.judge(context.store, family, model, metric)
    _say(onset.as_json(found, doubtful), as_json, onset.as_text(found, doubtful, target, metric))


@cli.group("lab")
def lab_group() -> None:
    """Train and measure the lab's small models, whose language has known answers."""


@lab_group.command("train")
@click.option("--config", "names", multiple=True, help="Run to train (repeatable); default: all.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the runs; default: lab/ in the cache.")
@click.pass_obj
def lab_train(context: Context, names: Sequence[str], output: Path | None) -> None:
    """Train lab runs from their seeds; stopped runs go on from their last checkpoint."""
    from saturation.lab.config import RunConfig, bundled_runs
    from saturation.lab.trainer import train

    for name in names or tuple(bundled_runs()):
        config = RunConfig.from_name(name)
        with _bar("step") as report:

            def progress(step: int, total: int, loss: float, name: str = name, report: Report = report) -> None:
                report(step, total, f"{name} loss {loss:.3f}")

            folder = train(config, output or context.settings.cache / "lab", progress=progress)
        click.echo(f"{name}: {folder}")


@lab_group.command("measure")
@click.option("--config", "names", multiple=True, help="Run to measure (repeatable); default: all that are here.")
@measuring_options
@click.pass_obj
def lab_measure(context: Context, names: Sequence[str], request: Request, force: bool) -> None:
    """Measure every checkpoint of lab runs that is on this machine."""
    for target in [f"lab/{name}" for name in names] or ["lab"]:
        _run_sweep(context, target, "all", request, force, as_json=False)


@cli.command("export")
@click.argument("pack", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--models", required=True, help="Comma-separated family/model names, e.g. lab/w8,lab/w16.")
@click.pass_obj
def export_command(context: Context, pack: Path, models: str) -> None:
    """Write the measurements of some models to a pack (Parquet tables and a manifest in one zip)."""
    from saturation.store import packs

    with context.store.read() as connection:
        rows = packs.save(connection, pack, [name.strip() for name in models.split(",")])
    click.echo(f"{pack}: {rows['measurements']} measurements of {rows['checkpoints']} checkpoints.")


@cli.command("import")
@click.argument("pack", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def import_command(context: Context, pack: Path) -> None:
    """Add the measurements of a pack to the store; what is there already stays as it is."""
    from saturation.store import packs

    context.store.ensure()
    with context.store.write() as connection:
        added = packs.load(connection, pack)
    click.echo(f"{added} measurements added.")


@cli.command("settings")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def settings_command(context: Context, as_json: bool) -> None:
    """Print the settings in force."""
    values = context.settings.as_dict()
    _say(values, as_json, "\n".join(f"{name}: {value}" for name, value in values.items()))


@cli.command("serve")
@click.option("--port", default=8501, show_default=True, type=int)
@click.option("--address", default="localhost", show_default=True)
@click.pass_obj
def serve_command(context: Context, port: int, address: str) -> None:
    """Serve the dashboard."""
    context.store.ensure()
    environment = os.environ | {
        "SATURATION_CACHE": str(context.settings.cache),
        "SATURATION_MODE": context.settings.mode,
    }
    options = [f"--server.port={port}", f"--server.address={address}"]
    os.chdir(settings.ROOT)  # where streamlit looks for its configuration
    # In place of this process: what stops the command stops the server.
    os.execve(sys.executable, [sys.executable, "-m", "streamlit", "run", "app.py", *options], environment)


@cli.command("work", hidden=True)
@click.argument("job_id")
@click.pass_obj
def work_command(context: Context, job_id: str) -> None:
    """Run a job that a page has started."""
    from saturation.jobs.worker import work

    job = work(context.settings, job_id)
    if job.state == "failed":
        raise SaturationError(job.error or "The job failed.")


def main() -> None:
    """Run the command line; an error of ours ends in one sentence on stderr and exit code 1."""
    try:
        cli(standalone_mode=True)
    except SaturationError as error:
        if "--debug" in sys.argv:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
