"""A disk that is full, for real: a small file system of its own."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import store_rows
from command_line import rows, saturation
from test_sweep import run

from saturation.errors import StoreError
from saturation.store import Store, packs

__all__ = ["run"]  # a fixture of another file


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """64 MB: the bundled results do fit, and room to write."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return filler


def test_nothing_acknowledged_is_lost_and_the_next_write_goes_on(small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", str(small)], check=True)
    store, written = store_rows.empty_store(small / "measurements.duckdb"), 0

    def write(step: int) -> None:
        values = [float(step * 977 + place) / 7 for place in range(20_000)]
        row = store_rows.checkpoint(step=step)
        scalars = {"singular_entropy": float(step)}
        store.add([store_rows.measurement(row, scalars=scalars, series={"singular_values": values})])

    said = ""
    while not said and written < 1000:
        try:
            write(written)
        except StoreError as error:
            said = str(error)
        else:
            written += 1
    assert said == (f"The disk of {small} is full; free some space and run the same again: what was measured is kept.")
    assert written > 20

    def whole() -> list[int]:
        found = store.frame(
            "SELECT step FROM checkpoints JOIN measurements USING (checkpoint_id) JOIN series USING (measurement_id) "
            'JOIN scalars s USING (measurement_id) WHERE len("values") = 20000 AND "values"[20000] = '
            "(step * 977 + 19999) / 7 AND s.value = step ORDER BY step"
        )
        return found["step"].tolist()

    assert whole() == list(range(written))  # readable while it is full
    subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True)
    write(written)
    assert whole() == list(range(written + 1))


def test_a_sweep_ends_in_a_sentence_and_the_same_command_goes_on(
    small: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("sweep", run, "--text", run.parent / "text.txt")
    monkeypatch.setenv("SATURATION_CACHE", str(tmp_path / "elsewhere"))
    assert saturation(*options).code == 0
    expected = rows(tmp_path / "elsewhere")
    monkeypatch.setenv("SATURATION_CACHE", str(small))
    Store(small / "measurements.duckdb").ensure()
    filler = fill(small)
    outcome = saturation(*options)
    assert (outcome.code, len(outcome.stderr.splitlines())) == (1, 1)
    assert "free some" in outcome.stderr
    assert str(small) in outcome.stderr
    assert rows(small)["measurements"] == 0
    filler.unlink()
    assert saturation(*options).stdout.startswith("3 checkpoints: 3 measured, 0 were stored, 0 failed")
    assert rows(small) == expected


WAYS: dict[str, Callable[[Path], object]] = {
    "export": lambda folder: saturation("export", folder / "mine.pack.zip", "--models", "lab/w8"),
    "measure": lambda folder: saturation("measure", "lab/w8@128", "--measures", "spectrum", "--force"),
}


@pytest.mark.parametrize("name", WAYS)
def test_other_commands(small: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, no half-written file, and the store is as it was."""
    monkeypatch.setenv("SATURATION_CACHE", str(small))
    store = Store(small / "measurements.duckdb")
    store.ensure()
    before = store.frame("SELECT count(*) AS n FROM measurements")["n"][0]
    filler = fill(small)
    outcome = WAYS[name](small)
    assert (outcome.code, outcome.stdout, len(outcome.stderr.splitlines())) == (1, "", 1), outcome
    assert "full" in outcome.stderr or "No space left" in outcome.stderr
    assert not (small / "mine.pack.zip").exists()
    assert store.frame("SELECT count(*) AS n FROM measurements")["n"][0] == before
    filler.unlink()
    assert WAYS[name](small).code == 0
    if name == "export":
        packs.fingerprint(small / "mine.pack.zip")
