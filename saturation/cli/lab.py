"""Commands of the lab: train its models, measure them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from saturation.cli.measuring import run_sweep
from saturation.cli.shared import Context, Report, bar, measuring_options
from saturation.jobs.request import Request


@click.group("lab")
def lab_group() -> None:
    """Train and measure the lab's small models, and say what they show."""


@lab_group.command("train")
@click.option("--config", "names", multiple=True, help="Run to train (repeatable); default: all, which takes hours.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the runs; default: lab/ in the cache.")
@click.pass_obj
def lab_train(context: Context, names: Sequence[str], output: Path | None) -> None:
    """Train lab runs from their seeds; stopped runs go on from their last checkpoint."""
    from saturation.lab.config import RunConfig, bundled_runs
    from saturation.lab.trainer import train

    for name in names or tuple(bundled_runs()):
        config = RunConfig.from_name(name)
        with bar("step") as report:

            def progress(step: int, total: int, loss: float, name: str = name, report: Report = report) -> None:
                report(step, total, f"{name} loss {loss:.3f}")

            folder = train(config, output or context.settings.cache / "lab", progress=progress)
        click.echo(f"{name}: {folder}")


@lab_group.command("findings")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def lab_findings(context: Context, as_json: bool) -> None:
    """Say what the measured lab runs show; every number is read off the store."""
    from saturation.jobs.lab_findings import Lab, findings

    found = findings(Lab(context.store))
    if as_json:
        click.echo(json.dumps({"findings": [asdict(each) for each in found]}))
        return
    for each in found:
        click.echo(f"{each.title}. {each.text}")
    if not found:
        click.echo("No lab run is measured here; import a pack, or run `python -m saturation lab measure`.")


@lab_group.command("measure")
@click.option("--config", "names", multiple=True, help="Run to measure (repeatable); default: all that are here.")
@measuring_options
@click.pass_obj
def lab_measure(context: Context, names: Sequence[str], request: Request, force: bool) -> None:
    """Measure every checkpoint of lab runs that is on this machine."""
    for target in [f"lab/{name}" for name in names] or ["lab"]:
        run_sweep(context, target, "all", request, force, as_json=False)
