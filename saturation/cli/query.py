"""The command that answers a query in SQL."""

import json
import math
from typing import Any

import click
import pyarrow as pa

from saturation.cli.shared import Context, say
from saturation.errors import InputError

# Rows and signs of a value that a reader is shown; --csv and --json give all.
SHOWN, WIDEST = 50, 40


@click.command("sql")
@click.argument("query", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--seconds", default=10.0, show_default=True, type=float, help="How long the query may run.")
@click.option("--tables", is_flag=True, help="List the tables and columns that a query can read.")
@click.pass_obj
def sql_command(context: Context, query: str | None, as_csv: bool, as_json: bool, seconds: float, tables: bool) -> None:
    """Answer one QUERY that reads (SELECT ...), on a copy of what is held.

    At most 20,000 rows; a query that takes too long or too much memory is stopped.
    """
    from saturation.store import console
    from saturation.store.console_tables import TABLES
    from saturation.store.taken import csv_of

    if tables:
        listed = {name: {"about": words, "columns": columns} for name, (words, columns) in TABLES.items()}
        say({"tables": listed}, as_json, "\n".join(_described(*item) for item in TABLES.items()))
        return
    if not query:
        raise click.UsageError('Give a query, such as "SELECT * FROM trajectory", or --tables.')
    if not (math.isfinite(seconds) and 0 < seconds <= 3600):
        raise InputError(f"--seconds is {seconds:g}; give a time of at most an hour.")
    found = console.ask(context.store, query, console.Limits(seconds=seconds), places=context.settings.mode == "local")
    if as_csv:
        click.echo(csv_of(found.table), nl=False)
    else:
        value = {"columns": found.table.column_names, "rows": _rows(found.table), "cut": found.cut}
        say(value | {"seconds": found.seconds}, as_json, _text(found.table, found.cut, found.seconds))
    if found.cut and (as_csv or as_json):
        click.echo(f"Only the first {found.table.num_rows:,} rows.", err=True)


def _described(name: str, about: tuple[str, dict[str, str]]) -> str:
    words, columns = about
    width = max(map(len, columns))
    return "\n".join([f"{name}: {words}", *(f"  {column:<{width}}  {meaning}" for column, meaning in columns.items())])


def _rows(table: pa.Table) -> list[list[Any]]:
    """Rows of plain values; numbers that JSON does not know become null."""
    return [[_plain(value) for value in row.values()] for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _text(table: pa.Table, cut: bool, seconds: float) -> str:
    rows = [[_shown(value) for value in row.values()] for row in table.slice(0, SHOWN).to_pylist()]
    names = [_shown(name) for name in table.column_names]
    widths = [max([len(name), *(len(row[place]) for row in rows)]) for place, name in enumerate(names)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in [names, *rows]
    ]
    number = f"{table.num_rows:,} row{'' if table.num_rows == 1 else 's'}"
    more = f", {SHOWN} of them shown (--csv gives all)" if table.num_rows > SHOWN else ""
    return "\n".join([*lines, f"{'The first ' if cut else ''}{number} in {seconds:.2f} s{more}"])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "–"
    text = json.dumps(_plain(value)) if isinstance(value, list) else str(value)
    text = "".join(sign if sign.isprintable() else "□" for sign in text)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
