"""Train heads of several widths on a language of known rank; each is stored as soon as it is trained."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from saturation import __version__
from saturation.errors import InputError
from saturation.measures.playground import Bound, RankedLanguage, bound
from saturation.settings import Settings
from saturation.store import Store
from saturation.store.records import PlaygroundRow

Report = Callable[[int, int, str], None]

# Counts up whenever the language or the training changes its numbers.
VERSION = 1
WIDEST = 512
WHOLE = ("rank", "vocab_size", "contexts", "seed")


def default_widths(rank: int) -> tuple[int, ...]:
    """Powers of two up to twice the rank, and the widths about the rank where the gap closes."""
    powers = {2**power for power in range((2 * rank).bit_length())}
    return tuple(sorted(powers | {max(1, 3 * rank // 4), rank - 1, rank, 2 * rank}))


def play(
    store: Store,
    language: RankedLanguage,
    widths: Sequence[int] | None = None,
    report: Report | None = None,
    force: bool = False,
) -> list[PlaygroundRow]:
    """One row a width, ascending; what the store holds is not trained again unless `force`.

    A run that is stopped keeps every width it has finished. report(done, total, message) counts widths. Raises
    InputError for widths that are not from 1 to 512.
    """
    chosen = sorted(set(default_widths(language.rank) if widths is None else widths))
    if not chosen or not 1 <= chosen[0] <= chosen[-1] <= WIDEST:
        raise InputError(
            f"Widths must be whole numbers from 1 to {WIDEST}; got {', '.join(map(str, chosen)) or 'none'}."
        )
    tell = report or (lambda done, total, message: None)
    ids = {width: _planned(language, width).row_id for width in chosen}
    held = {} if force else store.playground(ids.values())
    rows = []
    for done, width in enumerate(chosen):
        tell(done, len(chosen), f"width {width}")
        row = held.get(ids[width])
        if row is None:

            def within(step: int, steps: int, done: int = done, width: int = width) -> None:
                tell(done, len(chosen), f"width {width}: {step / steps:.0%}")

            row = _train(language, width, within)
            store.add_playground([row])
        rows.append(row)
    tell(len(chosen), len(chosen), "done")
    return rows


def judged(rows: Sequence[Any], fitted_on: tuple[int, int] | None = None) -> Bound | None:
    """Theorem 5.3's bound over the rows of one language; None without two widths below the rank and a third.

    rows: `PlaygroundRow`s, or whatever has their rank, width, gap and tail, such as named rows of a frame.
    Raises InputError for `fitted_on` that are not such widths.
    """
    if len(rows) < 3 or sum(row.width < row.rank for row in rows) < 2:
        return None
    return bound([row.width for row in rows], [row.tail for row in rows], [row.gap for row in rows], fitted_on)


def run_job(settings: Settings, options: Mapping[str, Any], report: Report) -> None:
    """`play` for a worker. options: the fields of RankedLanguage and `widths`, all with defaults. Raises InputError."""
    known = {field.name for field in fields(RankedLanguage)}
    unknown = set(options) - known - {"widths"}
    if unknown:
        raise InputError(
            f"The playground knows no '{min(unknown)}'; its options are {', '.join(sorted(known))}, widths."
        )
    chosen: dict[str, Any] = {
        name: int(value) if name in WHOLE else float(value) for name, value in options.items() if name in known
    }
    play(Store(settings.store_path), RankedLanguage(**chosen), options.get("widths"), report)


def _planned(language: RankedLanguage, width: int) -> PlaygroundRow:
    """The row of a width before it is trained: all that its id depends on."""
    return PlaygroundRow(
        **asdict(language),
        width=width,
        version=VERSION,
        gap=0.0,
        entropy=language.entropy,
        w_error=language.w_error(width),
        tail=language.tail(width),
        train_steps=0,
        seconds=0.0,
        measured_at=datetime.now(UTC),
        software="",
    )


def _train(language: RankedLanguage, width: int, report: Callable[[int, int], None]) -> PlaygroundRow:
    import torch  # here, so that the dashboard can import this module

    from saturation.measures.playground_training import train_width

    start = time.monotonic()
    trained = train_width(language.log_probabilities, width, seed=language.seed, report=report)
    values = asdict(_planned(language, width)) | {
        "gap": trained.gap,
        "train_steps": trained.steps,
        "seconds": time.monotonic() - start,
        "software": f"saturation {__version__}, torch {torch.__version__}",
    }
    return PlaygroundRow(**values)
