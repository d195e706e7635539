"""Every named query on a store whose answers can be worked out by hand, and on an empty one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_rows import (
    OTHER_TEXT,
    START,
    TEXT,
    alignment,
    anisotropy,
    checkpoint,
    empty_store,
    evaluation,
    loss,
    spectrum,
)

from saturation.store import Store, queries
from saturation.store.tables import SCHEMAS

SCALARS = [name for names in queries.TRAJECTORY_SCALARS.values() for name in names]
CHECKPOINT = ["family", "model", "step"]
COLUMNS = {
    "models": [
        "family",
        "model",
        "parameters",
        "hidden_size",
        "layers",
        "vocab_size",
        "checkpoints",
        "measured",
        "first_step",
        "last_step",
    ],
    "steps": [*CHECKPOINT, "spectrum"],
    "texts": ["text_id", "name", "source", "tokens", "checkpoints"],
    "trajectory": [
        *CHECKPOINT,
        "parameters",
        "hidden_size",
        "layers",
        "vocab_size",
        "revision",
        "doubtful",
        *SCALARS,
        "tokens",
        "text_id",
        "text_name",
        "dtype",
    ],
    "spectra": ["step", "doubtful", "singular_values", "centred_singular_values"],
    "layer_anisotropy": [
        *CHECKPOINT,
        "parameters",
        "layers",
        "layer",
        "depth",
        "anisotropy",
        "centred_anisotropy",
        "doubtful",
    ],
    "provenance": [
        *CHECKPOINT,
        "source",
        "revision",
        "commit_sha",
        "content_id",
        "weight_bytes",
        "measure",
        "version",
        "text_id",
        "text_name",
        "dtype",
        "tokens",
        "context_length",
        "device",
        "measured_at",
        "seconds",
        "bytes_read",
        "software",
    ],
}
COLUMNS |= {
    "alignment": [
        *(*CHECKPOINT, "rank", "ones_alignment", "frequency_correlation"),
        *("centred_ones_alignment", "centred_frequency_correlation"),
        *("tokens_seen", "correlation_by_chance", "parameters", "doubtful"),
    ],
    "top_tokens": ["rank", "centred", "side", "place", "token", "token_id", "entry"],
    "evaluated": ["family", "model", "tasks", "steps", "first_step", "last_step"],
    "metrics": ["task", "metric", "higher_is_better", "models", "steps"],
    "evaluations": [*SCHEMAS["evaluations"].names, "doubtful"],
}
ARGUMENTS = {
    "models": (),
    "evaluated": (),
    "steps": (),
    "spectra": ("local", "small~1"),
    "top_tokens": ("local", "small~1", 2),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """small~1 at steps 0, 2 and 10 (no spectrum at 10), big~1 without a step, and a second text at one step."""
    store = empty_store(tmp_path_factory.mktemp("store") / "store.duckdb")
    small = [checkpoint("small~1", step) for step in (10, 2, 0)]
    big = checkpoint("big~1", None, parameters=900, hidden_size=4)
    store.add([spectrum(row, entropy=row.step / 100) for row in small[1:]] + [spectrum(big, entropy=0.9)])
    store.add([loss(row, nats=3 + row.step) for row in small])
    store.add([anisotropy(row, last=row.step / 10) for row in small[:2]])
    store.add([alignment(small[1]), alignment(small[0], first=0.5), alignment(small[0], text=OTHER_TEXT, tokens=7)])
    store.add([loss(small[0], nats=8.0, text=OTHER_TEXT, tokens=7)])
    store.add_evaluations(
        [
            *(evaluation("small~1", step, value=step / 100) for step in (0, 2, 10)),
            evaluation("unmeasured~1", 4, value=0.4, higher_is_better=None, stderr=None),
            evaluation("small~1", 2, task="lambada_openai", metric="perplexity", value=9.0, higher_is_better=False),
        ]
    )
    return store


@pytest.mark.parametrize("name", COLUMNS)
def test_an_empty_store_gives_empty_frames_with_the_same_columns(name: str, store: Store, tmp_path: Path) -> None:
    query, arguments = getattr(queries, name), ARGUMENTS.get(name, ("local",))
    full, empty = query(store, *arguments), query(empty_store(tmp_path / "empty.duckdb"), *arguments)
    assert (len(empty), list(empty.columns)) == (0, COLUMNS[name])
    assert list(full.columns) == COLUMNS[name]


def test_a_family_that_is_not_there(store: Store) -> None:
    for name in COLUMNS:
        if name not in ("models", "steps", "spectra", "evaluated", "top_tokens"):
            assert len(getattr(queries, name)(store, "pythia")) == 0
    assert len(queries.trajectory(store, "local", ["nothing"])) == 0
    assert len(queries.trajectory(store, "local", [])) == 0


def test_models(store: Store) -> None:
    found = queries.models(store)
    assert found["model"].tolist() == ["small~1", "big~1"]  # by parameters
    assert found[["parameters", "hidden_size", "checkpoints", "measured"]].to_numpy().tolist() == [
        [90, 2, 3, 2],
        [900, 4, 1, 1],
    ]
    assert found[["first_step", "last_step"]].to_numpy().tolist() == [[0, 10], [0, 0]]


def test_steps(store: Store) -> None:
    found = {(row.model, row.step): bool(row.spectrum) for row in queries.steps(store).itertuples()}
    assert found == {("small~1", 0): True, ("small~1", 2): True, ("small~1", 10): False, ("big~1", 0): True}


def test_content_ids(store: Store) -> None:
    assert queries.content_ids(store, "local", "small~1") == {
        0: "sha256:small~1-0",
        2: "sha256:small~1-2",
        10: "sha256:small~1-10",
    }
    assert queries.content_ids(store, "local", "nothing") == {}


def test_texts_most_used_first(store: Store) -> None:
    found = queries.texts(store, "local")
    assert found[["text_id", "name", "tokens", "checkpoints"]].to_numpy().tolist() == [
        [TEXT.text_id, "text.txt", 9, 3],
        [OTHER_TEXT.text_id, "other.txt", 7, 1],
    ]


def test_trajectory(store: Store) -> None:
    found = queries.trajectory(store, "local")
    assert list(zip(found["model"], found["step"], strict=True)) == [
        ("small~1", 0),
        ("small~1", 2),
        ("small~1", 10),
        ("big~1", 0),
    ]
    nan = float("nan")
    np.testing.assert_equal(found["singular_entropy"].to_numpy(), [0.0, 0.02, nan, 0.9])
    np.testing.assert_equal(found["nats_per_token"].to_numpy(), [3.0, 5.0, 13.0, nan])
    np.testing.assert_equal(found["anisotropy"].to_numpy(), [nan, 0.2, 1.0, nan])
    assert found["text_name"].tolist()[:3] == ["text.txt"] * 3
    assert found["tokens"].tolist()[:3] == [9, 9, 9]
    assert {str(found[name].dtype) for name in SCALARS} == {"float64"}


def test_trajectory_on_another_text(store: Store) -> None:
    found = queries.trajectory(store, "local", ["small~1"], OTHER_TEXT.text_id)
    nan = float("nan")
    np.testing.assert_equal(found["nats_per_token"].to_numpy(), [nan, nan, 8.0])
    np.testing.assert_equal(found["singular_entropy"].to_numpy(), [0.0, 0.02, nan])  # of no text at all
    np.testing.assert_equal(found["anisotropy"].to_numpy(), [nan, nan, nan])


def test_spectra(store: Store) -> None:
    found = queries.spectra(store, "local", "small~1")
    assert found["step"].tolist() == [0, 2]
    for values in found["singular_values"]:
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, [3.0, 1.0])
    np.testing.assert_array_equal(np.stack(found["centred_singular_values"]), [[2.0, 0.5]] * 2)


def test_layers(store: Store) -> None:
    found = queries.layer_anisotropy(store, "local")
    assert found["step"].tolist() == [2] * 4 + [10] * 4
    assert found["layer"].tolist() == [0, 1, 2, 3] * 2
    assert found["layers"].tolist() == [3] * 8
    np.testing.assert_allclose(found["depth"], [0, 1 / 3, 2 / 3, 1] * 2)
    np.testing.assert_allclose(found["anisotropy"], [0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3, 1.0])
    np.testing.assert_allclose(found["centred_anisotropy"], [0.01, 0.02, 0.03, 0.02, 0.01, 0.02, 0.03, 0.1])


def test_alignment(store: Store) -> None:
    found, nan = queries.alignment(store, "local"), float("nan")
    assert found[["model", "step", "rank", "tokens_seen"]].to_numpy().tolist() == [
        ["small~1", step, rank, 7] for step in (2, 10) for rank in (1, 2)
    ]
    np.testing.assert_equal(found["ones_alignment"].to_numpy(), [0.9, 0.3, 0.5, 0.3])
    np.testing.assert_equal(found["frequency_correlation"].to_numpy(), [nan, 0.6] * 2)
    np.testing.assert_equal(found["centred_ones_alignment"].to_numpy(), [0.0, nan] * 2)
    np.testing.assert_equal(found["centred_frequency_correlation"].to_numpy(), [0.7, nan] * 2)
    assert set(found["correlation_by_chance"]) == {0.87}
    assert set(found["parameters"]) == {90}
    assert len(queries.alignment(store, "local", ["big~1"])) == 0


def test_alignment_of_a_text_without_correlations(tmp_path: Path) -> None:
    store, item = empty_store(tmp_path / "store.duckdb"), alignment()
    bare = {name: [] if "frequency" in name else values for name, values in item.series.items()}
    store.add([replace(item, scalars={"tokens_seen": 2.0}, series=bare)])
    found = queries.alignment(store, "local")
    assert found[["frequency_correlation", "centred_frequency_correlation", "correlation_by_chance"]].isna().all(None)
    assert found["ones_alignment"].tolist() == [0.9, 0.3]


def test_top_tokens(store: Store) -> None:
    found = queries.top_tokens(store, "local", "small~1", 2)
    rows = found.itertuples(index=False, name=None)
    assert [(rank, side, place, token, number) for rank, centred, side, place, token, number, _ in rows if centred] == [
        (1, "top", 1, "centred_top0", 0),
        (1, "top", 2, "centred_top1", 1),
        (1, "bottom", 1, "centred_bottom0", 0),
        (1, "bottom", 2, "centred_bottom1", 1),
    ]
    plain = found[~found["centred"].astype(bool)]
    assert plain["token"].tolist() == [
        *("top0", "top1", "bottom0", "bottom1"),
        *("top2", "top3", "bottom2", "bottom3"),
    ]
    assert plain["rank"].tolist() == [1] * 4 + [2] * 4
    np.testing.assert_allclose(plain["entry"], [0.5, 0.4, -0.5, -0.4, 0.3, 0.2, -0.3, -0.2])
    assert len(queries.top_tokens(store, "local", "small~1", 0)) == 0
    assert len(queries.top_tokens(store, "local", "nothing", 2)) == 0


def test_provenance(store: Store) -> None:
    found = queries.provenance(store, "local", ["small~1"])
    assert list(zip(found["step"], found["measure"], strict=True)) == [
        (0, "loss"),
        (0, "spectrum"),
        (2, "alignment"),
        (2, "anisotropy"),
        (2, "loss"),
        (2, "spectrum"),
        (10, "alignment"),
        (10, "alignment"),
        (10, "anisotropy"),
        (10, "loss"),
        (10, "loss"),
    ]
    first = found.iloc[0]
    assert (first["source"], first["content_id"]) == ("/somewhere/small~1/0", "sha256:small~1-0")
    assert (first["text_name"], first["tokens"], first["context_length"]) == ("text.txt", 9, 4)
    assert (first["dtype"], first["device"], first["seconds"], first["bytes_read"]) == ("float32", "cpu", 1.5, 40)
    assert first["measured_at"].to_pydatetime() == START


def test_evaluations_by_task_and_metric(store: Store) -> None:
    rows = queries.evaluations(store, "local", task="sciq", metric="acc")
    assert rows[["model", "step", "value"]].values.tolist() == [
        ["small~1", 0, 0.0],
        ["small~1", 2, 0.02],
        ["small~1", 10, 0.1],
        ["unmeasured~1", 4, 0.4],
    ]
    assert queries.evaluations(store, "local", ["unmeasured~1"])["stderr"].isna().tolist() == [True]
    assert len(queries.evaluations(store, "local")) == 5
    assert len(queries.evaluations(store, "pythia")) == 0


def test_which_models_and_metrics_were_evaluated(store: Store) -> None:
    assert queries.evaluated(store).values.tolist() == [
        ["local", "small~1", 2, 3, 0, 10],
        ["local", "unmeasured~1", 1, 1, 4, 4],
    ]
    found = queries.metrics(store, "local")
    assert found[["task", "metric", "models", "steps"]].values.tolist() == [
        ["sciq", "acc", 2, 4],
        ["lambada_openai", "perplexity", 1, 1],
    ]
    assert found["higher_is_better"].tolist() == [True, False]


def test_a_newer_evaluation_replaces_the_older(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "store.duckdb")
    assert store.add_evaluations([evaluation(value=0.1), evaluation(value=0.2), evaluation(shots=5)]) == 2
    assert store.add_evaluations([evaluation(value=0.3)]) == 1
    rows = queries.evaluations(store, "local")
    assert rows[["shots", "value"]].values.tolist() == [[0, 0.3], [5, 0.25]]
    assert store.add_evaluations([]) == 0


def test_doubt_reaches_evaluations(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "store.duckdb")
    store.add_evaluations([evaluation(step=1), evaluation(step=2)])
    store.mark("local", "run~1", {2: "same weights as step 1"})
    assert queries.evaluations(store, "local")["doubtful"].fillna("sure").tolist() == ["sure", "same weights as step 1"]


def test_a_clock_that_was_set_back_hides_nothing(tmp_path: Path) -> None:
    """Weights measured an hour earlier by the clock, but later in truth, are the ones that count."""
    store = empty_store(tmp_path / "store.duckdb")
    store.add([spectrum(checkpoint("run~1", 1, content_id="sha256:old"), entropy=0.5, minute=59)])
    store.add([spectrum(checkpoint("run~1", 1, content_id="sha256:new"), entropy=0.7, minute=1)])
    assert queries.trajectory(store, "local")["singular_entropy"].tolist() == [0.7]
    store.add([spectrum(checkpoint("run~1", 1, content_id="sha256:old"), entropy=0.6, minute=0)])  # back again
    assert queries.trajectory(store, "local")["singular_entropy"].tolist() == [0.6]
