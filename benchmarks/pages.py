"""Time of every page with ten models of 154 checkpoints, as a visitor of a running dashboard meets it."""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.visitor import Server, path_of, serving, visit
from saturation.families import registry
from saturation.jobs.request import HEAD_VERSIONS, VERSIONS
from saturation.store import CheckpointRow, Evaluation, Measurement, NgramCurve, Store, TextRow
from saturation.ui.pages import PAGES, Page

STEPS = (0, *(2**power for power in range(10)), *range(1000, 144_000, 1000))
TEXT = TextRow("benchmark-text", "benchmark text", "made for this benchmark", 1000, 200)
TASKS = ("lambada_openai/perplexity", "sciq/acc", "arc_easy/acc")
RUNS = 24  # of each page once it was opened: a tail of 5 % needs some twenty
MODELS = ("410m", "70m", "1.4b")


@dataclass(frozen=True)
class PageTime:
    """Of one page: seconds until the first run was over, then of `RUNS` clicks the median and the 95th of 100, seconds
    of the server's processor for a click, bytes sent for a click, and the figures with the bytes of the largest.
    """

    page: str
    first: float
    median: float
    tail: float
    cpu: float
    received: float
    figures: int
    largest_figure: int


def fill(store: Store) -> None:
    """Values in the shape of the real ones for every Pythia model: this measures pages, it shows nothing."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    random = np.random.default_rng(0)
    for name, model in registry.family("pythia").models.items():
        rows, results = [], []
        for step in STEPS:
            share = step / STEPS[-1]
            checkpoint = CheckpointRow(
                family="pythia",
                model=name,
                step=step,
                source="benchmark",
                revision=f"step{step}",
                content_id=f"{name}-{step}",
                hidden_size=model.hidden_size,
                layers=model.layers,
                vocab_size=model.vocab_size,
                parameters=model.parameters,
            )
            common = {
                "checkpoint": checkpoint,
                "dtype": "float32",
                "device": "cpu",
                "measured_at": moment,
                "seconds": 1.0,
                "bytes_read": 1,
                "software": "benchmark",
            }
            on_text = common | {"text": TEXT, "tokens": 50_000, "context_length": 2048}
            values = np.sort(random.uniform(0.1, 1.0, model.hidden_size))[::-1] * (1 + share)
            layers = random.uniform(0.0, 1.0, model.layers + 1)
            names = ("singular_entropy", "effective_rank", "stable_rank", "top_share", "condition_number")
            spectrum = {f"{prefix}{key}": 0.3 + share for key in names for prefix in ("", "centred_")}
            keys = ("anisotropy", "centred_anisotropy", "anisotropy_before_norm", "centred_anisotropy_before_norm")
            loss = 3 + 8 * np.exp(-30 * share) + random.normal(0, 0.01) + (0.3 * share if model.layers < 12 else 0)
            losses = {
                "nats_per_token": loss,
                "perplexity": np.exp(loss),
                "word_perplexity": np.exp(1.3 * loss),
                "bits_per_byte": loss / 3,
                "accuracy": 0.4,
            }
            rows += [
                Measurement(
                    **common,
                    measure="spectrum",
                    version=VERSIONS["spectrum"],
                    scalars=spectrum,
                    series={"singular_values": values, "centred_singular_values": values * 0.9},
                ),
                Measurement(
                    **on_text,
                    measure="anisotropy",
                    version=VERSIONS["anisotropy"],
                    scalars=dict(zip(keys, (layers[-1], 0.1, layers[-1], 0.1), strict=True)),
                    series={"layers": layers, "centred_layers": layers / 2},
                ),
                Measurement(**on_text, measure="loss", version=VERSIONS["loss"], scalars=losses),
            ]
            rows.append(truncated(on_text, model.hidden_size, loss))
            if step == STEPS[-1]:
                rows += [trained(on_text, rank, rate, loss) for rank in (8, 64, 512) for rate in (0.001, 0.01, 0.05)]
            results += [
                Evaluation(
                    family="pythia",
                    model=name,
                    step=step,
                    task=task,
                    metric=metric,
                    value=float(np.exp(loss)) if metric == "perplexity" else 0.4,
                    stderr=0.01,
                    higher_is_better=metric != "perplexity",
                    harness="benchmark",
                    source="benchmark",
                    content_id="benchmark",
                    imported_at=moment,
                )
                for task, _, metric in (item.partition("/") for item in TASKS)
            ]
        store.add(rows)
        store.add_evaluations(results)
    store.add_ngrams(curves(moment))


def truncated(common: dict, hidden_size: int, loss: float) -> Measurement:
    """Truncated heads at powers of two."""
    ranks = [float(2**power) for power in range(int(np.log2(hidden_size)) + 1)]
    losses = [loss + 1 / rank for rank in ranks]
    shares = [1 - rank / hidden_size for rank in ranks]
    series = {"ranks": ranks}
    for prefix in ("", "centred_"):
        series |= {f"{prefix}nats_per_token": losses, f"{prefix}accuracy": shares, f"{prefix}w_error": shares}
    return Measurement(
        **common,
        measure="truncated_heads",
        version=HEAD_VERSIONS["truncated_heads"],
        scalars={"own_nats_per_token": loss, "own_accuracy": 0.4},
        series=series,
    )


def trained(common: dict, rank: int, rate: float, loss: float) -> Measurement:
    """One trained head."""
    values = {"rank": rank, "learning_rate": rate, "seed": 0.0, "nats_per_token": loss + 1 / rank, "accuracy": 0.3}
    values |= {"validation_nats_per_token": loss + rate, "w_error": 0.5}
    return Measurement(
        **common,
        measure="trained_head",
        version=HEAD_VERSIONS["trained_head"],
        inputs=f"{rank} {rate}",
        scalars=values,
    )


def curves(moment: datetime) -> list[NgramCurve]:
    """Six n-gram matrices of 600 ranks each."""
    ranks = np.unique(np.geomspace(1, 30_000, 600).astype(int)).tolist()
    errors = [float(np.exp(-rank / 3000)) for rank in ranks]
    return [
        NgramCurve(
            corpus_id=str(place),
            corpus=f"corpus {place}",
            corpus_source="benchmark",
            tokenizer_id=str(place),
            tokenizer="benchmark",
            gram_order=5,
            method="stochastic",
            version=1,
            tokens=10**6,
            contexts=10**6,
            vocabulary=1000 * 2**place,
            tokens_seen=1000,
            frobenius_norm=100.0,
            rank_at_half=2000,
            ranks=ranks,
            w_error=errors,
            w_error_low=errors,
            w_error_high=errors,
            seconds=1.0,
            measured_at=moment,
            software="benchmark",
        )
        for place in range(6)
    ]


def clicks(count: int) -> list[dict[str, str]]:
    """Addresses as a reader makes them: the step moves at each click, the model at every eighth."""
    places = np.random.default_rng(1).integers(len(STEPS), size=count)
    return [
        {"family": "pythia", "model": MODELS[place // 8 % len(MODELS)], "step": str(STEPS[step])}
        for place, step in enumerate(places)
    ]


def page_times(runs: int = RUNS, port: int = 8599) -> Iterator[PageTime]:
    """Each page of the menu on such a store: opened once, then clicked."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Store(Path(folder) / "measurements.duckdb"))
        with serving(Path(folder), port) as server:
            for page in PAGES:
                yield asyncio.run(_page(page, server, runs))


async def _page(page: Page, server: Server, runs: int) -> PageTime:
    visitor = await visit(server.port)
    path = path_of(page.path)
    first = await visitor.see(path, clicks(1)[0])
    before = server.cpu()
    seen = [await visitor.see(path, address) for address in clicks(runs)]
    cpu = (server.cpu() - before) / runs
    await visitor.leave()
    errors = [error for each in (first, *seen) for error in each.errors]
    if errors:
        raise RuntimeError(f"{page.name}: {errors[0]}")
    seconds = [each.seconds for each in seen]
    return PageTime(
        page.name,
        first.seconds,
        float(np.median(seconds)),
        float(np.quantile(seconds, 0.95)),
        cpu,
        float(np.median([each.received for each in seen])),
        len(first.figures),
        max((size for each in (first, *seen) for size in each.figures), default=0),
    )


def main() -> None:
    """Print the table of all pages."""
    print("| page | opened | click, median | 95 % | server's processor | sent | figures | largest |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for item in page_times():
        times = (item.first, item.median, item.tail, item.cpu)
        print(
            f"| {item.page} | {' | '.join(f'{1000 * value:,.0f} ms' for value in times)} "
            f"| {item.received / 1000:,.0f} kB | {item.figures} | {item.largest_figure / 1000:,.0f} kB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
