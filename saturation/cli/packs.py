"""Commands that bring measurements in and take them away."""

from pathlib import Path

import click

from saturation.cli.shared import Context


@click.command("export")
@click.argument("pack", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--models", required=True, help="Comma-separated family/model names, e.g. lab/w8,lab/w16.")
@click.pass_obj
def export_command(context: Context, pack: Path, models: str) -> None:
    """Write the measurements of some models to a pack (Parquet tables and a manifest in one zip)."""
    from saturation.store import packs

    with context.store.read() as connection:
        rows = packs.save(connection, pack, [name.strip() for name in models.split(",")])
    click.echo(f"{pack}: {rows['measurements']} measurements of {rows['checkpoints']} checkpoints.")


@click.command("import")
@click.argument("pack", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def import_command(context: Context, pack: Path) -> None:
    """Add the measurements of a pack to the store; what is there already stays as it is."""
    from saturation.store import packs

    context.store.ensure()
    with context.store.write() as connection:
        added = packs.load(connection, pack)
    click.echo(f"{added} measurements added.")
