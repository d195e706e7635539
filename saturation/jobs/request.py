"""What is asked of a checkpoint. Imports no torch, so that the dashboard can make requests."""

from dataclasses import dataclass
from pathlib import Path

from saturation.errors import InputError
from saturation.families.registry import unknown

# A version counts up whenever a measure's definition or numbers change; older values are kept but not drawn.
VERSIONS = {"spectrum": 1, "anisotropy": 1, "loss": 1, "alignment": 1}
MEASURES = tuple(VERSIONS)
# Measures of their own command, `heads`: they are no part of what `measure` and `sweep` are asked for.
HEAD_VERSIONS = {"truncated_heads": 1, "trained_head": 1}
# What pages call them, and the measure that shows that they are there.
HEADS = ("truncated heads", "trained heads")
# Those that read the head alone, and those that run a text through the model.
HEAD_MEASURES = ("spectrum", "alignment")
PASS_MEASURES = ("anisotropy", "loss")


@dataclass(frozen=True)
class Request:
    """Measures, and the settings that their values depend on.

    text: a file or the name of a bundled text; None for the family's own. max_tokens: score only the first ones.
    context_length: shorter windows than the model's own. head_tensor: for weight files whose head has another name.
    keep: leave a model that was downloaded for a text measure in the hub's cache.
    """

    measures: tuple[str, ...] = MEASURES
    text: str | None = None
    max_tokens: int | None = None
    context_length: int | None = None
    dtype: str = "float32"
    device: str = "auto"
    head_tensor: str | None = None
    tokenizer: Path | None = None
    keep: bool = False

    def __post_init__(self) -> None:
        for measure in self.measures:
            if measure not in VERSIONS:
                raise unknown("measure", measure, list(VERSIONS))
        if not self.measures:
            raise InputError(f"No measure was named; choose among {', '.join(VERSIONS)}.")
        if self.max_tokens is not None and self.max_tokens < 2:
            raise InputError(f"--max-tokens is {self.max_tokens}; at least two tokens are needed.")
        if self.context_length is not None and self.context_length < 1:
            raise InputError(f"--context-length is {self.context_length}; it must be at least 1.")

    @property
    def needs_pass(self) -> bool:
        return any(measure in PASS_MEASURES for measure in self.measures)
