"""The settings of the lab's runs: frozen dataclasses, read from `runs.toml`."""

import difflib
import math
import tomllib
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import resources
from typing import Any

from saturation.errors import InputError, UnknownNameError
from saturation.lab.corpus import corpus_of
from saturation.lab.language import Language
from saturation.lab.python_text import PythonText

SCHEDULES = ("constant", "cosine", "wsd")
CHECKPOINT_EVERY = 1000  # steps; Pythia's spacing: 0, 1, 2, 4 ... 512, then every 1000 (Biderman et al. 2023)
LAST_RATE = 0.1  # Pythia decays to a tenth of the peak
STABLE = 0.7  # share of the steps after which "wsd" (warmup, stable, decay) lets the rate fall
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides the weights of a run. `heads`, `layers`, ... as in GPT-NeoX.

    precision: the format that matrix products, norms and residual sums are rounded to; weight_dtype: the format
    that weights are kept in between updates; loss_scale: a fixed one for float16, None for Pythia's dynamic one.
    The rest are interventions on the head: tied to the embedding; its row mean removed after each update; a mixture of
    `softmaxes` (Yang et al. 2018, arXiv 1711.03953); a penalty on the mean cosine between its rows (Gao et al. 2019,
    arXiv 1907.12009); one second moment of Adam for the whole vocabulary (Coupled Adam, arXiv 2502.08441); a weight
    decay of its own.
    """

    name: str
    hidden_size: int
    layers: int = 3
    heads: int = 1
    context_length: int = 32
    batch: int = 32  # sequences a step
    steps: int = 30000
    learning_rate: float = 3e-3  # the peak
    schedule: str = "constant"
    warmup: int = 200  # steps
    weight_decay: float = 0.01  # of matrices; biases and norms have none
    betas: tuple[float, float] = (0.9, 0.95)
    initializer_range: float = 0.02
    seed: int = 0
    checkpoint_every: int = CHECKPOINT_EVERY
    extra_steps: tuple[int, ...] = ()
    precision: str = "float32"
    weight_dtype: str = "float32"
    loss_scale: float | None = None
    tied: bool = False
    centred_head: bool = False
    softmaxes: int = 1
    cosine_penalty: float = 0.0
    coupled_adam: bool = False
    head_weight_decay: float | None = None
    corpus: Language | PythonText = field(default_factory=Language)
    text: str = "lab-language"  # the evaluation text; it decides no weight

    def __post_init__(self) -> None:
        for name in (
            "hidden_size",
            "layers",
            "heads",
            "context_length",
            "batch",
            "steps",
            "softmaxes",
            "checkpoint_every",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, but it must be 1 or more.")
        for name in ("warmup", "seed", "weight_decay", "cosine_penalty", "head_weight_decay"):
            if (getattr(self, name) or 0) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, but it must be 0 or more.")
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise InputError(
                f"hidden_size {self.hidden_size} does not split into {self.heads} heads of an even size,"
                " which rotary positions need."
            )
        if not 0.0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate is {self.learning_rate}, but it must be above 0.")
        for name, choices in (("schedule", SCHEDULES), ("precision", PRECISIONS), ("weight_dtype", PRECISIONS)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} is {getattr(self, name)!r}, but it must be one of {', '.join(choices)}.")
        if self.loss_scale is not None and (self.precision != "float16" or self.loss_scale <= 0):
            raise InputError(f"loss_scale is {self.loss_scale}, but it is a number above 0, and for float16 only.")
        if self.softmaxes > 1 and self.precision != "float32":
            raise InputError("A mixture of softmaxes is trained in float32 only.")
        if any(not 0 <= step <= self.steps for step in self.extra_steps):
            raise InputError(f"extra_steps must lie between 0 and steps ({self.steps}): {list(self.extra_steps)}.")

    @property
    def intermediate_size(self) -> int:
        """The width of the feed-forward layers: four times the hidden size."""
        return 4 * self.hidden_size

    @property
    def tokens_per_step(self) -> int:
        """Tokens scored in one training step."""
        return self.batch * self.context_length

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps that are saved, ascending: Pythia's, `extra_steps` and the last."""
        early = {0} | {2**power for power in range(10)}
        late = set(range(self.checkpoint_every, self.steps + 1, self.checkpoint_every))
        return tuple(sorted({step for step in early | late if step <= self.steps} | {*self.extra_steps, self.steps}))

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of update number `step` (1 is the first)."""
        if step < self.warmup:
            return self.learning_rate * step / self.warmup
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "wsd":
            done = (step - STABLE * self.steps) / ((1 - STABLE) * self.steps)
            return self.learning_rate * (1 - (1 - LAST_RATE) * min(max(done, 0.0), 1.0))
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values that survive a round trip through JSON, corpus and text apart."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("corpus", "text")}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @classmethod
    def from_name(cls, name: str) -> "RunConfig":
        """The bundled run called `name`; `UnknownNameError` names the close matches."""
        runs = bundled_runs()
        if name not in runs:
            close = difflib.get_close_matches(name, runs, cutoff=0.4) or list(runs)
            raise UnknownNameError(f"There is no lab run called {name!r}; did you mean {' or '.join(close)}?")
        return runs[name]


def parse_runs(text: str) -> dict[str, RunConfig]:
    """The runs of a TOML text: `[corpora.NAME]`, `[defaults]`, and one `[runs.NAME]` for each run.

    A corpus names its kind and evaluation text beside its settings; runs of the same corpus share it.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The lab's runs cannot be read as TOML: {error}.") from error
    texts = {name: values.pop("text", None) for name, values in data.get("corpora", {}).items()}
    corpora = {name: corpus_of(values) for name, values in data.get("corpora", {}).items()}
    runs = {}
    for name, values in data.get("runs", {}).items():
        settings = {**data.get("defaults", {}), **values}
        chosen = settings.pop("corpus", None)
        if chosen not in corpora:
            raise InputError(f"The lab's run {name} names the corpus {chosen!r}, which the file does not hold.")
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
        }
        given |= {"text": texts[chosen]} if texts[chosen] else {}
        try:
            runs[name] = RunConfig(name=name, corpus=corpora[chosen], **given)
        except TypeError as error:  # an unknown or a missing setting
            raise InputError(f"The lab's run {name} holds a wrong setting: {error}.") from error
    return runs


@cache
def bundled_runs() -> dict[str, RunConfig]:
    """The runs of `runs.toml`, by name."""
    return parse_runs(resources.files("saturation.lab").joinpath("runs.toml").read_text(encoding="utf-8"))
