"""The command that measures heads of lower rank."""

from pathlib import Path

import click

from saturation.cli.shared import Context, bar, say
from saturation.jobs.head_request import BOTH, STARTS, HeadsRequest
from saturation.jobs.request import Request


def _ranks(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in (value or "").split(",") if part.strip())
    except ValueError as error:
        raise click.BadParameter(f"'{value}' is no list of ranks; write 8,16,32.") from error


def _rates(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in (value or "").split(",") if part.strip())
    except ValueError as error:
        raise click.BadParameter(f"'{value}' is no list of learning rates; write 1e-3,1e-2.") from error


@click.command("heads")
@click.argument("target")
@click.option("--text", metavar="FILE", help="UTF-8 text file, or a bundled text; default: the family's own.")
@click.option("--ranks", callback=_ranks, help="Comma-separated; default: powers of two, and the hidden size.")
@click.option("--truncated-only", is_flag=True, help="Cut the head by SVD only, on the whole text; train none.")
@click.option("--learning-rates", callback=_rates, help="Comma-separated; default: four from 1e-3 to 5e-2.")
@click.option("--seeds", type=int, default=1, show_default=True, help="Trained heads for each rank and learning rate.")
@click.option(
    "--init",
    type=click.Choice([BOTH, *STARTS]),
    default=BOTH,
    show_default=True,
    help="Where trained heads start: N(0, 1), the head cut by SVD, or both, of which the validation loss chooses.",
)
@click.option("--max-tokens", type=int, help="Only the first tokens of the text.")
@click.option("--context-length", type=int, help="Windows shorter than the model's own.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, path_type=Path),
    help="Folder or tokenizer.json, if not beside it.",
)
@click.option("--keep", is_flag=True, help="Keep a downloaded model in the hub cache.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def heads_command(
    context: Context,
    target: str,
    text: str | None,
    ranks: tuple[int, ...],
    truncated_only: bool,
    learning_rates: tuple[float, ...],
    seeds: int,
    init: str,
    max_tokens: int | None,
    context_length: int | None,
    dtype: str,
    device: str,
    tokenizer: Path | None,
    keep: bool,
    as_json: bool,
) -> None:
    """Measure what a lower rank of the head alone would cost: heads cut by SVD, and heads trained on the last states.

    TARGET is family/model@step, a path, or organisation/name@revision on the hub; without a step, the last one. Run it
    again to resume. With trained heads, 80 % of the text trains, 10 % validates, and all losses are of the last 10 %.
    """
    from saturation.checkpoints.resolve import resolve_one
    from saturation.jobs import heads_report
    from saturation.jobs.heads import measure_heads

    request = Request(
        text=text,
        max_tokens=max_tokens,
        context_length=context_length,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        keep=keep,
    )
    asked = HeadsRequest(ranks, not truncated_only, learning_rates, seeds, init)
    checkpoint = resolve_one(target, context.settings.cache)
    with bar("head") as report:
        result = measure_heads(context.store, checkpoint, request, asked, report, context.settings.cache)
    say(heads_report.as_json(result), as_json, heads_report.as_text(result))
