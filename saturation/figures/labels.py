"""How numbers are written on figures and pages."""

import math
from collections.abc import Callable, Iterable
from html import escape


def count(value: float) -> str:
    """A parameter or token count: 812, 14.1M, 6.9B."""
    if value is None or not math.isfinite(value):
        return "unknown"
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.0f}{unit}" if scaled >= 99.5 else f"{scaled:.3g}{unit}"
    return f"{value:.0f}"


def step(value: int) -> str:
    """A training step with thousands separated."""
    return f"{int(value):,}"


def steps(values: Iterable[float | None]) -> list[str]:
    """The same for each value, and a dash where there is none."""
    return ["–" if value is None or value != value else step(int(value)) for value in values]


def short_step(value: int) -> str:
    """A step for an axis: 0, 512, 1k, 143k."""
    if value < 1000:
        return str(int(value))
    return f"{value / 1000:g}k" if value < 1_000_000 else f"{value / 1_000_000:g}M"


def number(value: float, digits: int = 3) -> str:
    """A measured value with that many significant digits, or a dash where nothing was measured."""
    if value is None or not math.isfinite(value):
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e5:
        return minus(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else digits - 1
    return minus(f"{value:,.{decimals}f}")


def cosine(value: float) -> str:
    """A mean cosine, to three decimals: a smaller one is no different from none."""
    return fixed(value, 3)


def fixed(value: float, decimals: int) -> str:
    """A value with that many decimals, or a dash where nothing was measured."""
    return minus(f"{value:.{decimals}f}") if value is not None and math.isfinite(value) else "–"


def signed(value: float, decimals: int) -> str:
    """A difference with its sign and that many decimals; what rounds to nothing has none."""
    return minus(f"{value:+.{decimals}f}") if value is not None and math.isfinite(value) else "–"


def minus(text: str) -> str:
    """A written number with the minus of the figures' axes, and no sign where it is rounded to 0."""
    if text[0] in "+-" and not text.strip("+-0.,"):
        return text[1:]
    return f"\N{MINUS SIGN}{text[1:]}" if text[0] == "-" else text


def percent(share: float) -> str:
    """A share: 13.3 %, and 0.12 % where one decimal says little."""
    if share is None or not math.isfinite(share):
        return "–"
    return minus(f"{100 * share:.{1 if abs(share) >= 0.0095 else 2}f}") + " %"


def rate(value: float) -> str:
    """A learning rate: 1e-3, 2.5e-4."""
    digits, power = f"{value:.2e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def literal(text: str) -> str:
    """Foreign words for plotly, which takes tags, entities and %{...} in a text for its own."""
    return escape(text, quote=False).replace("%{", "% {")


# What models are coloured by: how it is written in a legend, and its name where it is not known.
BY: dict[str, tuple[Callable[[float], str], str]] = {
    "parameters": (count, "size"),
    "hidden_size": (lambda value: f"d={value:.0f}", "d"),
    "vocab_per_width": (lambda value: f"V/d {value:.3g}", "V/d"),
    "peak_learning_rate": (lambda value: f"lr {rate(value)}", "lr"),
}


def model(name: str, value: float | None, by: str = "parameters") -> str:
    """A model in a legend: its name and its size, or another quantity of `BY`."""
    written, short = BY[by]
    if value is None or not math.isfinite(value) or value <= 0:
        return f"{name} · {short} unknown"
    return f"{name} · {written(value)}"
