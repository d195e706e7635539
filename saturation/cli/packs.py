"""Commands that bring measurements and evaluations in and take them away."""

from collections.abc import Sequence
from pathlib import Path

import click

from saturation.cli.shared import Context, bar, say
from saturation.errors import InputError


@click.command("export")
@click.argument("pack", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--models", default="", help="Comma-separated family/model names, e.g. lab/w8,lab/w16.")
@click.option("--bottleneck", is_flag=True, help="Also the n-gram matrices and the playground, which have no model.")
@click.pass_obj
def export_command(context: Context, pack: Path, models: str, bottleneck: bool) -> None:
    """Write the measurements of some models to a pack (Parquet tables and a manifest in one zip)."""
    from saturation.store import packs

    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names and not bottleneck:
        raise click.UsageError("Nothing was named to export; give --models, --bottleneck or both.")
    with context.store.read() as connection:
        rows = packs.save(connection, pack, names, bottleneck)
    more = {"evaluations": "evaluations", "ngrams": "n-gram matrices", "playground": "widths of the playground"}
    also = "".join(f", {rows[name]} {words}" for name, words in more.items() if rows[name])
    click.echo(f"{pack}: {rows['measurements']} measurements of {rows['checkpoints']} checkpoints{also}.")


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", metavar="FAMILY/MODEL", help="Whose results they are, where names do not tell it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def import_command(context: Context, paths: Sequence[Path], model: str | None, as_json: bool) -> None:
    """Add measurement packs and results of the LM Evaluation Harness to the store.

    PATHS are packs (*.pack.zip), result files (JSON) and folders of result files. What a pack holds and the store has
    already stays as it is; results imported again replace the older ones.
    """
    from saturation.jobs.imports import bring_in

    with bar("file") as report:
        found = bring_in(context.store, paths, model, report)
    if found.empty:
        raise InputError(found.failure())
    say(found.as_json(), as_json, found.as_text())
