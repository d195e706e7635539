"""The schema, as an ordered list of steps; the names of those applied are recorded in the file."""

from collections.abc import Callable

import duckdb

Connection = duckdb.DuckDBPyConnection
MIGRATIONS: list[tuple[str, Callable[[Connection], object]]] = []


def migration(step: Callable[[Connection], object]) -> Callable[[Connection], object]:
    """Register a step; its place in this file is its place in the order."""
    MIGRATIONS.append((step.__name__, step))
    return step


@migration
def m001_tables(connection: Connection) -> None:
    connection.execute(
        """
        CREATE TABLE checkpoints (
            checkpoint_id VARCHAR PRIMARY KEY,
            family VARCHAR NOT NULL,
            model VARCHAR NOT NULL,
            step BIGINT,
            source VARCHAR NOT NULL,
            revision VARCHAR,
            commit_sha VARCHAR,
            content_id VARCHAR NOT NULL,
            hidden_size INTEGER NOT NULL,
            layers INTEGER,
            vocab_size INTEGER NOT NULL,
            parameters BIGINT,
            weight_bytes BIGINT
        );
        CREATE TABLE texts (
            text_id VARCHAR PRIMARY KEY,
            name VARCHAR NOT NULL,
            source VARCHAR NOT NULL,
            utf8_bytes BIGINT NOT NULL,
            words BIGINT NOT NULL
        );
        CREATE TABLE measurements (
            measurement_id VARCHAR PRIMARY KEY,
            checkpoint_id VARCHAR NOT NULL,
            measure VARCHAR NOT NULL,
            version INTEGER NOT NULL,
            text_id VARCHAR,
            dtype VARCHAR NOT NULL,
            tokens BIGINT,
            context_length INTEGER,
            device VARCHAR NOT NULL,
            measured_at TIMESTAMPTZ NOT NULL,
            seconds DOUBLE NOT NULL,
            bytes_read BIGINT NOT NULL,
            software VARCHAR NOT NULL
        );
        CREATE TABLE scalars (measurement_id VARCHAR NOT NULL, name VARCHAR NOT NULL, value DOUBLE NOT NULL);
        CREATE TABLE series (measurement_id VARCHAR NOT NULL, name VARCHAR NOT NULL, "values" DOUBLE[] NOT NULL);
        CREATE TABLE doubts (
            family VARCHAR NOT NULL, model VARCHAR NOT NULL, step BIGINT NOT NULL, reason VARCHAR NOT NULL,
            PRIMARY KEY (family, model, step)
        );
        CREATE TABLE packs (name VARCHAR PRIMARY KEY, sha256 VARCHAR NOT NULL, imported_at TIMESTAMPTZ NOT NULL);
        """
    )


@migration
def m002_current(connection: Connection) -> None:
    """What pages draw: of each (family, model, step) the weights measured last, of each measure the newest version."""
    connection.execute(
        """
        CREATE VIEW current_checkpoints AS
        SELECT c.*, d.reason AS doubtful FROM checkpoints c
        LEFT JOIN doubts d ON d.family = c.family AND d.model = c.model AND d.step = coalesce(c.step, 0)
        LEFT JOIN (SELECT checkpoint_id, max(measured_at) AS last FROM measurements GROUP BY ALL) m
             ON m.checkpoint_id = c.checkpoint_id
        QUALIFY row_number() OVER (
            PARTITION BY c.family, c.model, c.step ORDER BY m.last DESC NULLS LAST, c.checkpoint_id
        ) = 1;
        CREATE VIEW current_measurements AS
        SELECT m.* FROM measurements m JOIN current_checkpoints c USING (checkpoint_id)
        QUALIFY row_number() OVER (
            PARTITION BY m.checkpoint_id, measure, text_id
            ORDER BY version DESC, tokens DESC NULLS LAST, context_length DESC NULLS LAST, dtype = 'float32' DESC,
                     measured_at DESC
        ) = 1;
        """
    )


@migration
def m003_evaluations(connection: Connection) -> None:
    """Results of an evaluation harness, which know a model and a step but not the weights; words of measurements."""
    connection.execute(
        """
        CREATE TABLE evaluations (
            family VARCHAR NOT NULL,
            model VARCHAR NOT NULL,
            step BIGINT NOT NULL,
            task VARCHAR NOT NULL,
            metric VARCHAR NOT NULL,
            shots INTEGER NOT NULL,
            value DOUBLE NOT NULL,
            stderr DOUBLE,
            higher_is_better BOOLEAN,
            harness VARCHAR NOT NULL,
            task_version VARCHAR,
            source VARCHAR NOT NULL,
            content_id VARCHAR NOT NULL,
            evaluated_at TIMESTAMPTZ,
            imported_at TIMESTAMPTZ NOT NULL,
            PRIMARY KEY (family, model, step, task, metric, shots)
        );
        CREATE TABLE labels (measurement_id VARCHAR NOT NULL, name VARCHAR NOT NULL, "values" VARCHAR[] NOT NULL);
        """
    )


@migration
def m004_bottleneck(connection: Connection) -> None:
    """W-error of n-gram matrices, which belong to a corpus and no model; widths trained on a language of known rank."""
    connection.execute(
        """
        CREATE TABLE ngrams (
            curve_id VARCHAR PRIMARY KEY,
            corpus_id VARCHAR NOT NULL,
            corpus VARCHAR NOT NULL,
            corpus_source VARCHAR NOT NULL,
            tokenizer_id VARCHAR NOT NULL,
            tokenizer VARCHAR NOT NULL,
            gram_order INTEGER NOT NULL,
            method VARCHAR NOT NULL,
            version INTEGER NOT NULL,
            tokens BIGINT NOT NULL,
            contexts BIGINT NOT NULL,
            vocabulary BIGINT NOT NULL,
            tokens_seen BIGINT NOT NULL,
            frobenius_norm DOUBLE NOT NULL,
            rank_at_half BIGINT NOT NULL,
            ranks BIGINT[] NOT NULL,
            w_error DOUBLE[] NOT NULL,
            w_error_low DOUBLE[] NOT NULL,
            w_error_high DOUBLE[] NOT NULL,
            seconds DOUBLE NOT NULL,
            measured_at TIMESTAMPTZ NOT NULL,
            software VARCHAR NOT NULL
        );
        CREATE TABLE playground (
            row_id VARCHAR PRIMARY KEY,
            rank INTEGER NOT NULL,
            vocab_size INTEGER NOT NULL,
            contexts INTEGER NOT NULL,
            zipf_exponent DOUBLE NOT NULL,
            logit_scale DOUBLE NOT NULL,
            seed BIGINT NOT NULL,
            width INTEGER NOT NULL,
            version INTEGER NOT NULL,
            gap DOUBLE NOT NULL,
            entropy DOUBLE NOT NULL,
            w_error DOUBLE NOT NULL,
            tail DOUBLE NOT NULL,
            train_steps BIGINT NOT NULL,
            seconds DOUBLE NOT NULL,
            measured_at TIMESTAMPTZ NOT NULL,
            software VARCHAR NOT NULL
        );
        """
    )


@migration
def m005_queue(connection: Connection) -> None:
    """Work that was asked for (see `queue`): requests, their jobs, and which belongs to which."""
    connection.execute(
        """
        CREATE TABLE jobs (
            job_id VARCHAR PRIMARY KEY,
            group_id VARCHAR NOT NULL,
            kind VARCHAR NOT NULL,
            target VARCHAR NOT NULL,
            measure VARCHAR,
            settings VARCHAR NOT NULL,
            place BIGINT NOT NULL,
            priority INTEGER NOT NULL,
            force BOOLEAN NOT NULL,
            state VARCHAR NOT NULL,
            cancel BOOLEAN NOT NULL,
            deaths INTEGER NOT NULL,
            worker VARCHAR,
            error VARCHAR,
            computed BOOLEAN,
            bytes_read BIGINT,
            weight_bytes BIGINT,
            seconds DOUBLE,
            started_at TIMESTAMPTZ,
            finished_at TIMESTAMPTZ
        );
        CREATE TABLE requests (request_id VARCHAR PRIMARY KEY, title VARCHAR NOT NULL, asked_at TIMESTAMPTZ NOT NULL);
        CREATE TABLE request_jobs (request_id VARCHAR NOT NULL, job_id VARCHAR NOT NULL);
        """
    )


@migration
def m006_order_of_writing(connection: Connection) -> None:
    """What was measured here last counts, by the order of writing: a clock that was set back hides nothing.

    What came in a pack has no place in that order and comes after all that was measured here.
    """
    connection.execute(
        """
        ALTER TABLE measurements ADD COLUMN written BIGINT;
        CREATE OR REPLACE VIEW current_checkpoints AS
        SELECT c.*, d.reason AS doubtful FROM checkpoints c
        LEFT JOIN doubts d ON d.family = c.family AND d.model = c.model AND d.step = coalesce(c.step, 0)
        LEFT JOIN (
            SELECT checkpoint_id, max(written) AS place, max(measured_at) AS last FROM measurements GROUP BY ALL
        ) m ON m.checkpoint_id = c.checkpoint_id
        QUALIFY row_number() OVER (
            PARTITION BY c.family, c.model, c.step
            ORDER BY m.place DESC NULLS LAST, m.last DESC NULLS LAST, c.checkpoint_id
        ) = 1;
        CREATE OR REPLACE VIEW current_measurements AS
        SELECT m.* FROM measurements m JOIN current_checkpoints c USING (checkpoint_id)
        QUALIFY row_number() OVER (
            PARTITION BY m.checkpoint_id, measure, text_id
            ORDER BY version DESC, tokens DESC NULLS LAST, context_length DESC NULLS LAST, dtype = 'float32' DESC,
                     written DESC NULLS LAST, measured_at DESC
        ) = 1;
        """
    )


@migration
def m007_family(connection: Connection) -> None:
    """Measurements and their values know their family and lie together by it: a page reads one family's rows alone."""
    connection.execute(
        """
        ALTER TABLE measurements ADD COLUMN of_family VARCHAR;
        UPDATE measurements SET of_family = c.family FROM checkpoints c
        WHERE c.checkpoint_id = measurements.checkpoint_id;
        CREATE OR REPLACE VIEW current_measurements AS
        SELECT m.measurement_id, m.checkpoint_id, m.measure, m.version, m.text_id, m.dtype, m.tokens, m.context_length,
               m.device, m.measured_at, m.seconds, m.bytes_read, m.software, m.written
        FROM measurements m JOIN current_checkpoints c USING (checkpoint_id)
        QUALIFY row_number() OVER (
            PARTITION BY m.checkpoint_id, measure, text_id
            ORDER BY version DESC, tokens DESC NULLS LAST, context_length DESC NULLS LAST, dtype = 'float32' DESC,
                     written DESC NULLS LAST, measured_at DESC
        ) = 1;
        """
    )
    for table in ("scalars", "series", "labels"):
        kind = {"scalars": "value DOUBLE", "series": '"values" DOUBLE[]', "labels": '"values" VARCHAR[]'}[table]
        connection.execute(
            f"""
            ALTER TABLE {table} RENAME TO before;
            CREATE TABLE {table} (
                measurement_id VARCHAR NOT NULL, name VARCHAR NOT NULL, {kind} NOT NULL, of_family VARCHAR
            );
            INSERT INTO {table} SELECT b.*, m.of_family FROM before b LEFT JOIN measurements m USING (measurement_id)
            ORDER BY m.of_family;
            DROP TABLE before;
            """
        )


@migration
def m008_models(connection: Connection) -> None:
    """What is held of each model, kept beside the rows that it is told of (see `summary`): menus read it at once.

    The view tells it from `checkpoints` and `measurements`, with `current_checkpoints`' choice among weights of a step.
    """
    connection.execute(
        """
        CREATE VIEW computed_models AS
        WITH measured AS (
            SELECT of_family, checkpoint_id, max(written) AS place, max(measured_at) AS last,
                   bool_or(measure = 'spectrum') AS spectrum
            FROM measurements GROUP BY of_family, checkpoint_id
        ), current AS (
            SELECT c.*, m.spectrum FROM checkpoints c
            LEFT JOIN measured m ON m.of_family = c.family AND m.checkpoint_id = c.checkpoint_id
            QUALIFY row_number() OVER (
                PARTITION BY c.family, c.model, c.step
                ORDER BY m.place DESC NULLS LAST, m.last DESC NULLS LAST, c.checkpoint_id
            ) = 1
        )
        SELECT family, model, max(parameters) AS parameters, max(hidden_size) AS hidden_size, max(layers) AS layers,
               max(vocab_size) AS vocab_size, count(*) AS checkpoints, count(*) FILTER (spectrum) AS measured,
               min(coalesce(step, 0)) AS first_step, max(coalesce(step, 0)) AS last_step
        FROM current GROUP BY family, model;
        CREATE TABLE models AS SELECT * FROM computed_models;
        """
    )


def applied(connection: Connection) -> set[str]:
    """Names of the steps that the file has had."""
    held = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'migrations'").fetchall()
    if held[0][0] == 0:
        return set()
    return {row[0] for row in connection.execute("SELECT name FROM migrations").fetchall()}


def migrate(connection: Connection) -> None:
    """Apply every step that the file has not had, each in a transaction of its own."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (name VARCHAR PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL)"
    )
    done = applied(connection)
    for name, step in MIGRATIONS:
        if name in done:
            continue
        connection.begin()
        step(connection)
        connection.execute("INSERT INTO migrations VALUES (?, now())", [name])
        connection.commit()
