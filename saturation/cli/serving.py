"""Commands around the dashboard: its settings, its server, its workers."""

import math
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace

import click
from filelock import Timeout

from saturation import settings
from saturation.cli.shared import Context, say, working_options


@click.command("settings")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def settings_command(context: Context, as_json: bool) -> None:
    """Print the settings in force."""
    values = context.settings.as_dict()
    say(values, as_json, "\n".join(f"{name}: {value}" for name, value in values.items()))


def serve_options(here: settings.Settings, port: int, address: str) -> list[str]:
    """What streamlit is told: where to listen, and how much a visitor may send (MB)."""
    options = [f"--server.port={port}", f"--server.address={address}"]
    if address in ("0.0.0.0", "::"):  # else streamlit asks a service outside for the machine's address
        options.append("--browser.serverAddress=localhost")
    if here.mode != "local":  # what is sent is held in memory, whatever the page says
        most = 1 if here.mode == "demo" else max(1, math.ceil(here.limits.import_mb))
        options.append(f"--server.maxUploadSize={most}")
    return options


@click.command("serve")
@click.option("--port", default=8501, show_default=True, type=int)
@click.option("--address", default="localhost", show_default=True)
@click.pass_obj
def serve_command(context: Context, port: int, address: str) -> None:
    """Serve the dashboard."""
    context.store.ensure()
    os.environ.update(SATURATION_CACHE=str(context.settings.cache), SATURATION_MODE=context.settings.mode)
    from saturation.ui import server

    server.serve(serve_options(context.settings, port, address))


@click.command("work")
@working_options
@click.option("--idle", default=0.0, show_default=True, help="Seconds to wait for more when nothing is left.")
@click.option("--single", is_flag=True, hidden=True, help="Leave at once if such a worker runs already.")
@click.pass_obj
def work_command(context: Context, workers: int, dask: str | None, idle: float, single: bool) -> None:
    """Work on the queue until it is empty: what pages asked for, and what killed sweeps left."""
    from saturation.jobs import board
    from saturation.jobs.lanes import lanes_for
    from saturation.jobs.runner import Runner

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # in order: jobs go back at once
    context.settings.workers_path.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if single:
            try:
                stack.enter_context(board.single(context.settings).acquire(timeout=0))
            except Timeout:
                return
        Runner(
            context.settings,
            lambda presence: lanes_for(context.settings, presence.tell, workers, dask),
            idle_seconds=idle,
        ).run()


def _operator(context: Context) -> settings.Settings:
    """The settings of whoever has a shell on this machine, who is no visitor of what it hosts."""
    return replace(context.settings, mode="local")


@click.group("queue")
def queue_group() -> None:
    """Look at the queue, cancel or retry what was asked for."""


@queue_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def queue_list(context: Context, as_json: bool) -> None:
    """List what was asked for, newest first."""
    from saturation.jobs import board

    context.store.ensure()
    found = board.jobs(_operator(context), revive=False)
    listed = [
        {name: getattr(job, name) for name in ("id", "title", "kind", "state", "done", "total", "failed", "error")}
        for job in found
    ]
    lines = [
        f"{job.id}  {job.state:<9} {job.done:>4} of {job.total:<4} {job.title}{f': {job.error}' if job.error else ''}"
        for job in found
    ]
    say({"jobs": listed}, as_json, "\n".join(lines) or "The queue is empty.")


@queue_group.command("cancel")
@click.argument("job_id")
@click.pass_obj
def queue_cancel(context: Context, job_id: str) -> None:
    """Stop a job; what it has measured stays."""
    from saturation.jobs import board

    board.cancel(_operator(context), job_id)


@queue_group.command("retry")
@click.argument("job_id")
@click.pass_obj
def queue_retry(context: Context, job_id: str) -> None:
    """Run what failed or was cancelled of a job again, in a worker of its own."""
    from saturation.jobs import board

    board.retry(_operator(context), job_id)
