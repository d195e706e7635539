"""The standard library as a corpus: what is in it, what is held out, and that it is the same every time."""

import hashlib
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from saturation.errors import InputError, TextError
from saturation.lab import python_text
from saturation.lab.corpus import corpus_of
from saturation.lab.python_text import PythonText, evaluation_text, library_files, training_files


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of forty small files beside things that are no part of it."""
    for number in range(40):
        (tmp_path / f"module{number:02d}.py").write_text(f"def function{number}(x):\n    return x + {number}\n" * 5)
    for apart in ("site-packages/a.py", "__pycache__/b.py", "_sysconfigdata__linux.py", "notes.txt"):
        (tmp_path / apart).parent.mkdir(exist_ok=True)
        (tmp_path / apart).write_text("not of the library")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    evaluation_text.cache_clear()
    yield tmp_path
    evaluation_text.cache_clear()


def test_the_library_is_what_python_brings_along(library: Path) -> None:
    assert [path.name for path in library_files()] == [f"module{number:02d}.py" for number in range(40)]


def test_a_python_without_its_source_is_told(library: Path) -> None:
    for path in library.glob("*.py"):
        path.unlink()
    with pytest.raises(TextError, match="without the source of its standard library"):
        library_files()


def test_held_out_files_are_never_trained_on(library: Path) -> None:
    trained, evaluated = "".join(training_files()), evaluation_text()
    held = [n for n in range(40) if f"function{n}(" in evaluated]
    assert held
    assert not [n for n in held if f"function{n}(" in trained]
    assert sorted([*held, *(n for n in range(40) if f"function{n}(" in trained)]) == list(range(40))


def test_no_long_file_rules_the_evaluation_text(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [n for n in range(40) if f"function{n}(" in evaluation_text()]
    (library / f"module{held[0]:02d}.py").write_text("x = 1\n" * 10_000)
    evaluation_text.cache_clear()
    assert evaluation_text().count("x = 1\n") * 6 <= python_text.EXCERPT
    monkeypatch.setattr(python_text, "EVALUATION", 10)
    evaluation_text.cache_clear()
    assert len([n for n in held if f"function{n}(" in evaluation_text()]) <= 1


def test_the_tokenizer_gives_the_text_back(library: Path) -> None:
    corpus = PythonText(300)
    files = list(training_files())
    ends = np.flatnonzero(corpus.tokens == 0)
    assert len(ends) == len(files)
    assert corpus.tokens.dtype == np.uint16
    for text, start, stop in zip(files, ends, [*ends[1:], len(corpus.tokens)], strict=True):
        assert corpus.tokenizer.decode(corpus.tokens[start + 1 : stop].tolist()) == text
    again = PythonText(300)
    assert again.tokenizer.to_str() == corpus.tokenizer.to_str()
    assert np.array_equal(again.tokens, corpus.tokens)
    assert int(corpus.tokens.max()) < 300


def test_samples_are_stretches_of_the_text(library: Path) -> None:
    corpus = PythonText(300)
    found = corpus.sample(50, 12, np.random.default_rng(0))
    assert found.shape == (50, 12)
    assert found.dtype == np.int64
    text = corpus.tokens.tobytes()
    assert all(row.astype(np.uint16).tobytes() in text for row in found)
    assert len({row.tobytes() for row in found}) > 40


def test_a_corpus_is_named_by_its_bytes(library: Path) -> None:
    corpus = PythonText(300, training_tokens=1000)
    assert len(corpus.tokens) == 1000
    before = corpus.settings()
    assert before == {"kind": "python", "vocab_size": 300, "training_tokens": 1000, "content_id": corpus.content_id}
    digest = hashlib.sha256("".join(f"{len(text)} {text}" for text in training_files()).encode())
    assert corpus.content_id == f"sha256:{digest.hexdigest()}"
    trained = next(n for n in range(40) if f"function{n}(" not in evaluation_text())
    (library / f"module{trained:02d}.py").write_text("changed = True\n")
    assert PythonText(300, training_tokens=1000).settings() != before
    assert corpus_of({"kind": "python", "vocab_size": 300, "training_tokens": 1000}) == corpus


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vocab_size": 256}, "vocab_size is 256"),
        ({"vocab_size": 70_000}, "257 to 65536"),
        ({"training_tokens": 5}, "5"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        PythonText(**settings)


def test_pythons_own_library_is_there() -> None:
    names = {path.relative_to(sysconfig.get_path("stdlib")).as_posix() for path in library_files()}
    assert {"json/decoder.py", "argparse.py", "pydoc_data/topics.py"} <= names
    assert 100_000 < len(evaluation_text()) < 250_000
