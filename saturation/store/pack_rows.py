"""What the rows of a pack must be like, as conditions in SQL: text that can be shown, values in their ranges."""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from saturation.store.tables import SCHEMAS

# Longest names, in signs. Other texts are bounded in `pack_file`.
NAME_SIGNS = 200
NAMES = {"evaluations": ("task", "metric"), "texts": ("name",)}
# Names of families and models, and what has no place in those of tasks and metrics: signs that pages and figures would
# take for links, formulas or markup.
NAME = rf"[\w.+~-]{{1,{NAME_SIGNS}}}"
MARKUP = r"[<>\[\]{}`$*\\\x00-\x1f\x7f]"
# Tokens may hold anything, as the tokenizer has them.
FREE = {"labels"}
# Control characters, and those that turn the direction of what follows them.
CONTROL = r"[\x00-\x1f\x7f-\x9f\x{2028}\x{2029}\x{202a}-\x{202e}\x{2066}-\x{2069}]"
# A cosine that was summed in floating point may miss its bound by this much.
SLACK = 1e-6
COSINES = ("anisotropy", "centred_anisotropy", "anisotropy_before_norm", "centred_anisotropy_before_norm")
SHARES = ("accuracy", "own_accuracy", "top_share", "centred_top_share")
NOT_NEGATIVE = (
    *("singular_entropy", "centred_singular_entropy", "effective_rank", "centred_effective_rank", "condition_number"),
    *("stable_rank", "centred_stable_rank", "perplexity", "word_perplexity", "bits_per_byte", "nats_per_token"),
    *("w_error", "rank", "train_steps", "learning_rate", "tokens_seen"),
)
_MOMENT = "BETWEEN TIMESTAMPTZ '1970-01-01 00:00:00+00' AND TIMESTAMPTZ '2200-01-01 00:00:00+00'"


def _among(names: tuple[str, ...]) -> str:
    return f"name IN ({', '.join(repr(name) for name in names)})"


def _all(column: str, condition: str) -> str:
    return f"len(list_filter({column}, lambda x: NOT ({condition}))) = 0"


_COSINE = f"BETWEEN {-1 - SLACK} AND {1 + SLACK}"
_SHARE = f"BETWEEN {-SLACK} AND {1 + SLACK}"
_LAYERS = "(m.measure = 'anisotropy' AND s.name IN ('layers', 'centred_layers'))"
_OF_SERIES = "series s JOIN measurements m USING (measurement_id) JOIN checkpoints c USING (checkpoint_id)"
# (table or join, what must hold, what is wrong otherwise). NULL counts as holding: missing values are checked before.
RULES: tuple[tuple[str, str, str], ...] = (
    ("checkpoints", "step >= 0", "a step below 0"),
    ("checkpoints", "hidden_size > 0 AND vocab_size > 0 AND coalesce(layers, 0) >= 0", "a shape that cannot be"),
    ("checkpoints", "coalesce(parameters, 0) >= 0 AND coalesce(weight_bytes, 0) >= 0", "a size below 0"),
    ("texts", "utf8_bytes >= 0 AND words >= 0", "a size below 0"),
    (
        "measurements",
        "version >= 0 AND coalesce(tokens, 0) >= 0 AND coalesce(context_length, 1) > 0",
        "a number below 0",
    ),
    ("measurements", "isfinite(seconds) AND seconds >= 0 AND bytes_read >= 0", "a cost that cannot be"),
    ("measurements", f"measured_at {_MOMENT}", "a time that cannot be"),
    ("scalars", f"NOT {_among(COSINES)} OR value {_COSINE}", "a cosine beyond 1"),
    ("scalars", f"NOT {_among(SHARES)} OR value {_SHARE}", "a share beyond 1"),
    ("scalars", f"NOT {_among(NOT_NEGATIVE)} OR value >= {-SLACK}", "a value below 0 that cannot be"),
    (
        _OF_SERIES,
        f"NOT {_LAYERS} OR {_all('s.values', f'x {_COSINE}')}",
        "a cosine beyond 1",
    ),
    (
        _OF_SERIES,
        f"NOT {_LAYERS} OR coalesce(c.layers, 0) = 0 OR len(s.values) = c.layers + 1",
        "a number of layers that is not the model's",
    ),
    (
        _OF_SERIES,
        "s.name NOT IN ('singular_values', 'centred_singular_values') OR m.measure <> 'spectrum' "
        f"OR (len(s.values) = least(c.hidden_size, c.vocab_size) AND {_all('s.values', 'x >= 0 AND isfinite(x)')})",
        "singular values that cannot be the head's",
    ),
    ("evaluations", "step >= 0 AND shots >= 0", "a step or a number of shots below 0"),
    ("evaluations", "stderr IS NULL OR stderr >= 0", "a deviation below 0"),
    (
        "evaluations",
        f"imported_at {_MOMENT} AND coalesce(evaluated_at, imported_at) {_MOMENT}",
        "a time that cannot be",
    ),
    ("ngrams", "least(tokens, contexts, vocabulary, tokens_seen, rank_at_half, gram_order) >= 0", "a number below 0"),
    (
        "ngrams",
        "len(ranks) = len(w_error) AND len(ranks) = len(w_error_low) AND len(ranks) = len(w_error_high)",
        "lists of different lengths",
    ),
    (
        "ngrams",
        " AND ".join(_all(name, f"x {_SHARE}") for name in ("w_error", "w_error_low", "w_error_high"))
        + f" AND {_all('ranks', 'x >= 0')}",
        "a W-error beyond 1",
    ),
    ("ngrams", f"isfinite(seconds) AND seconds >= 0 AND measured_at {_MOMENT}", "a cost that cannot be"),
    ("playground", "least(rank, vocab_size, contexts, width) > 0 AND train_steps >= 0", "a number below 0"),
    ("playground", f"isfinite(seconds) AND seconds >= 0 AND measured_at {_MOMENT}", "a cost that cannot be"),
)


def fault(tables: Mapping[str, pa.Table]) -> str | None:
    """What is wrong with rows that have their schema, None when nothing is."""
    with duckdb.connect(
        config={"enable_external_access": "false", "python_enable_replacements": "false"}
    ) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, rows in tables.items():
            connection.register(name, rows)
        for source, condition, words in (*_of_texts(), *RULES):
            if connection.execute(f"SELECT 1 FROM {source} WHERE NOT ({condition}) LIMIT 1").fetchall():
                return f"its table {source.split()[0]} holds {words}"
    return None


def _of_texts() -> list[tuple[str, str, str]]:
    rules = [
        (name, f"regexp_full_match({column}, '{NAME}')", f"a {column} of a name that no {column} has")
        for name in ("checkpoints", "evaluations")
        for column in ("family", "model")
    ]
    for column in ("task", "metric"):
        rules.append(
            ("evaluations", f"NOT regexp_matches({column}, '{MARKUP}')", f"a {column} of a name with signs of markup")
        )
    for name, schema in SCHEMAS.items():
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        if name not in FREE:
            shown = " OR ".join(f"regexp_matches({column}, '{CONTROL}')" for column in texts)
            rules.append((name, f"NOT ({shown})", "signs that cannot be shown"))
        for column in NAMES.get(name, ()):
            rules.append((name, f"len({column}) BETWEEN 1 AND {NAME_SIGNS}", f"a {column} that is empty or too long"))
    return rules
