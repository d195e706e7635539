"""The command that says what the cache folder keeps on disk, and clears what can be made again."""

from dataclasses import replace

import click

from saturation.cli.shared import Context, say


@click.command("kept")
@click.option("--clear", "kind", metavar="KIND", help="Remove what there is of hub, corpora or damaged.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def kept_command(context: Context, kind: str | None, as_json: bool) -> None:
    """List what the cache folder keeps on disk, by kind.

    With --clear, remove heads read from the hub, tokens and uploads of corpora, or damaged stores kept aside.
    """
    from saturation.jobs import kept

    settings = replace(context.settings, mode="local")  # who has a shell on this machine is no visitor
    if kind:
        gone = kept.clear(settings, kind)
        value = {"cleared": kind, "bytes": gone.bytes, "files": gone.files}
        say(value, as_json, f"{kind}: {kept.words(gone.bytes)} in {gone.files:,} files removed.")
        return
    rows = kept.listing(settings)
    listed = [
        {"kind": row.kind.name, "bytes": row.bytes, "files": row.files, "clearable": row.kind.clearable} for row in rows
    ]
    total = sum(row.bytes for row in rows)
    lines = [
        f"{row.kind.name:<8} {kept.words(row.bytes):>10} {row.files:>7,} files  {row.kind.what}"
        for row in rows
        if row.files
    ]
    text = "\n".join([*lines, f"{'all':<8} {kept.words(total):>10}  {settings.cache}"])
    say({"cache": str(settings.cache), "kinds": listed, "bytes": total}, as_json, text)
