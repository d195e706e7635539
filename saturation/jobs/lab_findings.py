"""What the lab found, as sentences whose every number and every verb is read off the store. No torch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from saturation.families import registry
from saturation.jobs import lab_runs
from saturation.lab.config import bundled_runs
from saturation.store import Store, queries

MEASURES = {"nats_per_token": "loss", "anisotropy": "last-layer anisotropy", "singular_entropy": "singular entropy"}
COUPLED = "-coupled"  # how the name of such a run ends, beside the same run without it
FROM = 1000  # steps: before, everything moves at once
SOUND = 0.01  # a last loss so little above the best is no loss of quality
FEWEST = 15  # checkpoints that a correlation is made of
TURNS = {"saturated": "loss turned", "anisotropy_turn": "anisotropy", "entropy_turn": "singular entropy"}


@dataclass(frozen=True)
class Finding:
    """A title, sentences, and the runs they are about, the first one the base of a comparison."""

    title: str
    text: str
    runs: tuple[str, ...]


class Lab:
    """The measured runs: `lab_runs.table` by model, and every measure along training."""

    def __init__(self, store: Store) -> None:
        self.table = lab_runs.table(store).set_index("model")
        self.rows: dict[str, dict[str, Any]] = {str(name): dict(row) for name, row in self.table.iterrows()}
        along = queries.trajectory(store, lab_runs.FAMILY, list(self.table.index))
        self._along = {str(model): rows.set_index("step") for model, rows in along.groupby("model")}
        self.groups = registry.family(lab_runs.FAMILY).groups

    def group(self, title: str) -> list[str]:
        """The measured runs of a group, in its order."""
        return [name for name in self.groups[title] if name in self._along]

    def common_step(self, runs: Iterable[str]) -> int:
        """The last step at which all of the runs were measured."""
        shared = set.intersection(*({int(step) for step in self._along[name].index} for name in runs))
        return max(shared)

    def at(self, runs: Sequence[str], column: str, step: int) -> list[float]:
        """A measure of each run at a step."""
        return [float(self._along[name][column].loc[step]) for name in runs]

    def correlations(self, run: str) -> dict[str, float] | None:
        """Spearman's correlation of each measure with the loss, over checkpoints from `FROM` on; None for too few."""
        rows = self._along[run]
        late = rows.loc[rows.index >= FROM, list(MEASURES)].dropna()
        if len(late) < FEWEST:
            return None
        loss, *others = MEASURES
        ranks = late.rank()  # pandas' own "spearman" is the same and imports scipy.stats, which takes a second
        return {column: float(ranks[column].corr(ranks[loss])) for column in others}

    def side_by_side(self, runs: Sequence[str]) -> pd.DataFrame:
        """Every measure of the runs at their last common step, one row a run in the order given."""
        step = self.common_step(runs)
        columns = [*MEASURES, "centred_singular_entropy", "anisotropy_before_norm"]
        values = {column: self.at(runs, column, step) for column in columns}
        words = self.table.loc[list(runs), list(lab_runs.SETTINGS)].reset_index()
        return pd.concat([words, pd.DataFrame({"step": step, **values})], axis=1)


def findings(lab: Lab) -> list[Finding]:
    """All that the measured runs allow to say; a run that is missing leaves its sentence out."""
    told: list[Callable[[Lab], Finding | None]] = [
        *(_signature, _turning, _width, _collapse_without_loss, _coupled),
        *(_rate, _decay, _crossed, _precision, _interventions),
    ]
    return [found for tell in told if (found := tell(lab)) is not None]


def _signature(lab: Lab) -> Finding | None:
    """How many runs show each of the paper's three signs, and which show all."""
    judged = lab.table[lab.table["saturated"].notna()]
    if judged.empty:
        return None
    shown = {
        "saturated": judged["saturated"].astype(bool),
        "anisotropy_turn": judged["anisotropy_turn"].notna(),
        "entropy_turn": judged["entropy_turn"].notna(),
    }
    counts = [f"the {word} in {int(shown[key].sum())}" for key, word in TURNS.items()]
    full = [str(name) for name in judged.index[shown["saturated"] & shown["anisotropy_turn"] & shown["entropy_turn"]]]
    text = f"Of {len(judged)} runs, {_list(counts)}, and did not come back; "
    if not full:
        return Finding("The whole signature", f"{text}no run shows all three.", ())
    climbing = [name for name in full if lab.rows[name]["schedule"].startswith("climbing")]
    text += f"all three in {len(full)}: {_list(full)}."
    if climbing == full:
        text += (
            " There the learning rate climbs until training no longer works: the cause is known, and it is not the"
            " width. No run with a constant or a falling rate shows all three."
        )
    return Finding("The whole signature", text, tuple(full))


def _turning(lab: Lab) -> Finding | None:
    """Along training, whether a measure rises and falls with the loss: rank correlations within each run."""
    found = {name: values for name in lab.rows if (values := lab.correlations(name)) is not None}
    if not found:
        return None
    told = []
    for column, label in list(MEASURES.items())[1:]:
        of_runs = pd.Series({name: values[column] for name, values in found.items()})
        told.append(f"{label} in {int((of_runs > 0).sum())} (median {_signed(of_runs.median(), 2)})")
    saturated = [name for name in found if lab.rows[name]["saturated"]]
    text = (
        f"Within a run, from step {FROM:,} on, the rank correlation with the loss is positive for {_list(told)} of "
        f"{len(found)} runs."
    )
    if saturated:
        pairs = [
            f"{name} {_signed(found[name]['anisotropy'], 2)} and {_signed(found[name]['singular_entropy'], 2)}"
            for name in saturated
        ]
        text += f" Where the loss turned, the two are: {_list(pairs)}."
    return Finding("What the loss goes with", text, tuple(lab.group("When it turns")))


def _width(lab: Lab) -> Finding | None:
    runs = lab.group("Width")
    if len(runs) < 2:
        return None
    gaps = [float(lab.rows[name]["best_above_floor"]) for name in runs]
    widths = [int(lab.rows[name]["hidden_size"]) for name in runs]
    listed = _list([f"{gap:.3f} nats at width {width}" for gap, width in zip(gaps, widths, strict=True)])
    falls = all(after < before for before, after in pairwise(gaps))
    opening = "The narrower the model, the further its best loss stays" if falls else "The best loss stays"
    share = _list([_percent(lab.rows[name]["degradation"]) for name in runs])
    return Finding(
        "Width",
        f"{opening} above the exact entropy: {listed}. At the end the losses lie {share} above their best, in that "
        "order.",
        tuple(runs),
    )


def _collapse_without_loss(lab: Lab) -> Finding | None:
    """The run whose spectrum is the nearest to one value, of those whose last loss is all but their best."""
    sound = lab.table["saturated"].eq(False) & (lab.table["degradation"] <= SOUND)
    calm = lab.table[sound & lab.table["entropy_turn"].notna()]
    if calm.empty:
        return None
    name = str(calm["entropy_share"].idxmax())
    row = lab.rows[name]
    return Finding(
        "A collapsed head with a sound loss",
        f"In {name} the head's singular entropy climbs from step {row['entropy_turn']:,} on to "
        f"{row['entropy_last']:.2f} nats, {_percent(row['entropy_share'], 0)} of what its width allows "
        f"({_percent(row['centred_entropy_share'], 0)} centred, which is all that the softmax sees), yet the "
        f"loss ends {_percent(row['degradation'])} above its best and the test does not call it saturated; last-layer "
        f"anisotropy ends at {row['anisotropy_last']:.2f}.",
        (name,),
    )


def _coupled(lab: Lab) -> Finding | None:
    """Runs that differ in Adam's second moment only, side by side at their last common steps."""
    pairs = [(name.removesuffix(COUPLED), name) for name in lab.rows if name.endswith(COUPLED)]
    pairs = [(plain, coupled) for plain, coupled in pairs if plain in lab.rows]
    if not pairs:
        return None
    told = []
    for plain, coupled in pairs:
        step = lab.common_step([plain, coupled])
        entropy, loss = (lab.at([plain, coupled], column, step) for column in ("singular_entropy", "nats_per_token"))
        told.append(
            f"{coupled} at step {step:,}: singular entropy {entropy[1]:.2f} instead of {entropy[0]:.2f}, "
            f"loss {loss[1]:.3f} instead of {loss[0]:.3f}"
        )
    return Finding(
        "One second moment for the whole vocabulary",
        f"Coupled Adam beside Adam, all else equal: {'; '.join(told)}.",
        tuple(name for pair in pairs for name in pair),
    )


def _knob(lab: Lab, title: str, setting: str, words: str) -> Finding | None:
    """One setting, all else equal: the three measures at the last common step, from its least to its greatest."""
    runs = lab.group(title)
    if len(runs) < 2:
        return None
    step = lab.common_step(runs)
    levels = [f"{lab.rows[name][setting]:g}" for name in runs]
    parts = [f"{label} {_values(lab.at(runs, column, step))}" for column, label in MEASURES.items()]
    return Finding(title, f"{words} {_list(levels)} at step {step:,}: {'; '.join(parts)}.", tuple(runs))


def _rate(lab: Lab) -> Finding | None:
    return _knob(lab, "Learning rate", "learning_rate", "At width 16 and a constant rate of")


def _decay(lab: Lab) -> Finding | None:
    return _knob(lab, "Weight decay", "weight_decay", "At width 16 and a weight decay of")


def _crossed(lab: Lab) -> Finding | None:
    """Mean effects of width, rate and precision in the eight crossed runs."""
    runs = lab.group("Width, rate or precision")
    configs = bundled_runs()
    if len(runs) < len(lab.groups["Width, rate or precision"]):
        return None
    step = lab.common_step(runs)
    sides = {
        "width 8 instead of 32": [configs[name].hidden_size == 8 for name in runs],
        "the ten times higher rate": [configs[name].learning_rate > 0.01 for name in runs],
        "float16": [configs[name].precision == "float16" for name in runs],
    }
    told = []
    for words, mask in sides.items():
        effects = []
        for column, label in MEASURES.items():
            values = pd.Series(lab.at(runs, column, step))
            chosen = pd.Series(mask)
            effects.append(f"{label} {_signed(values[chosen].mean() - values[~chosen].mean(), 3)}")
        told.append(f"{words}: {', '.join(effects)}")
    return Finding(
        "Width, rate or precision",
        "Crossed under a cosine schedule and weight decay 0.1, where Pythia's small models have the higher rates. Mean "
        f"change at step {step:,} by {'; by '.join(told)}.",
        tuple(runs),
    )


def _precision(lab: Lab) -> Finding | None:
    runs = lab.group("Precision")
    if len(runs) < 2:
        return None
    step = lab.common_step(runs)
    levels = [str(lab.rows[name]["precision"]) for name in runs]
    parts = [f"{label} {_values(lab.at(runs, column, step))}" for column, label in MEASURES.items()]
    return Finding("Precision", f"With {_list(levels)} at step {step:,}: {'; '.join(parts)}.", tuple(runs))


def _interventions(lab: Lab) -> Finding | None:
    runs = lab.group("Interventions")
    if len(runs) < 2:
        return None
    base, *others = runs
    step = lab.common_step(runs)
    own = [lab.at([base], column, step)[0] for column in MEASURES]
    told = []
    for name in sorted(others, key=lambda name: lab.at([name], "nats_per_token", step)[0]):
        changes = [lab.at([name], column, step)[0] - before for column, before in zip(MEASURES, own, strict=True)]
        loss, anisotropy, entropy = changes
        told.append(
            f"{lab.rows[name]['head']}: {_signed(loss, 3)} nats (anisotropy {_signed(anisotropy, 2)}, "
            f"entropy {_signed(entropy, 2)})"
        )
    return Finding(
        "Interventions on the head",
        f"On Python source at width 16, beside a loss of {own[0]:.3f}, an anisotropy of {own[1]:.2f} and a singular "
        f"entropy of {own[2]:.2f} nats at step {step:,}: {'; '.join(told)}.",
        tuple(runs),
    )


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _signed(value: float, decimals: int) -> str:
    """A difference with its sign, the minus as on the axes of figures; none where it is rounded to 0."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def _values(values: Sequence[float]) -> str:
    return _list([f"{value:.3f}" for value in values])


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
