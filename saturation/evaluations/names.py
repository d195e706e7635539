"""Which checkpoint a result file is of: by the harness's configuration, the file's name and its folder's name.

What one of them states stands where the others are silent; where two state different things, neither is believed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from saturation.errors import InputError
from saturation.families import registry, steps
from saturation.families.model import Family
from saturation.families.registry import HUB, LOCAL

LAB = "lab"
ADAPTERS = ("peft", "delta")
ASK = "give the model (--model family/model)"

_COMMON = steps.COMMON_PATTERNS[0]
_STEP = re.compile(rf"(?<![a-z0-9]){_COMMON}(?!\.?\d|[a-z])", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")
# Parts of a file's name that tell neither model nor step: times, and words of the harness.
_NOISE = re.compile(
    r"\d{4}-\d\d-\d\dT[\d.-]+|\d\d-\d\d-\d{4}-\d\d-\d\d-\d\d|eval[-_]?results|results|zero[-_]?shot|\d+[-_]?shots?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Subject:
    """The checkpoint that was evaluated. step: None for a model that has a single one, `main`."""

    family: str
    model: str
    step: int | None


@dataclass(frozen=True)
class Evidence:
    """What tells of a checkpoint: the harness's model arguments, the names of the file and its folder ('' if unknown).

    place: finds a path on this machine: name of its run and step (None where the folder tells none), or None.
    """

    args: Mapping[str, str]
    file: str
    folder: str
    place: Callable[[str], tuple[str, int | None] | None]

    @property
    def source(self) -> str | None:
        """The repository or path that was evaluated."""
        return next((self.args[key] for key in ("pretrained", "model", "path") if self.args.get(key)), None)

    @property
    def stem(self) -> str:
        return re.sub(r"\.json$", "", self.file, flags=re.IGNORECASE)


def subject(evidence: Evidence, model: str | None = None) -> Subject:
    """The checkpoint that a result file is of.

    model: `family/model`, where the reader states it: then only the step is looked for.
    Raises InputError, a sentence about "it", where nothing tells the model or the step, or two tell different ones.
    """
    if model is not None:
        family, name = model_named(model)
    elif evidence.source is not None:
        family, name = _configured(evidence, evidence.source)
        _compare(evidence, evidence.source, family, name)
    else:
        family, name = _by_names(evidence)
    return Subject(family, name, _step(evidence, registry.family(family), name, trust_names=model is not None))


def model_named(text: str) -> tuple[str, str]:
    """Family and model of `family/model`, or of a repository that a family lists. Raises InputError."""
    known = _repositories().get(text.lower())
    if known:
        return known
    family, _, model = text.partition("/")
    if not model:
        raise InputError(f"'{text}' names no model; write family/model.")
    listed = registry.family(family).models
    if model not in listed and family not in (HUB, LOCAL, LAB):
        raise registry.unknown("model", model, list(listed), f" in {family}")
    return family, model


@cache
def _repositories() -> dict[str, tuple[str, str]]:
    """Every repository that a family lists, under all its names, in small letters."""
    return {
        repository.lower(): (family.name, model.name)
        for family in registry.families().values()
        for model in family.models.values()
        for repository in (model.repository, *model.aliases)
        if repository
    }


@cache
def _written() -> dict[str, tuple[str, str]]:
    """How files and folders are named after a model; a name that two models share tells nothing."""
    found: dict[str, set[tuple[str, str]]] = {}
    for repository, model in _repositories().items():
        for name in (repository, repository.rpartition("/")[2]):
            found.setdefault(_plain(name), set()).add(model)
    for family in registry.families().values():
        for name in family.models:
            found.setdefault(_plain(f"{family.name}-{name}"), set()).add((family.name, name))
    return {name: next(iter(models)) for name, models in found.items() if len(models) == 1}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def _bare(name: str) -> str:
    """A name without its step and what else tells no model."""
    return _plain(_STEP.sub("", _NOISE.sub("", name)))


def _configured(evidence: Evidence, source: str) -> tuple[str, str]:
    """Family and model by the harness's own configuration."""
    adapter = next((key for key in ADAPTERS if evidence.args.get(key, "").lower() not in ("", "none", "false")), None)
    if adapter:
        raise InputError(f"It was evaluated with an adapter ({adapter}), so it is not of {source} alone; {ASK}.")
    known = _repositories().get(source.lower())
    if known:
        return known
    found = evidence.place(source)
    if found:
        return LOCAL, found[0]
    if _REPOSITORY.fullmatch(source) and not re.fullmatch(_COMMON, source.rpartition("/")[2]):
        return HUB, source.replace("/", "--")
    raise InputError(f"It names its model '{source}', which is neither organisation/name nor a full path; {ASK}.")


def _compare(evidence: Evidence, source: str, family: str, model: str) -> None:
    """Raise InputError where a name states another model than the configuration. A local run may be called anything."""
    if family == LOCAL:
        return
    bare = _bare(evidence.stem)
    listed = bare if bare in registry.family(family).models else None
    stated = {
        evidence.file: (family, listed) if listed else _written().get(bare),
        evidence.folder: _written().get(_bare(evidence.folder)),
    }
    for name, other in stated.items():
        if other and other != (family, model):
            raise InputError(
                f"'{name}' says that it is of {'/'.join(other)}, but it evaluated {source} ({family}/{model}); "
                f"rename it, or {ASK}."
            )


def _by_names(evidence: Evidence) -> tuple[str, str]:
    named = (_written().get(_bare(name)) for name in (evidence.stem, evidence.folder))
    found = list(dict.fromkeys(model for model in named if model))
    if not found:
        raise InputError(f"Neither its configuration nor its name tells the model; {ASK}.")
    if len(found) > 1:
        one, other = ("/".join(model) for model in found)
        raise InputError(f"Its name says {one}, but its folder '{evidence.folder}' says {other}; {ASK}.")
    return found[0]


def _step(evidence: Evidence, family: Family, model: str, trust_names: bool) -> int | None:
    """The step that everything which states one agrees on; else the family's `main`."""
    name = f"{family.name}/{model}"
    revision = evidence.args.get("revision", "") if family.name != LOCAL else ""
    parsed = steps.parse(revision, steps.COMMON_PATTERNS if family.name == HUB else family.revision_patterns)
    stated = [*_of_configuration(evidence, parsed[0] if parsed else None), *_of_names(evidence)]
    told = revision in ("", steps.MAIN) or parsed or _COMMIT.fullmatch(revision) or not _many(family, revision)
    if not told and not (trust_names and stated):
        raise InputError(
            f"Its revision '{revision}' is no step of {name}; {ASK} and put the step into the file's name."
        )
    for where, step in stated[1:]:
        if step != stated[0][1]:
            first = stated[0][0][0].lower() + stated[0][0][1:]
            raise InputError(f"{where} says step {step}, but {first} says step {stated[0][1]}; rename it.")
    if stated:
        return stated[0][1]
    if _many(family, ""):
        if family.main_step is not None and revision in ("", steps.MAIN):
            return family.main_step
        raise InputError(
            f"Nothing tells which step of {name} it is of; put it into the file's name, like results_step1000.json."
        )
    return None


def _many(family: Family, revision: str) -> bool:
    """Whether a model of the family has more checkpoints than one; of any other repository its revision tells."""
    return bool(family.revision_patterns) or family.name == LAB or (family.name == HUB and bool(revision))


def _of_configuration(evidence: Evidence, parsed: int | None) -> Iterator[tuple[str, int]]:
    source = evidence.source or ""
    found = [parsed, *(int(digits) for digits in _STEP.findall(evidence.args.get("subfolder", "")))]
    if source.lower() not in _repositories():
        folder = re.fullmatch(_COMMON, source.rstrip("/").rpartition("/")[2])
        place = evidence.place(source)
        found += [int(folder["step"]) if folder else None, place[1] if place else None]
    yield from (("Its configuration", step) for step in found if step is not None)


def _of_names(evidence: Evidence) -> Iterator[tuple[str, int]]:
    source = evidence.source or ""
    # The harness names a folder after its model; a step in the name of a repository is no step of it.
    repository = re.sub(r'["<>:/|\\?*\[\]]+', "__", source) if _REPOSITORY.fullmatch(source) else ""
    for where, name in (("Its name", evidence.stem), (f"Its folder '{evidence.folder}'", evidence.folder)):
        kept = name.replace(repository, "") if repository else name
        yield from ((where, int(digits)) for digits in _STEP.findall(kept))
