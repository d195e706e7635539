"""Evaluation texts: a file, or one that every installation has. A text is named by the hash of its bytes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from saturation.errors import TextError
from saturation.families.registry import unknown

if TYPE_CHECKING:
    from saturation.lab.language import Language

LAB_TOKENS = 50_000
LAB_SEED = 20240411
# Long enough that a head trained on most of it does not learn it by heart.
LONG_LAB_TOKENS = 1_000_000
LONG_LAB_SEED = 20240412
PYTHON_TOPICS = "python-topics"
LAB_LANGUAGE = "lab-language"
LONG_LAB_LANGUAGE = "lab-language-long"
LAB_TAIL = "lab-language-tail"
LAB_PYTHON = "lab-python"
# The lab's texts in a synthetic language, and a run that is trained on it.
LANGUAGES = {LAB_LANGUAGE: "w8", LONG_LAB_LANGUAGE: "w8", LAB_TAIL: "w16-tail"}


@dataclass(frozen=True)
class Text:
    """A text: the name shown to the reader, its content, and where it came from in words."""

    name: str
    content: str
    source: str

    @cached_property
    def text_id(self) -> str:
        """`sha256:` and the hash of the UTF-8 bytes: equal texts have equal ids, whatever their names."""
        return "sha256:" + hashlib.sha256(self.content.encode()).hexdigest()


def from_file(path: Path) -> Text:
    """The text of a UTF-8 file. Raises TextError for a missing, empty or undecodable file."""
    try:
        if not path.is_file():
            raise TextError(f"There is no text file {path}; check the path.")
        content = path.read_bytes().decode("utf-8")  # not read_text, which would turn \r\n into \n
    except UnicodeDecodeError as error:
        raise TextError(f"{path} is not UTF-8 text (byte {error.start}); convert it to UTF-8.") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    if not content.strip():
        raise TextError(f"{path} is empty; give a text of at least two tokens.")
    return Text(path.name, content, f"file {path.name}")


def _python_topics() -> Text:
    from platform import python_version
    from pydoc_data.topics import topics

    content = "\n\n".join(topics[key] for key in sorted(topics))
    return Text(PYTHON_TOPICS, content, f"the language reference that Python {python_version()} carries for help()")


def lab_language(name: str = LAB_LANGUAGE) -> "Language":
    """The synthetic language of one of `LANGUAGES`."""
    from saturation.lab.config import RunConfig
    from saturation.lab.language import Language

    corpus = RunConfig.from_name(LANGUAGES[name]).corpus
    assert isinstance(corpus, Language)
    return corpus


def language_of(text_id: str, name: str) -> "Language | None":
    """The language that a text was drawn from, where that is known exactly: for the lab's own texts, unchanged."""
    return lab_language(name) if name in LANGUAGES and named(name).text_id == text_id else None


def _of_the_lab(name: str, tokens: int, seed: int) -> Text:
    content = lab_language(name).text(tokens, seed)
    tail = " with a tail of rare words" if name == LAB_TAIL else ""
    return Text(name, content, f"{tokens} tokens of the lab's synthetic language{tail}, seed {seed}")


def _lab_python() -> Text:
    from platform import python_version

    from saturation.lab.python_text import evaluation_text

    held_out = "files of its standard library that no lab run is trained on"
    return Text(LAB_PYTHON, evaluation_text(), f"Python {python_version()}: {held_out}")


NAMED: dict[str, Callable[[], Text]] = {
    LAB_LANGUAGE: lambda: _of_the_lab(LAB_LANGUAGE, LAB_TOKENS, LAB_SEED),
    LONG_LAB_LANGUAGE: lambda: _of_the_lab(LONG_LAB_LANGUAGE, LONG_LAB_TOKENS, LONG_LAB_SEED),
    LAB_TAIL: lambda: _of_the_lab(LAB_TAIL, LAB_TOKENS, LAB_SEED),
    LAB_PYTHON: _lab_python,
    PYTHON_TOPICS: _python_topics,
}


@cache
def named(name: str) -> Text:
    """A text that comes with the installation. Raises UnknownNameError."""
    if name not in NAMED:
        raise unknown("text", name, list(NAMED))
    return NAMED[name]()


def choose(text: str | None, default: str | None) -> Text:
    """The text that a user gave (a file, or the name of a bundled text), else the default, else Python's reference."""
    if text is None:
        return named(default or PYTHON_TOPICS)
    return named(text) if text in NAMED and not Path(text).exists() else from_file(Path(text).expanduser())
