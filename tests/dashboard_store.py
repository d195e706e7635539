"""A small store with known numbers for the tests of pages: pythia/14m turns, pythia/31m falls, step by step."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from saturation.jobs import playground
from saturation.jobs.request import HEAD_VERSIONS, VERSIONS
from saturation.measures.playground import RankedLanguage
from saturation.store import CheckpointRow, Measurement, NgramCurve, PlaygroundRow, Store, TextRow

STEPS = (0, 1, 2, 4, 8, *range(1000, 11_000, 1000))
MODELS = {"14m": (14_067_712, 6, 128), "31m": (30_494_720, 6, 160)}
TEXT = TextRow(text_id="text-of-the-tests", name="test text", source="hand-made", utf8_bytes=1000, words=200)


def loss(model: str, step: int) -> float:
    """Falls from 10; 14m turns at step 5000 and ends 0.25 above its 4.5, 31m falls to the end."""
    if model == "31m":
        return 9.0 - 5.0 * step / 10_000
    return 9.5 - 5.0 * step / 5000 if step <= 5000 else 4.5 + 0.05 * (step - 5000) / 1000


def spectrum(size: int, step: int) -> np.ndarray:
    """Evenly falling values; past step 5000 the first grows tenfold."""
    values = np.linspace(2.0, 1.0, size)
    values[0] *= 10 if step > 5000 else 1
    return values


def measurements(model: str, step: int) -> list[Measurement]:
    parameters, layers, size = MODELS[model]
    checkpoint = CheckpointRow(
        family="pythia",
        model=model,
        step=step,
        source=f"EleutherAI/pythia-{model}",
        revision=f"step{step}",
        content_id=f"{model}-{step}",
        hidden_size=size,
        layers=layers,
        vocab_size=50_304,
        parameters=parameters,
    )
    values = spectrum(size, step)
    share = values / values.sum()
    entropy = float(np.log(size) + np.sum(share * np.log(share)))
    cosine = 0.9 if step > 5000 else 0.2
    common = {
        "checkpoint": checkpoint,
        "dtype": "float32",
        "device": "cpu",
        "measured_at": datetime(2026, 1, 2, tzinfo=UTC),
        "seconds": 1.0,
        "bytes_read": 10,
        "software": "test",
    }
    on_text = common | {"text": TEXT, "tokens": 5000}
    layer_values = [cosine * layer / layers for layer in range(layers + 1)]
    aligned = [alignment(step, on_text)] if model == "14m" else []
    return [
        *aligned,
        Measurement(
            measure="spectrum",
            version=VERSIONS["spectrum"],
            scalars={
                "singular_entropy": entropy,
                "centred_singular_entropy": entropy / 2,
                "effective_rank": size * float(np.exp(-entropy)),
            },
            series={"singular_values": values.tolist(), "centred_singular_values": np.ones(size).tolist()},
            **common,
        ),
        Measurement(
            measure="anisotropy",
            version=VERSIONS["anisotropy"],
            scalars={"anisotropy": cosine, "centred_anisotropy": cosine / 4},
            series={"layers": layer_values, "centred_layers": [value / 4 for value in layer_values]},
            **on_text,
        ),
        Measurement(measure="loss", version=VERSIONS["loss"], scalars={"nats_per_token": loss(model, step)}, **on_text),
    ]


def alignment(step: int, on_text: dict) -> Measurement:
    """Two directions with a token at each end; the first turns to all-ones past step 5000."""
    both = {"ones_alignment": [0.95 if step > 5000 else 0.25, 0.1], "frequency_correlation": [0.5, 0.2]}
    series, labels = {}, {}
    for prefix, share in (("", 1.0), ("centred_", 0.0)):
        series |= {f"{prefix}{name}": values for name, values in both.items()}
        series |= {f"{prefix}ones_alignment": [share * value for value in both["ones_alignment"]]}
        series[f"{prefix}frequency_ranks"] = [1, 2]
        for side, sign in (("top", 1), ("bottom", -1)):
            labels[f"{prefix}{side}_tokens"] = [f"{prefix}{side}", "<b>&"]
            series |= {f"{prefix}{side}_ids": [7, 8], f"{prefix}{side}_entries": [0.5 * sign, 0.4 * sign]}
    scalars = {"tokens_seen": 1000.0, "correlation_by_chance": 0.0815}
    return Measurement(
        measure="alignment", version=VERSIONS["alignment"], scalars=scalars, series=series, labels=labels, **on_text
    )


def heads(model: str, step: int) -> list[Measurement]:
    """Truncated heads at every step; at the last one of 14m trained ones too, best at the rate of 0.01."""
    own = loss(model, step)
    size = MODELS[model][2]
    base = measurements(model, step)[-1]
    ranks = [1.0, 32.0, float(size)]
    series = {"ranks": ranks, "nats_per_token": [own + 2, own + 1, own], "accuracy": [0.1, 0.2, 0.3]}
    series |= {"w_error": [0.9, 0.5, 0.0]}
    series |= {f"centred_{name}": series[name] for name in ("nats_per_token", "accuracy", "w_error")}
    scalars = {"own_nats_per_token": own, "own_accuracy": 0.3}
    found = [
        replace(
            base, measure="truncated_heads", version=HEAD_VERSIONS["truncated_heads"], scalars=scalars, series=series
        )
    ]
    if (model, step) != ("14m", 10_000):
        return found
    for place, rank in enumerate(ranks):
        for rate, more in ((0.001, 0.5), (0.01, 0.0)):
            nats = own + (0.5 if rank < size else 0) + more
            values = {"rank": rank, "learning_rate": rate, "seed": 0.0, "nats_per_token": nats, "accuracy": 0.25}
            values |= {"validation_nats_per_token": nats, "w_error": series["w_error"][place], "train_steps": 10.0}
            found.append(
                replace(
                    base,
                    measure="trained_head",
                    version=HEAD_VERSIONS["trained_head"],
                    inputs=f"{rank} {rate}",
                    scalars=values,
                    series={},
                )
            )
    return found


def empty_bottleneck(store: Store) -> None:
    """Take out what the bundled packs hold of corpora and the playground."""
    with store.write() as connection:
        connection.execute("DELETE FROM ngrams; DELETE FROM playground")


def fill_bottleneck(store: Store) -> None:
    """Heads of both models, a corpus counted under two vocabularies, and the playground's default language."""
    empty_bottleneck(store)
    store.add(row for model in MODELS for step in STEPS for row in heads(model, step))
    moment, ranks = datetime(2026, 1, 2, tzinfo=UTC), [0, 64, 1024, 4096]
    for vocabulary, errors in ((4096, [1.0, 0.8, 0.4, 0.0]), (8192, [1.0, 0.9, 0.6, 0.2])):
        store.add_ngrams(
            [
                NgramCurve(
                    corpus_id="corpus",
                    corpus="corpus.txt",
                    corpus_source="hand-made",
                    tokenizer_id=str(vocabulary),
                    tokenizer=f"bpe:{vocabulary}",
                    gram_order=5,
                    method="exact",
                    version=1,
                    tokens=1000,
                    contexts=900,
                    vocabulary=vocabulary,
                    tokens_seen=vocabulary,
                    frobenius_norm=20.0,
                    rank_at_half=vocabulary // 5,
                    ranks=ranks,
                    w_error=errors,
                    w_error_low=errors,
                    w_error_high=errors,
                    seconds=1.0,
                    measured_at=moment,
                    software="test",
                )
            ]
        )
    language = asdict(RankedLanguage())
    store.add_playground(
        PlaygroundRow(
            **language,
            width=width,
            version=playground.VERSION,
            gap=max(0.0, (16 - width) / 10),
            entropy=2.5,
            w_error=max(0.0, 1 - width / 16),
            tail=max(0.0, 32.0 - 2 * width),
            train_steps=10,
            seconds=1.0,
            measured_at=moment,
            software="test",
        )
        for width in (1, 2, 8, 16)
    )


def fill(path: Path) -> Store:
    """Write the measurements to the store of a cache folder."""
    store = Store(path)
    store.add(row for model in MODELS for step in STEPS for row in measurements(model, step))
    return store
