"""Commands around the dashboard: its settings, its server, its workers."""

import os
import sys

import click

from saturation import settings
from saturation.cli.shared import Context, say
from saturation.errors import SaturationError


@click.command("settings")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def settings_command(context: Context, as_json: bool) -> None:
    """Print the settings in force."""
    values = context.settings.as_dict()
    say(values, as_json, "\n".join(f"{name}: {value}" for name, value in values.items()))


@click.command("serve")
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


@click.command("work", hidden=True)
@click.argument("job_id")
@click.pass_obj
def work_command(context: Context, job_id: str) -> None:
    """Run a job that a page has started."""
    from saturation.jobs.worker import work

    job = work(context.settings, job_id)
    if job.state == "failed":
        raise SaturationError(job.error or "The job failed.")
