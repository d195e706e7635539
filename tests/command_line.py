"""`python -m saturation ...` inside the test's process: the same entry, without the seconds that a start takes."""

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from saturation.cli import main
from saturation.store import Store


@dataclass(frozen=True)
class Outcome:
    """Exit code and what was printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.stderr
        assert len(self.stdout.splitlines()) == 1
        return json.loads(self.stdout)

    @property
    def sentence(self) -> str:
        """The error: one line on stderr, nothing on stdout, exit code 1."""
        assert (self.code, self.stdout, len(self.stderr.splitlines())) == (1, "", 1), self
        assert self.stderr.startswith("Error: ")
        return self.stderr.removeprefix("Error: ").rstrip("\n")


def saturation(*arguments: object) -> Outcome:
    """Run the command line with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        mock.patch.object(sys, "argv", ["saturation", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    return Outcome(int(code or 0), out.getvalue(), err.getvalue())


def rows(cache: Path) -> dict[str, int]:
    """How many rows the store in a cache folder has in each table, bundled ones left out."""
    store = Store(cache / "measurements.duckdb")
    inside = "WHERE checkpoint_id NOT IN (SELECT checkpoint_id FROM checkpoints WHERE family = 'lab')"
    tables = {
        "checkpoints": inside,
        "measurements": inside,
        "scalars": f"WHERE measurement_id IN (SELECT measurement_id FROM measurements {inside})",
        "series": f"WHERE measurement_id IN (SELECT measurement_id FROM measurements {inside})",
    }
    return {name: int(store.frame(f"SELECT count(*) FROM {name} {sql}").iloc[0, 0]) for name, sql in tables.items()}
