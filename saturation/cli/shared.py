"""What the commands share: the context, how results and progress are printed, the options of measuring."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from saturation import settings
from saturation.jobs.request import MEASURES, Request
from saturation.store import Store

Report = Callable[[int, int, str], None]
# A bar appears only for what takes longer than this.
PROGRESS_DELAY = 2.0


@dataclass(frozen=True)
class Context:
    settings: settings.Settings
    debug: bool

    @property
    def store(self) -> Store:
        return Store(self.settings.store_path)


def say(value: Any, as_json: bool, text: str) -> None:
    click.echo(json.dumps(value, allow_nan=False) if as_json else text)


@contextmanager
def bar(unit: str) -> Iterator[Report]:
    """report(done, total, message) drawn as a bar on stderr, where that is a terminal (`disable=None`)."""
    with tqdm(delay=PROGRESS_DELAY, unit=unit, file=sys.stderr, leave=False, dynamic_ncols=True, disable=None) as shown:

        def report(done: int, total: int, message: str) -> None:
            shown.total = total
            shown.set_description(message, refresh=False)
            shown.update(done - shown.n)

        yield report


def _measures(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def measuring_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that `measure` and `sweep` share; the command receives them as one Request."""

    @click.option(
        "--measures",
        default=",".join(MEASURES),
        show_default=True,
        callback=_measures,
        help="What to measure.",
    )
    @click.option("--text", metavar="FILE", help="UTF-8 text file, or a bundled text; default: the family's own.")
    @click.option("--max-tokens", type=int, help="Score only the first tokens of the text.")
    @click.option("--context-length", type=int, help="Windows shorter than the model's own.")
    @click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16", "float64"]),
        default="float32",
        show_default=True,
    )
    @click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
    @click.option("--head-tensor", metavar="NAME", help="Name of the head's tensor, for a bare weight file.")
    @click.option(
        "--tokenizer",
        type=click.Path(exists=True, path_type=Path),
        help="Folder or tokenizer.json, if not beside it.",
    )
    @click.option("--keep", is_flag=True, help="Keep downloaded models in the hub cache.")
    @click.option("--force", is_flag=True, help="Measure again what is stored.")
    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        names = Request.__dataclass_fields__
        request = Request(**{name: options.pop(name) for name in list(options) if name in names})
        command(*args, request=request, **options)

    return wrapped


def working_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options on who does the work."""
    workers = click.option("--workers", default=1, show_default=True, help="Processes of this machine that measure.")
    dask = click.option("--dask", metavar="ADDRESS", help="Dask scheduler whose workers measure: tcp://host:8786.")
    return workers(dask(command))
