"""The tables as Arrow schemas: what is written to the store and to packs, and what a row is known by."""

import pyarrow as pa

_text, _int, _moment = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
PLAIN_COLUMNS = (
    "measure",
    "version",
    "dtype",
    "tokens",
    "context_length",
    "device",
    "measured_at",
    "seconds",
    "bytes_read",
    "software",
)
SCHEMAS = {
    "checkpoints": pa.schema(
        {
            "checkpoint_id": _text,
            "family": _text,
            "model": _text,
            "step": _int,
            "source": _text,
            "revision": _text,
            "commit_sha": _text,
            "content_id": _text,
            "hidden_size": pa.int32(),
            "layers": pa.int32(),
            "vocab_size": pa.int32(),
            "parameters": _int,
            "weight_bytes": _int,
        }
    ),
    "texts": pa.schema({"text_id": _text, "name": _text, "source": _text, "utf8_bytes": _int, "words": _int}),
    "measurements": pa.schema(
        {
            "measurement_id": _text,
            "checkpoint_id": _text,
            "measure": _text,
            "version": pa.int32(),
            "text_id": _text,
            "dtype": _text,
            "tokens": _int,
            "context_length": pa.int32(),
            "device": _text,
            "measured_at": _moment,
            "seconds": pa.float64(),
            "bytes_read": _int,
            "software": _text,
        }
    ),
    "scalars": pa.schema({"measurement_id": _text, "name": _text, "value": pa.float64()}),
    "series": pa.schema({"measurement_id": _text, "name": _text, "values": pa.list_(pa.float64())}),
    "labels": pa.schema({"measurement_id": _text, "name": _text, "values": pa.list_(_text)}),
    "evaluations": pa.schema(
        {
            "family": _text,
            "model": _text,
            "step": _int,
            "task": _text,
            "metric": _text,
            "shots": pa.int32(),
            "value": pa.float64(),
            "stderr": pa.float64(),
            "higher_is_better": pa.bool_(),
            "harness": _text,
            "task_version": _text,
            "source": _text,
            "content_id": _text,
            "evaluated_at": _moment,
            "imported_at": _moment,
        }
    ),
    "ngrams": pa.schema(
        {
            "curve_id": _text,
            "corpus_id": _text,
            "corpus": _text,
            "corpus_source": _text,
            "tokenizer_id": _text,
            "tokenizer": _text,
            "gram_order": pa.int32(),
            "method": _text,
            "version": pa.int32(),
            "tokens": _int,
            "contexts": _int,
            "vocabulary": _int,
            "tokens_seen": _int,
            "frobenius_norm": pa.float64(),
            "rank_at_half": _int,
            "ranks": pa.list_(_int),
            "w_error": pa.list_(pa.float64()),
            "w_error_low": pa.list_(pa.float64()),
            "w_error_high": pa.list_(pa.float64()),
            "seconds": pa.float64(),
            "measured_at": _moment,
            "software": _text,
        }
    ),
    "playground": pa.schema(
        {
            "row_id": _text,
            "rank": pa.int32(),
            "vocab_size": pa.int32(),
            "contexts": pa.int32(),
            "zipf_exponent": pa.float64(),
            "logit_scale": pa.float64(),
            "seed": _int,
            "width": pa.int32(),
            "version": pa.int32(),
            "gap": pa.float64(),
            "entropy": pa.float64(),
            "w_error": pa.float64(),
            "tail": pa.float64(),
            "train_steps": _int,
            "seconds": pa.float64(),
            "measured_at": _moment,
            "software": _text,
        }
    ),
}
# Tables that hold the values of measurements, by measurement_id and name.
OF_MEASUREMENTS = ("scalars", "series", "labels")
# How their rows, registered as `incoming`, are written once their measurements are.
INSERT_VALUES = (
    "INSERT INTO {table} BY NAME SELECT i.*, m.of_family FROM incoming i JOIN measurements m USING (measurement_id)"
)
# Tables that belong to no model.
OF_NO_MODEL = ("ngrams", "playground")
# The pack format that a table came with; older packs lack it.
ADDED_LATER = {"labels": 2, "evaluations": 2, "ngrams": 3, "playground": 3}
# Columns that may hold nothing.
OPTIONAL = {
    *("step", "revision", "commit_sha", "layers", "parameters", "weight_bytes"),
    *("text_id", "tokens", "context_length"),
    *("stderr", "higher_is_better", "task_version", "evaluated_at"),
}
# What a row is known by: of each there is one.
UNIQUE = {
    "checkpoints": ["checkpoint_id"],
    "texts": ["text_id"],
    "measurements": ["measurement_id"],
    "scalars": ["measurement_id", "name"],
    "series": ["measurement_id", "name"],
    "labels": ["measurement_id", "name"],
    "evaluations": ["family", "model", "step", "task", "metric", "shots"],
    "ngrams": ["curve_id"],
    "playground": ["row_id"],
}
# Which table and column a column points into.
POINTS = (
    ("measurements", "checkpoint_id", "checkpoints"),
    ("measurements", "text_id", "texts"),
    ("scalars", "measurement_id", "measurements"),
    ("series", "measurement_id", "measurements"),
    ("labels", "measurement_id", "measurements"),
)
