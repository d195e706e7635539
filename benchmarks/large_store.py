"""`python -m benchmarks.large_store`: queries of a page on a store of 1,000,000 measurements beside one of 10,000.

Both hold the same family, which is asked for, and twenty others, which make up the rest.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pages import TEXT, fill
from saturation.families import registry
from saturation.store import Store, queries, summary
from saturation.store.queries import training

SMALL, LARGE = 10_000, 1_000_000
ROUNDS = 7
FAMILIES, MODELS = 20, 10
MEASURES = ("spectrum", "anisotropy", "loss", "alignment")
SCALARS = {
    "spectrum": ("singular_entropy", "effective_rank", "stable_rank", "top_share", "condition_number"),
    "anisotropy": ("anisotropy", "centred_anisotropy", "anisotropy_before_norm"),
    "loss": ("nats_per_token", "perplexity", "word_perplexity", "bits_per_byte", "accuracy"),
    "alignment": ("tokens_seen", "correlation_by_chance"),
}
SERIES = {
    "spectrum": ("singular_values", "centred_singular_values"),
    "anisotropy": ("layers", "centred_layers"),
    "alignment": ("ones_alignment", "frequency_correlation"),
}


@dataclass(frozen=True)
class Grown:
    """Seconds of a query on the small and on the large store, and how many times slower it is, with the spread."""

    query: str
    small: float
    large: float
    ratio: float
    low: float
    high: float


def fill_up(store: Store, measurements: int) -> None:
    """Other families, written by the database itself until the store holds so many measurements."""
    with store.write() as connection:
        held = connection.execute("SELECT count(*) FROM measurements").fetchall()[0][0]
        checkpoints = -(-(measurements - held) // len(MEASURES))
        connection.execute(
            f"""
            CREATE TEMP TABLE crowd AS
            SELECT i, md5('checkpoint ' || i) AS checkpoint_id, 'crowd' || (i % {FAMILIES}) AS of_family
            FROM range({checkpoints}) t(i);
            INSERT INTO checkpoints BY NAME
            SELECT checkpoint_id, of_family AS family, 'm' || (i // {FAMILIES} % {MODELS}) AS model,
                   i // {FAMILIES * MODELS} AS step, 'benchmark' AS source, checkpoint_id AS content_id,
                   64 AS hidden_size, 4 AS layers, 1000 AS vocab_size, 100000 AS parameters
            FROM crowd;
            """
        )
        for measure in MEASURES:
            text = "NULL" if measure == "spectrum" else f"'{TEXT.text_id}'"
            connection.execute(
                f"""
                CREATE OR REPLACE TEMP TABLE of_measure AS
                SELECT i, checkpoint_id, md5('{measure} ' || i) AS measurement_id, of_family FROM crowd;
                INSERT INTO measurements BY NAME
                SELECT measurement_id, checkpoint_id, '{measure}' AS measure, 1 AS version, {text} AS text_id,
                       'float32' AS dtype, 1000 AS tokens, 'cpu' AS device, TIMESTAMPTZ '2026-01-01' AS measured_at,
                       1.0 AS seconds, 1 AS bytes_read, 'benchmark' AS software, i + 1 AS written, of_family
                FROM of_measure
                """
            )
            for name in SCALARS[measure]:
                connection.execute(
                    f"INSERT INTO scalars BY NAME SELECT measurement_id, '{name}' AS name, i % 97 / 97 AS value, "
                    "of_family FROM of_measure"
                )
            for name in SERIES.get(measure, ()):
                connection.execute(
                    f"INSERT INTO series BY NAME SELECT measurement_id, '{name}' AS name, "
                    '[i % 7 / 7, 0.5, 0.4, 0.3, 0.2]::DOUBLE[] AS "values", of_family FROM of_measure'
                )
        summary.refresh_all(connection)


def asked() -> list[tuple[str, tuple[Any, ...]]]:
    """What pages ask of a family, by the name of the query."""
    models = tuple(registry.family("pythia").models)
    one = ("pythia", ("410m",))
    return [
        ("models", ()),
        ("evaluated", ()),
        ("trajectory", one),
        ("trajectory", ("pythia", models)),
        ("spectra", ("pythia", "410m")),
        ("layer_anisotropy", ("pythia", models)),
        ("alignment", one),
        ("truncated_heads", ("pythia", models)),
        ("trained_heads", ("pythia", models)),
        ("top_tokens", ("pythia", "410m", 71000)),
        ("provenance", ("pythia", models)),
        ("metrics", ("pythia",)),
        ("evaluations", ("pythia", models)),
        ("texts", ("pythia",)),
        ("ngrams", ()),
        ("playground", ()),
    ]


def _seconds(store: Store, query: str, arguments: tuple[Any, ...]) -> float:
    training.forget()  # what is kept of the last answer
    start = time.perf_counter()
    getattr(queries, query)(store, *arguments)
    return time.perf_counter() - start


def grown(small: int = SMALL, large: int = LARGE, rounds: int = ROUNDS) -> Iterator[Grown]:
    """Each query on both stores in turns, after one on each that is not counted."""
    with ExitStack() as stack:
        stores = []
        for count in (small, large):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            store = Store(folder / "measurements.duckdb", bundled=folder / "no-packs")
            fill(store)
            fill_up(store, count)
            stores.append(store)
        start = time.perf_counter()
        Store(stores[1].path, bundled=stores[1].bundled).ensure()
        yield Grown("first opening", 0.0, time.perf_counter() - start, 0.0, 0.0, 0.0)
        for query, arguments in asked():
            times = [[_seconds(store, query, arguments) for store in stores] for _ in range(rounds + 1)][1:]
            ratios = [large_one / small_one for small_one, large_one in times]
            few, many = (statistics.median(column) for column in zip(*times, strict=True))
            name = f"{query}, {len(arguments[1])} models" if query == "trajectory" else query
            yield Grown(name, few, many, statistics.median(ratios), min(ratios), max(ratios))


def main() -> None:
    """Print a line for each query."""
    print(f"| query | {SMALL:,} measurements | {LARGE:,} | times (lowest to highest) |")
    print("| --- | --- | --- | --- |")
    for item in grown():
        few = f"{1000 * item.small:.1f} ms" if item.small else ""
        ratio = f"{item.ratio:.2f} ({item.low:.2f} to {item.high:.2f})" if item.small else ""
        print(f"| {item.query} | {few} | {1000 * item.large:.1f} ms | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
