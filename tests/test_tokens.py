"""Tokens as words that a reader can tell apart, for the ways in which tokenizers write them."""

from pathlib import Path

import pytest
import tiny
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from saturation.checkpoints.tokens import Tokens, tokenize


def saved(folder: Path, backend: Tokenizer) -> Path:
    backend.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.fixture
def byte_level(tmp_path: Path) -> Tokens:
    """As GPT-2 and Pythia write tokens: each letter stands for a byte, Ġ for a space, Ċ for a line end."""
    words = ["a", "Ġthe", "Ċ", "ĉ", "Ã©", "âĤ", "Ġâ", "Ġ", "\\", "\\n", "ĠĠ", "Â\u0143", "Ãģ"]
    backend = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return tokenize(saved(tmp_path, backend), "aa")


def test_byte_level_tokens(byte_level: Tokens) -> None:
    assert byte_level.words(range(13)) == [
        "a",
        "␣the",
        "\\n",
        "\\t",
        "é",
        "\\xe2\\x82",
        "␣\\xe2",
        "␣",
        "\\\\",
        "\\\\n",
        "␣␣",
        "\\xad",
        "Á",
    ]


def test_pieces_keep_their_space(tmp_path: Path) -> None:
    """As Llama writes tokens; decoding a piece by itself would lose its space."""
    words = {"<unk>": 0, "▁the": 1, "the": 2, "▁": 3, "<0x0A>": 4, "▁▁": 5, "<0xE2>": 6}
    backend = Tokenizer(models.BPE(words, [], unk_token="<unk>", byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokens = tokenize(saved(tmp_path, backend), "\n")
    assert tokens.words(range(7)) == ["<unk>", "␣the", "the", "␣", "\\n", "␣␣", "<0xE2>"]


def test_whole_words_and_rows_without_one(tmp_path: Path) -> None:
    tiny.save_tokenizer(tmp_path)
    tokens = tokenize(tmp_path, "word3 wörd10")
    assert tokens.words([0, 3, 10, 64, 65, 50_300]) == ["<eot>", "word3", "wörd10", "word64", "<id 65>", "<id 50300>"]


def test_the_vocabulary_is_told_by_its_words_and_their_ids(tmp_path: Path) -> None:
    hashes = []
    for place, words in enumerate((["a", "b"], ["a", "b"], ["b", "a"], ["a", "c"])):
        folder = tmp_path / str(place)
        folder.mkdir()
        backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="a"))
        hashes.append(tokenize(saved(folder, backend), "a").vocabulary)
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
