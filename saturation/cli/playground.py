"""The command that trains heads on a language of known rank."""

from dataclasses import asdict, fields
from typing import Any

import click

from saturation.cli.shared import Context, bar, say
from saturation.measures.playground import Bound, RankedLanguage

SHOWN = ("width", "gap", "w_error", "tail", "train_steps", "seconds")
DEFAULTS = {field.name: field.default for field in fields(RankedLanguage)}


def _widths(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    try:
        return None if value is None else tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"'{value}' is no list of whole numbers like 1,2,4,8.") from error


@click.command("playground")
@click.option("--rank", type=int, default=DEFAULTS["rank"], show_default=True, help="Rank of the language's logits.")
@click.option("--vocab-size", type=int, default=DEFAULTS["vocab_size"], show_default=True, help="Tokens.")
@click.option("--contexts", type=int, default=DEFAULTS["contexts"], show_default=True, help="Contexts, all equal.")
@click.option(
    "--zipf",
    "zipf_exponent",
    type=float,
    default=DEFAULTS["zipf_exponent"],
    show_default=True,
    help="Exponent of Zipf's law; 0 leaves token frequency out.",
)
@click.option(
    "--scale",
    "logit_scale",
    type=float,
    default=DEFAULTS["logit_scale"],
    show_default=True,
    help="Standard deviation of the logits besides frequency.",
)
@click.option("--widths", callback=_widths, help="Comma-separated widths; default: powers of two, and about the rank.")
@click.option("--seed", type=int, default=DEFAULTS["seed"], show_default=True)
@click.option("--force", is_flag=True, help="Train again what is stored.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def playground_command(
    context: Context, widths: tuple[int, ...] | None, force: bool, as_json: bool, **of_language: Any
) -> None:
    """Train heads of several widths on a language whose logits have a known rank; see where the loss gap closes.

    The gap is the loss above the language's exact entropy. Stopped runs go on with the widths that are missing.
    """
    from saturation.jobs.playground import judged, play

    language = RankedLanguage(**of_language)
    with bar("width") as report:
        rows = play(context.store, language, widths, report, force)
    found = judged(rows)
    limits = dict(zip((row.width for row in rows), found.values, strict=True)) if found else {}
    value = {
        "language": asdict(language),
        "entropy": language.entropy,
        "widths": [{name: getattr(row, name) for name in SHOWN} | {"bound": limits.get(row.width)} for row in rows],
        "bound": None if found is None else asdict(found) | {"holds": found.holds},
    }
    say(value, as_json, _text(value, found))


def _text(value: dict[str, Any], found: Bound | None) -> str:
    language = value["language"]
    lines = [
        f"rank {language['rank']}: {language['contexts']:,} contexts, {language['vocab_size']:,} tokens, "
        f"entropy {value['entropy']:.4f} nats",
        "  width  gap (nats)  W-error   bound",
    ]
    for row in value["widths"]:
        limit = "" if row["bound"] is None else f"{row['bound']:8.4f}"
        lines.append(f"  {row['width']:>5}  {row['gap']:>10.5f}  {row['w_error']:>7.4f}{limit}".rstrip())
    if found is not None:
        first, second = found.fitted_on
        verdict = "holds at every other width" if found.holds else f"is exceeded at {', '.join(map(str, found.above))}"
        lines.append(f"  The bound with its constant fitted on the widths {first} and {second} {verdict}.")
    return "\n".join(lines)
