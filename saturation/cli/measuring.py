"""Commands that measure checkpoints and judge what was measured."""

import sys
from dataclasses import replace

import click

from saturation.cli.shared import Context, bar, measuring_options, say, working_options
from saturation.errors import InputError
from saturation.families import registry
from saturation.jobs import presets
from saturation.jobs.request import Request


@click.command("families")
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
    say({"families": listed}, as_json, "\n".join(lines))


@click.command("measure")
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
    with bar("tok") as report:
        measurer = Measurer(context.store, request)
        result = measurer.measure(checkpoint, force, lambda what, done, total: report(done, total, what))
    say(to_json(result), as_json, as_text(result))


def _listed() -> str:
    """The presets for `--help`: one line each, kept as lines."""
    lines = [f"{item.key:<11} {item.title}: {item.what}" for item in presets.presets().values()]
    return "Presets, for --preset:\n\n\b\n" + "\n".join(lines)


@click.command("sweep", epilog=_listed())
@click.argument("target")
@click.option(
    "--steps", default="all", show_default=True, help="all, log, last, FIRST:LAST:APART, or a list 0,1000,2000."
)
@click.option(
    "--preset",
    "name",
    metavar="FIGURE",
    help="What a figure of the paper needs: its models, steps and measures, unless --steps or --measures is given.",
)
@measuring_options
@working_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def sweep_command(
    context: Context,
    target: str,
    steps: str,
    name: str | None,
    request: Request,
    force: bool,
    workers: int,
    dask: str | None,
    as_json: bool,
) -> None:
    """Measure what is missing of a family, model, repository or folder of checkpoints. Run it again to resume."""
    if name is None:
        run_sweep(context, target, steps, request, force, as_json, workers, dask)
        return
    preset = presets.preset(name)
    given = {
        option
        for option in ("steps", "measures", "force", "workers", "dask")
        if click.get_current_context().get_parameter_source(option) is not click.core.ParameterSource.DEFAULT
    }
    steps = steps if "steps" in given else preset.steps
    if preset.heads:
        idle = sorted(given - {"steps"})
        if idle:
            raise InputError(f"--preset {name} trains or cuts heads one after another; leave --{idle[0]} away.")
        _sweep_heads(context, target, steps, preset, request, as_json)
        return
    request = request if "measures" in given else replace(request, measures=preset.measures)
    run_sweep(context, target, steps, request, force, as_json, workers, dask, preset)


def _sweep_heads(
    context: Context, target: str, steps: str, preset: presets.Preset, request: Request, as_json: bool
) -> None:
    """Heads of lower rank of each checkpoint, one after another; what is stored is not made again."""
    from saturation.jobs.head_request import HeadsRequest
    from saturation.jobs.heads import measure_heads
    from saturation.jobs.sweep import targets

    found = [item for run in targets(target, steps, context.settings.cache, preset) for item in run]
    asked, computed = HeadsRequest(train=preset.heads == "trained"), 0
    for checkpoint in found:
        with bar("head") as report:
            result = measure_heads(context.store, checkpoint, request, asked, report, context.settings.cache)
        computed += bool(result.computed)
    counts = {"checkpoints": len(found), "computed": computed, "stored": len(found) - computed}
    say(
        counts, as_json, f"{len(found)} checkpoints: heads of {computed} measured, {len(found) - computed} were stored."
    )


def run_sweep(
    context: Context,
    target: str,
    steps: str,
    request: Request,
    force: bool,
    as_json: bool,
    workers: int = 1,
    dask: str | None = None,
    preset: presets.Preset | None = None,
) -> None:
    from saturation.jobs.sweep import sweep, targets

    runs = targets(target, steps, context.settings.cache, preset)
    with bar("checkpoint") as report:
        result = sweep(context.settings, [c for run in runs for c in run], request, report, force, workers, dask)
    for name, sentence in result.failed.items():
        click.echo(f"{name}: {sentence}", err=True)
    say(result.as_dict(), as_json, result.summary())
    if result.failed:
        sys.exit(1)


@click.command("audit")
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
    say(audit.as_json(found), as_json, audit.as_text(found, name))


@click.command("onset")
@click.argument("target")
@click.option("--metric", default="loss", show_default=True, help="loss, perplexity, ... or TASK/METRIC.")
@click.option("--least-rise", type=float, help="Relative worsening of the metric that counts (0.005).")
@click.option("--significance", type=float, help="Share of false alarms that is allowed.")
@click.option("--least-anisotropy", type=float, help="Rise of the mean cosine that counts (0.05).")
@click.option("--least-entropy", type=float, help="Relative rise of the singular entropy that counts (0.1).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def onset_command(context: Context, target: str, metric: str, as_json: bool, **limits: float | None) -> None:
    """Tell whether a measured model (family/model) saturates, since when, and what its representations and head did."""
    from saturation.jobs import onset
    from saturation.measures.verdict import Thresholds

    family, _, model = target.partition("/")
    if not model:
        raise InputError(f"'{target}' names no model; write family/model.")
    registry.family(family)
    thresholds = Thresholds(**{name: value for name, value in limits.items() if value is not None})
    found = onset.judge(context.store, family, model, metric, thresholds)
    say(onset.as_json(found), as_json, onset.as_text(found, target))
