"""What a family, a model and a checkpoint are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Model:
    """One size or run of a family. Parameters count every weight once; None where it is not known beforehand.

    repository: on the hub; None for models that are trained here. aliases: other names that the repository has or had.
    peak_learning_rate: where it is published. text: the evaluation text of this model, where its family has several.
    """

    name: str
    repository: str | None = None
    parameters: int | None = None
    hidden_size: int | None = None
    layers: int | None = None
    vocab_size: int | None = None
    peak_learning_rate: float | None = None
    tokens_per_step: int | None = None
    text: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """Models that belong together, with the source of what is stated about them.

    text: name of the evaluation text used when none is given.
    tokens_per_step: batch size in tokens, where it is constant; a model's own value wins.
    revision_patterns: how branches and tags name a step; a family without one has a single checkpoint, `main`.
    main_step: the step of `main`, where it is a checkpoint that no branch names.
    step_unit: what a step counts, where it is not an optimizer step.
    faults: what users report to be wrong with the published checkpoints.
    groups: models that are to be compared with each other, by title, in the order to show; a model may be in several.
    """

    name: str
    title: str
    description: str
    source: str
    text: str | None = None
    tokens_per_step: int | None = None
    revision_patterns: tuple[str, ...] = ()
    main_step: int | None = None
    step_unit: str = "step"
    faults: tuple[str, ...] = ()
    models: Mapping[str, Model] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def text_of(self, model: str) -> str | None:
        """Name of the evaluation text of a model when none is given."""
        stated = self.models.get(model)
        return (stated.text if stated else None) or self.text


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights of a model at one training step, and where it lies.

    step is None where the name of the weights tells none. source is a repository or a
    place on this machine; revision is the branch or tag of a repository, commit what it pointed at.
    """

    family: str
    model: str
    step: int | None
    source: str
    revision: str | None = None
    commit: str | None = None
    path: Path | None = None

    @property
    def name(self) -> str:
        """`family/model@step`."""
        return f"{self.family}/{self.model}" + ("" if self.step is None else f"@{self.step}")
