"""Evaluation texts: where they come from and what names them."""

import hashlib
from pathlib import Path

import pytest

from saturation import texts
from saturation.errors import TextError, UnknownNameError


def test_a_text_is_named_by_the_hash_of_its_bytes(tmp_path: Path) -> None:
    for name, content in (("a.txt", "naïve\r\ntext"), ("b.txt", "naïve\r\ntext"), ("c.txt", "naïve\ntext")):
        (tmp_path / name).write_bytes(content.encode())
    first, second, third = (texts.from_file(tmp_path / name) for name in ("a.txt", "b.txt", "c.txt"))
    assert first.text_id == "sha256:" + hashlib.sha256((tmp_path / "a.txt").read_bytes()).hexdigest()
    assert first.text_id == second.text_id != third.text_id
    assert (first.name, first.source, first.content) == ("a.txt", "file a.txt", "naïve\r\ntext")


def test_a_given_file_comes_before_every_default(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    assert texts.choose(str(tmp_path / "a.txt"), texts.LAB_LANGUAGE).content == "mine"


def test_a_file_may_have_the_name_of_a_bundled_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert texts.choose(texts.PYTHON_TOPICS, None).source.startswith("the language reference that Python 3.")
    Path(texts.PYTHON_TOPICS).write_text("mine")
    assert texts.choose(texts.PYTHON_TOPICS, None).content == "mine"


@pytest.mark.parametrize("name", texts.NAMED)
def test_bundled_texts_are_the_same_every_time(name: str) -> None:
    texts.named.cache_clear()
    first = texts.named(name)
    texts.named.cache_clear()
    assert texts.named(name) == first
    assert first.name == name


def test_the_labs_text_has_the_tokens_it_states() -> None:
    assert len(texts.choose(None, texts.LAB_LANGUAGE).content.split()) == texts.LAB_TOKENS


def test_python_s_own_reference_is_the_default() -> None:
    found = texts.choose(None, None)
    assert found.name == texts.PYTHON_TOPICS
    assert "The standard type hierarchy" in found.content


def test_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match=r"There is no text 'python-topic'; did you mean python-topics"):
        texts.named("python-topic")


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(TextError, match="a\\.txt is empty; give a text of at least two tokens"):
        texts.from_file(tmp_path / "a.txt")


def test_the_labs_long_text_is_another_one() -> None:
    """A million tokens of the same language that do not begin as its evaluation text does."""
    long, short = (texts.named(name).content for name in (texts.LONG_LAB_LANGUAGE, texts.LAB_LANGUAGE))
    assert len(long.split()) == texts.LONG_LAB_TOKENS == 1_000_000
    assert set(short.split()) <= set(long.split()) <= set(texts.lab_language().words)
    assert long.split()[:50] != short.split()[:50]
