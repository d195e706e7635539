"""Commands about the width that a corpus asks for."""

from typing import Any

import click

from saturation.cli.shared import Context, bar, say
from saturation.errors import InputError

LISTED_AT_MOST = 5


@click.command("ngram")
@click.argument("corpus", nargs=-1, required=True, metavar="CORPUS...")
@click.option(
    "--tokenizer",
    required=True,
    metavar="FILE_OR_REPO",
    help="tokenizer.json, SentencePiece .model, a folder, organisation/name on the hub, or bpe:SIZE, trained here.",
)
@click.option(
    "--order", type=int, default=5, show_default=True, help="Length of the n-grams: one more than the context."
)
@click.option("--exact", is_flag=True, help="All eigenvalues, whatever it takes.")
@click.option("--stochastic", is_flag=True, help="An estimate with a band; default where a component has 4,000 tokens.")
@click.option("--force", is_flag=True, help="Measure again what is stored.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def ngram_command(
    context: Context,
    corpus: tuple[str, ...],
    tokenizer: str,
    order: int,
    exact: bool,
    stochastic: bool,
    force: bool,
    as_json: bool,
) -> None:
    """W-error by rank of a corpus's n-gram matrix: how wide a head must be to hold it.

    CORPUS is a file, several, a folder (.txt, .md, .jsonl, .parquet, .gz of these), or
    hub:owner/name[@revision][:split].
    """
    from saturation.jobs.ngram import NgramRequest, measure_ngram

    if exact and stochastic:
        raise InputError("--exact and --stochastic exclude each other; give one of them, or neither.")
    method = "exact" if exact else "stochastic" if stochastic else "auto"
    with bar("B") as report:
        request = NgramRequest(corpus if len(corpus) > 1 else corpus[0], tokenizer, order, method)
        result = measure_ngram(context.settings, request, report, force)
    if result.skipped:
        more = len(result.skipped) - LISTED_AT_MOST
        names = ", ".join(result.skipped[:LISTED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
        click.echo(f"Skipped, for they are no text files: {names}", err=True)
    say(curve_json(result.curve), as_json, curve_text(result.curve))


def curve_json(curve: Any) -> dict[str, Any]:
    """A curve as the command line prints it; W-errors are lists of [rank, value]."""
    pairs = {
        name: [[rank, value] for rank, value in zip(curve.ranks, getattr(curve, name), strict=True)]
        for name in ("w_error", "w_error_low", "w_error_high")
    }
    names = ("tokens", "contexts", "vocabulary", "tokens_seen", "frobenius_norm", "rank_at_half", "method")
    told = {name: getattr(curve, name) for name in (*names, "corpus", "tokenizer", "seconds")}
    return {**told, "order": curve.gram_order, **pairs}


def curve_text(curve: Any) -> str:
    """A short table: what was counted, and the W-error at the widths that models have."""
    from saturation.jobs.widths import COMMON_WIDTHS

    held = dict(zip(curve.ranks, zip(curve.w_error, curve.w_error_low, curve.w_error_high, strict=True), strict=True))
    lines = [
        f"{curve.corpus} by {curve.tokenizer}: {curve.gram_order}-grams, {curve.method}, {curve.seconds:.1f} s",
        f"  {curve.tokens:,} tokens, {curve.contexts:,} contexts, "
        f"{curve.tokens_seen:,} of {curve.vocabulary:,} tokens seen",
        f"  W-error nearest to a half at rank {curve.rank_at_half:,}",
        "  rank   W-error",
    ]
    for rank in (width for width in COMMON_WIDTHS if width in held):
        value, low, high = held[rank]
        band = f"   {low:.4f} to {high:.4f}" if high > low else ""
        lines.append(f"  {rank:>5,}  {value:.4f}{band}")
    return "\n".join(lines)
