"""The one selection of the dashboard, and its form in the address. Nothing here imports streamlit.

Why not `bind="query-params"`: with bound widgets streamlit 1.67 drops the parameters that a page link
carries, leaves defaults out (a new checkpoint would change what an old link shows) and forgets what
another page's widgets set. The address is therefore read and written here, whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from saturation.figures import labels
from saturation.figures.singular import ColourScale, Normalisation
from saturation.figures.steps import StepScale, nearest
from saturation.jobs.compare import ALIGNMENTS

# Each with its default first; `controls.WORDS` has the order of the buttons.
CHOICES: dict[str, tuple[str, ...]] = {
    "view": ("plain", "centred"),
    "scale": ("linear", "log"),
    "ranks": ("100", "all", "log"),
    "colour": ("log", "linear"),
    "norm": ("after", "before"),
    "divide": ("largest", "sum"),
    "by": ("parameters", "hidden_size", "vocab_per_width", "peak_learning_rate"),
    "fitted": ("final", "best"),
    "head_metric": ("loss", "accuracy"),
    "rank_axis": ("log", "linear"),
    "align": ALIGNMENTS,
    "less": ("values", "differences"),
}
# Numbers that a reader may set: lowest and highest. None in a selection means the default, which may depend on data.
NUMBERS: dict[str, tuple[float, float]] = {
    "fit_from": (0, 1e15),  # parameters
    "law_b": (0, 1e6),
    "law_beta": (0.01, 2),
    "law_e": (0, 20),  # nats
    "least_rise": (0, 100),  # percent
    "level": (0.1, 20),  # percent
    "least_anisotropy": (0.005, 1),
    "least_entropy": (1, 500),  # percent
    "error": (0.01, 0.99),  # W-error
    "toy_rank": (2, 32),
    "toy_vocab_size": (64, 4096),
    "toy_contexts": (64, 2048),
    "toy_zipf": (0, 1.5),
    "toy_scale": (0.1, 3),
    "toy_seed": (0, 1e6),
}
DEFAULT_METRIC = "loss"
# What a sentence calls a choice or a number whose name in the link is not a word.
NAMES = {
    "head_metric": "measure of heads",
    "rank_axis": "rank axis",
    "align": "alignment",
    "less": "way to compare",
    "error": "W-error",
    "toy_rank": "rank",
    "toy_vocab_size": "vocabulary",
    "toy_contexts": "number of contexts",
    "toy_zipf": "Zipf exponent",
    "toy_scale": "logit scale",
    "toy_seed": "seed",
}


@dataclass(frozen=True)
class Selection:
    """What all pages show: one model for maps, several for curves, one step, and how to look at them.

    group: the title of the models to choose and to compare among, where the family has groups.
    """

    family: str
    model: str
    models: tuple[str, ...]
    step: int | None
    view: str = "plain"
    scale: StepScale = "linear"
    ranks: str = "100"
    colour: ColourScale = "log"
    norm: str = "after"
    divide: Normalisation = "largest"
    by: str = "parameters"
    fitted: str = "final"
    head_metric: str = "loss"
    rank_axis: StepScale = "log"
    align: str = "step"
    less: str = "values"
    group: str | None = None
    runs: tuple[str, ...] = ()  # of any families, on the Compare page; none: the models of the family
    metric: str = DEFAULT_METRIC
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def centred(self) -> bool:
        return self.view == "centred"


@dataclass(frozen=True)
class Asked:
    """What an address or the widgets ask for: text as it came, None where nothing was said."""

    family: str | None = None
    group: str | None = None
    model: str | None = None
    models: tuple[str, ...] | None = None
    step: str | None = None
    view: str | None = None
    scale: str | None = None
    ranks: str | None = None
    colour: str | None = None
    norm: str | None = None
    divide: str | None = None
    by: str | None = None
    fitted: str | None = None
    head_metric: str | None = None
    rank_axis: str | None = None
    align: str | None = None
    less: str | None = None
    runs: tuple[str, ...] | None = None
    metric: str | None = None
    numbers: Mapping[str, str | float] = field(default_factory=dict)


def decode(address: Mapping[str, str]) -> Asked:
    """The request that query parameters make; unknown parameters are left alone."""
    plain = Asked.__dataclass_fields__.keys() - {"numbers"}
    fields: dict[str, Any] = {key: address[key] for key in plain if address.get(key)}
    fields["numbers"] = {key: address[key] for key in NUMBERS if address.get(key)}
    for key in ("models", "runs"):
        if key in fields:
            fields[key] = tuple(name for name in fields[key].split(",") if name)
    return Asked(**fields)


def encode(selection: Selection, comparable: Sequence[str], group: str | None = None) -> dict[str, str]:
    """The query parameters of a selection.

    Left out: views at their default, the group where it is the model's first (`group`), models when all are compared.
    """
    address = {"family": selection.family, "model": selection.model}
    if selection.group is not None and selection.group != group:
        address["group"] = selection.group
    if tuple(selection.models) != tuple(comparable):
        address["models"] = ",".join(selection.models)
    if selection.step is not None:
        address["step"] = str(selection.step)
    for key, (default, *_) in CHOICES.items():
        if getattr(selection, key) != default:
            address[key] = getattr(selection, key)
    if selection.runs:
        address["runs"] = ",".join(selection.runs)
    if selection.metric != DEFAULT_METRIC:
        address["metric"] = selection.metric
    return address | {key: f"{value:.12g}" for key, value in selection.numbers.items()}


def group_of(model: str | None, groups: Mapping[str, Sequence[str]]) -> str | None:
    """The first group that holds a model; the first of all where none does; None where there are no groups."""
    return next((title for title, names in groups.items() if model in names), next(iter(groups), None))


def resolve(
    asked: Asked,
    models: Mapping[str, Sequence[str]],
    measured: Callable[[str], Sequence[str]],
    steps: Callable[[str, str], Sequence[int]],
    metrics: Callable[[str], Sequence[str]],
    groups: Callable[[str], Mapping[str, Sequence[str]]] = lambda family: {},
) -> tuple[Selection, list[str]]:
    """The nearest valid selection, and one sentence for each thing asked that does not exist.

    `models`: the model names of each family, families and models in the order of the menus; `measured`: those of a
    family that have measurements (it opens with the first of them); `steps`: the measured steps of a model;
    `metrics`: those that a family has values of, the default first; `groups`: its models by group.
    """
    notes: list[str] = []
    family = _one("family", asked.family, list(models), next(iter(models)), notes)
    full, titled = set(measured(family)), groups(family)
    model, group = _model(asked, family, list(models[family]), titled, full, notes)
    comparable = [name for name in (titled[group] if group else models[family]) if name in full]
    compared = _several(asked.models, comparable, family, notes)
    step = _step(asked.step, list(steps(family, model)), f"{family}/{model}", notes)
    chosen = Selection(family=family, model=model, models=compared, step=step, group=group)
    for key, options in CHOICES.items():
        value = getattr(asked, key)
        if value is not None:
            change: dict[str, Any] = {key: _one(NAMES.get(key, key), value, list(options), options[0], notes)}
            chosen = replace(chosen, **change)
    metric = _one(f"metric of {family}", asked.metric, [*metrics(family)] or [DEFAULT_METRIC], None, notes)
    # Which runs there are of other families is not known here; the page that draws them says what it lacks.
    return replace(chosen, metric=metric, runs=asked.runs or (), numbers=_numbers(asked.numbers, notes)), notes


def _model(
    asked: Asked, family: str, names: list[str], groups: Mapping[str, Sequence[str]], full: set[str], notes: list[str]
) -> tuple[str, str | None]:
    """The model and its group. A group that lacks the model gives way to it: the model is what the link is about."""
    filled = (title for title, members in groups.items() if not full.isdisjoint(members))
    group = next(filled, next(iter(groups), None)) if asked.model is None else None
    if groups and asked.group is not None:
        group = _one(f"group of {family}", asked.group, list(groups), group_of(asked.model, groups), notes)
    within = list(groups[group]) if group else names
    model = _one(f"model of {family}", asked.model, names, next((n for n in within if n in full), within[0]), notes)
    if group is None or model not in groups[group]:
        wanted, group = group, group_of(model, groups)
        if wanted:
            notes.append(f"{family}/{model} is not in the group “{wanted}”; showing “{group}”.")
    return model, group


def _one(kind: str, asked: str | None, known: list[str], default: str | None, notes: list[str]) -> str:
    default = known[0] if default is None else default
    if asked is None or asked in known:
        return asked or default
    close = get_close_matches(asked.lower(), known, n=1, cutoff=0.5)
    shown = close[0] if close else default
    notes.append(f"There is no {kind} “{asked}” here; showing {shown}.")
    return shown


def _numbers(asked: Mapping[str, str | float], notes: list[str]) -> dict[str, float]:
    kept = {}
    for key, value in asked.items():
        low, high = NUMBERS[key]
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if low <= number <= high:
            kept[key] = number
        else:
            notes.append(f"“{value}” is no {NAMES.get(key, key)} between {low:g} and {high:g}; showing the default.")
    return kept


def _several(asked: tuple[str, ...] | None, known: list[str], family: str, notes: list[str]) -> tuple[str, ...]:
    if asked is None:
        return tuple(known)
    wrong = [name for name in asked if name not in known]
    kept = tuple(name for name in known if name in asked)
    if wrong:
        what = "model" if len(wrong) == 1 else "models"
        shown = ", ".join(kept) if kept else "all of them"
        notes.append(f"There is no measured {what} of {family} “{', '.join(wrong)}” to compare; showing {shown}.")
    return kept or tuple(known)


def _step(asked: str | None, measured: list[int], name: str, notes: list[str]) -> int | None:
    if not measured:
        if asked is not None:
            notes.append(f"Step {asked} of {name} cannot be shown: nothing is measured for {name} yet.")
        return None
    if asked is None:
        return measured[-1]
    try:
        wanted = int(asked.replace(",", "").replace("_", ""))
    except ValueError:
        notes.append(f"“{asked}” is no training step; showing the last, {labels.step(measured[-1])}.")
        return measured[-1]
    shown = nearest(measured, wanted)
    if shown != wanted:
        notes.append(
            f"Step {labels.step(wanted)} of {name} is not measured; showing the nearest, {labels.step(shown)}."
        )
    return shown
