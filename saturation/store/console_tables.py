"""What a free query finds: tables and columns with their meaning, and queries to begin with."""

from saturation.store.queries.training import TRAJECTORY_SCALARS

_NAMES = [name for names in TRAJECTORY_SCALARS.values() for name in names]
_PICKS = ",\n".join(
    f"max(s.value) FILTER (m.measure = '{measure}' AND s.name = '{name}') AS {name}"
    for measure, names in TRAJECTORY_SCALARS.items()
    for name in names
)
# One row a step of each model: the query `trajectory`, of all families at once.
TRAJECTORY = f"""
WITH on_texts AS (
    SELECT c.family, c.model, t.text_id, t.name,
           sum(count(DISTINCT m.checkpoint_id)) OVER (PARTITION BY c.family, t.text_id) AS total
    FROM current_checkpoints c JOIN current_measurements m USING (checkpoint_id)
    JOIN texts t ON t.text_id = m.text_id
    WHERE m.measure IN ('loss', 'anisotropy', 'alignment') GROUP BY c.family, c.model, t.text_id, t.name
), chosen_text AS (
    SELECT family, model, text_id, name FROM on_texts
    QUALIFY row_number() OVER (PARTITION BY family, model ORDER BY total DESC, name, text_id) = 1
)
SELECT c.family, c.model, coalesce(c.step, 0) AS step, c.parameters, c.hidden_size, c.layers, c.vocab_size,
       c.doubtful, any_value(k.name) AS text_name,
       {_PICKS}
FROM current_checkpoints c LEFT JOIN chosen_text k ON k.family = c.family AND k.model = c.model
LEFT JOIN current_measurements m
    ON m.checkpoint_id = c.checkpoint_id AND (m.text_id IS NULL OR m.text_id = k.text_id)
LEFT JOIN scalars s USING (measurement_id)
GROUP BY c.family, c.model, c.step, c.parameters, c.hidden_size, c.layers, c.vocab_size, c.doubtful
ORDER BY c.family, c.parameters, c.model, step
"""

_WORDS = {
    "singular_entropy": "KL of the head's singular values to uniform, nats",
    "effective_rank": "exponential of their entropy",
    "stable_rank": "sum of squares over the largest square",
    "top_share": "the largest singular value's share of their sum",
    "condition_number": "largest over smallest singular value",
    "anisotropy": "mean cosine of last-layer states, after the final norm",
    "anisotropy_before_norm": "the same before the final norm",
    "nats_per_token": "loss, nats",
    "perplexity": "per token",
    "word_perplexity": "per word, as the LM Evaluation Harness",
    "bits_per_byte": "loss, bits a byte of text",
    "accuracy": "top-1, share of tokens",
    "floor": "the best possible loss, where it is known, nats",
}


def _scalar(name: str) -> str:
    plain = name.removeprefix("centred_")
    return _WORDS[plain] if plain == name else f"{_WORDS[plain]}; row mean (of states: mean) removed"


_CHECKPOINT = {
    "checkpoint_id": "key",
    "family": "such as lab, pythia, local",
    "model": "name in its family",
    "step": "training step; NULL where there is one only",
    "source": "repository, or folder",
    "revision": "branch or tag of the repository",
    "commit_sha": "its commit",
    "content_id": "names the weights themselves",
    "hidden_size": "width d",
    "layers": "number of layers",
    "vocab_size": "rows of the head V",
    "parameters": "in all",
    "weight_bytes": "size of all weight files",
}
_MEASUREMENT = {
    "measurement_id": "key",
    "checkpoint_id": "of checkpoints",
    "measure": "spectrum, anisotropy, loss, alignment, truncated_heads, trained_head",
    "version": "of the measure's definition",
    "text_id": "of texts; NULL for measures of the head alone",
    "dtype": "precision of the pass",
    "tokens": "scored",
    "context_length": "of the windows, tokens",
    "device": "cpu, cuda",
    "measured_at": "when (UTC)",
    "seconds": "taken",
    "bytes_read": "of the weights",
    "software": "versions",
    "written": "order of writing here; NULL from a pack",
}
TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "trajectory": (
        "One row a step of each model, with every scalar along training: the place to begin",
        {
            "family": "such as lab, pythia, local",
            "model": "name in its family",
            "step": "training step",
            "parameters": "in all",
            "hidden_size": "width d",
            "layers": "number of layers",
            "vocab_size": "rows of the head V",
            "doubtful": "why not to trust this checkpoint; NULL if nothing is wrong",
            "text_name": "the text of loss and anisotropy",
            **{name: _scalar(name) for name in _NAMES},
        },
    ),
    "evaluations": (
        "One row a value of the LM Evaluation Harness",
        {
            "family": "such as pythia",
            "model": "name in its family",
            "step": "training step",
            "task": "such as lambada_openai",
            "metric": "such as acc, perplexity",
            "shots": "examples in the prompt",
            "value": "the number",
            "stderr": "its standard error",
            "higher_is_better": "NULL where unknown",
            "harness": "format or version",
            "task_version": "of the task",
            "source": "file it came from",
            "content_id": "hash of that file",
            "evaluated_at": "when (UTC)",
            "imported_at": "when it came here (UTC)",
        },
    ),
    "models": (
        "One row a model: its shape and what is held of it, counted as pages do",
        {
            "family": "such as lab, pythia, local",
            "model": "name in its family",
            "parameters": "in all",
            "hidden_size": "width d",
            "layers": "number of layers",
            "vocab_size": "rows of the head V",
            "checkpoints": "steps held",
            "measured": "steps with a spectrum",
            "first_step": "smallest training step",
            "last_step": "largest training step",
        },
    ),
    "checkpoints": ("One row a set of weights, also those measured again since", _CHECKPOINT),
    "measurements": ("One row a measure of a checkpoint, with its provenance", _MEASUREMENT),
    "scalars": (
        "Single numbers of measurements",
        {"measurement_id": "of measurements", "name": "such as singular_entropy", "value": "the number"},
    ),
    "series": (
        "Lists of numbers of measurements",
        {
            "measurement_id": "of measurements",
            "name": "singular_values (descending), layers (anisotropy by layer), …",
            "values": "the list; values[1] is the first",
        },
    ),
    "labels": (
        "Lists of words of measurements",
        {"measurement_id": "of measurements", "name": "such as top_tokens", "values": "the list"},
    ),
    "texts": (
        "Texts that models were measured on",
        {
            "text_id": "hash of its bytes",
            "name": "short name",
            "source": "in words",
            "utf8_bytes": "size",
            "words": "split on whitespace",
        },
    ),
    "current_checkpoints": (
        "Of checkpoints those that pages draw: of each step the weights measured last",
        {**_CHECKPOINT, "doubtful": "why not to trust it; NULL if nothing is wrong"},
    ),
    "current_measurements": ("Of measurements those that pages draw: the newest version of each", _MEASUREMENT),
    "doubts": (
        "What an audit holds to be wrong",
        {"family": "of the model", "model": "its name", "step": "training step", "reason": "in words"},
    ),
    "ngrams": (
        "One row a counted corpus and tokenizer: W-error of its n-gram matrix by rank",
        {
            "curve_id": "key",
            "corpus_id": "hash of the corpus",
            "corpus": "its name",
            "corpus_source": "in words",
            "tokenizer_id": "hash of the tokenizer",
            "tokenizer": "its name",
            "gram_order": "n",
            "method": "exact or stochastic",
            "version": "of the measure's definition",
            "tokens": "counted",
            "contexts": "different ones, of n - 1 tokens",
            "vocabulary": "of the tokenizer",
            "tokens_seen": "different ones in the corpus",
            "frobenius_norm": "of the matrix",
            "rank_at_half": "rank whose W-error is nearest to 0.5",
            "ranks": "ascending",
            "w_error": "by rank",
            "w_error_low": "lower end of the band",
            "w_error_high": "upper end of the band",
            "seconds": "taken",
            "measured_at": "when (UTC)",
            "software": "versions",
        },
    ),
    "playground": (
        "One row a width trained on a language of known rank",
        {
            "row_id": "key",
            "rank": "of the language's logits",
            "vocab_size": "tokens",
            "contexts": "all equal",
            "zipf_exponent": "of token frequency",
            "logit_scale": "deviation of the logits",
            "seed": "of the language",
            "width": "of the head",
            "version": "of the measure's definition",
            "gap": "loss above the exact entropy, nats",
            "entropy": "of the language, nats",
            "w_error": "at that width",
            "tail": "norm of the singular values left out",
            "train_steps": "taken",
            "seconds": "taken",
            "measured_at": "when (UTC)",
            "software": "versions",
        },
    ),
}


def examples(family: str, model: str, task: str | None = None) -> dict[str, str]:
    """Queries to begin with by what they ask, about a model and, where there is one, an imported task."""
    of_family = f"family = {_quoted(family)}"
    of_model = f"{of_family} AND model = {_quoted(model)}"
    return {
        "Best loss by model": """SELECT family, model, min(nats_per_token) AS best_loss,
       arg_min(step, nats_per_token) AS best_step,
       arg_max(nats_per_token, step) AS last_loss,
       100 * (last_loss / best_loss - 1) AS worse_by_percent
FROM trajectory
WHERE nats_per_token IS NOT NULL AND doubtful IS NULL
GROUP BY family, model ORDER BY worse_by_percent DESC""",
        "First step where anisotropy exceeds 0.5": """SELECT family, model, min(step) AS first_step,
       arg_min(anisotropy, step) AS anisotropy_there,
       arg_min(singular_entropy, step) AS entropy_there
FROM trajectory
WHERE anisotropy > 0.5 AND step > 0
GROUP BY family, model ORDER BY first_step""",
        "Singular entropy along a run": f"""SELECT step, singular_entropy,
       centred_singular_entropy, effective_rank
FROM trajectory
WHERE {of_model}
ORDER BY step""",
        "Largest singular values along a run": f"""SELECT coalesce(c.step, 0) AS step,
       s."values"[1] AS first, s."values"[2] AS second, s."values"[3] AS third,
       s."values"[-1] AS smallest
FROM current_checkpoints c
JOIN current_measurements m USING (checkpoint_id)
JOIN series s USING (measurement_id)
WHERE m.measure = 'spectrum' AND s.name = 'singular_values' AND {of_model}
ORDER BY step""",
        "Anisotropy by layer at the last step": f"""SELECT model, step, layer, layers[layer + 1] AS anisotropy
FROM (
    SELECT c.model, c.step, s."values" AS layers,
           unnest(range(len(s."values"))) AS layer
    FROM current_checkpoints c
    JOIN current_measurements m USING (checkpoint_id)
    JOIN series s USING (measurement_id)
    WHERE m.measure = 'anisotropy' AND s.name = 'layers'
          AND {of_family}
    QUALIFY c.step = max(c.step) OVER (PARTITION BY c.model)
)
ORDER BY model, layer""",
        "Evaluations of a task": f"""SELECT family, model, step, metric, shots, value, stderr
FROM evaluations
WHERE task = {_quoted(task or "lambada_openai")}
ORDER BY family, model, metric, step""",
        "Which measurements took longest": """SELECT c.family, c.model, c.step,
       m.measure, m.seconds, m.tokens, m.device
FROM measurements m JOIN checkpoints c USING (checkpoint_id)
ORDER BY m.seconds DESC LIMIT 50""",
        "What was measured, and with what": """SELECT c.family, m.measure, m.version, m.software,
       count(*) AS measurements,
       round(sum(m.seconds)) AS seconds,
       max(m.measured_at) AS last
FROM measurements m JOIN checkpoints c USING (checkpoint_id)
GROUP BY ALL ORDER BY c.family, m.measure""",
        "Doubtful checkpoints": "SELECT family, model, step, reason\nFROM doubts\nORDER BY family, model, step",
    }


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
