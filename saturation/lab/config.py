"""The settings of the lab's runs: frozen dataclasses, read from `runs.toml`."""

import difflib
import math
import tomllib
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from saturation.errors import InputError, UnknownNameError
from saturation.lab.language import Language

SCHEDULES = ("constant", "cosine")
CHECKPOINT_EVERY = 1000  # steps; Pythia's spacing: 0, 1, 2, 4 ... 512, then every 1000 (Biderman et al. 2023)
COSINE_END = 0.1  # Pythia decays to a tenth of the peak


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides the weights of a run. `heads`, `layers`, ... as in GPT-NeoX."""

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
    extra_steps: tuple[int, ...] = ()
    language: Language = field(default_factory=Language)

    def __post_init__(self) -> None:
        for name in ("hidden_size", "layers", "heads", "context_length", "batch", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, but it must be 1 or more.")
        for name in ("warmup", "seed", "weight_decay"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, but it must be 0 or more.")
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise InputError(
                f"hidden_size {self.hidden_size} does not split into {self.heads} heads of an even size,"
                " which rotary positions need."
            )
        if not 0.0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate is {self.learning_rate}, but it must be above 0.")
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule is {self.schedule!r}, but it must be one of {', '.join(SCHEDULES)}.")
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
        late = set(range(CHECKPOINT_EVERY, self.steps + 1, CHECKPOINT_EVERY))
        return tuple(sorted({step for step in early | late if step <= self.steps} | {*self.extra_steps, self.steps}))

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of update number `step` (1 is the first)."""
        if step < self.warmup:
            return self.learning_rate * step / self.warmup
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * (COSINE_END + (1 - COSINE_END) * 0.5 * (1 + math.cos(math.pi * done)))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values that survive a round trip through JSON, the language apart."""
        values = asdict(self)
        del values["language"]
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
    """The runs of a TOML text with `[language]`, `[defaults]` and one `[runs.NAME]` for each run."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The lab's runs cannot be read as TOML: {error}.") from error
    try:
        language = Language(**data.get("language", {}))
        runs = {}
        for name, values in data.get("runs", {}).items():
            settings = {**data.get("defaults", {}), **values}
            listed = {key: tuple(value) for key, value in settings.items() if isinstance(value, list)}
            runs[name] = RunConfig(name=name, language=language, **{**settings, **listed})
    except TypeError as error:  # an unknown or a missing setting
        raise InputError(f"The lab's runs hold a wrong setting: {error}.") from error
    return runs


@cache
def bundled_runs() -> dict[str, RunConfig]:
    """The runs of `runs.toml`, by name."""
    return parse_runs(resources.files("saturation.lab").joinpath("runs.toml").read_text(encoding="utf-8"))
