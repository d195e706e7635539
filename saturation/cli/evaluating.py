"""The command that runs an evaluation harness on a checkpoint."""

import sys
from pathlib import Path

import click

from saturation.cli.shared import Context, say


@click.command("evaluate")
@click.argument("target")
@click.option("--tasks", required=True, help="Comma-separated tasks of the harness, e.g. lambada_openai,sciq.")
@click.option("--limit", type=float, help="Only the first N examples of each task, or a share of them below 1.")
@click.option("--batch-size", metavar="N", help="Examples at once, or auto; default: the harness's own.")
@click.option("--num-fewshot", type=int, help="Examples in the prompt; default: each task's own.")
@click.option("--device", help="cpu, cuda, ...; default: the harness's own.")
@click.option(
    "--include-path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of task definitions of your own (YAML).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def evaluate_command(
    context: Context,
    target: str,
    tasks: str,
    limit: float | None,
    batch_size: str | None,
    num_fewshot: int | None,
    device: str | None,
    include_path: Path | None,
    as_json: bool,
) -> None:
    """Evaluate one checkpoint with the LM Evaluation Harness (lm-eval) and store its results.

    TARGET is family/model@step, a path, or organisation/name@revision on the hub; without a step, the last one.
    """
    from saturation.checkpoints.resolve import resolve_one
    from saturation.jobs.evaluate import Evaluate, evaluate

    names = tuple(name.strip() for name in tasks.split(",") if name.strip())
    request = Evaluate(names, limit, batch_size, num_fewshot, device, include_path)
    checkpoint = resolve_one(target, context.settings.cache)
    shown = sys.stderr.isatty()
    found = evaluate(context.store, checkpoint, request, lambda line: click.echo(line, err=True) if shown else None)
    say(found.as_json(), as_json, found.as_text())
