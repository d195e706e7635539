"""`python -m saturation ...`: the command line. Results go to stdout, logs and progress to stderr.

Exit codes: 0 done, 1 failed with one sentence, 2 wrong arguments.
"""

import errno
import sys
from pathlib import Path

import click

from saturation import __version__, settings
from saturation.cli import bottleneck, evaluating, heads, kept, lab, measuring, packs, playground, query, serving
from saturation.cli.shared import Context
from saturation.errors import SaturationError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="saturation")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of the store (SATURATION_CACHE).")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, cache: Path | None, debug: bool) -> None:
    """Is this language model saturating, since when, and is its output head the reason?"""
    context.obj = Context(settings.load(cache), debug)


COMMANDS: tuple[click.Command, ...] = (
    measuring.families_command,
    measuring.measure_command,
    measuring.sweep_command,
    measuring.audit_command,
    measuring.onset_command,
    heads.heads_command,
    evaluating.evaluate_command,
    bottleneck.ngram_command,
    playground.playground_command,
    lab.lab_group,
    packs.export_command,
    packs.import_command,
    query.sql_command,
    kept.kept_command,
    serving.settings_command,
    serving.serve_command,
    serving.work_command,
    serving.queue_group,
)
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line; an error of ours ends in one sentence on stderr and exit code 1."""
    try:
        cli(standalone_mode=True)
    except SaturationError as error:
        if "--debug" in sys.argv:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if "--debug" in sys.argv or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" of {error.filename}" if error.filename else ""
        click.echo(f"Error: The disk{where} is full; free some space and run the same again.", err=True)
        sys.exit(1)
