"""Tokenizers for corpora: each way of naming one, and that nothing is added to the text."""

import json
from pathlib import Path

import pytest
from hub_checkpoints import serving

from saturation.corpora.corpus import Corpus, open_corpus
from saturation.corpora.tokenizers import open_tokenizer
from saturation.errors import InputError, TextError
from saturation.settings import ROOT

DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not (DATA / "tokenizers").is_dir(), reason="the real tokenizers are not here")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    (tmp_path / "corpus.txt").write_text("low lower lowest low low newer newest wide wider " * 40)
    return open_corpus(str(tmp_path / "corpus.txt"))


def word_level(path: Path, words: dict[str, int], special: bool = False) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel(words, unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", words["<s>"])]
        )
        tokenizer.enable_truncation(3)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return path


def test_a_tokenizer_file_adds_and_cuts_nothing(tmp_path: Path, corpus: Corpus) -> None:
    path = word_level(tmp_path / "words" / "tokenizer.json", {"<s>": 0, "a": 1, "b": 7}, special=True)
    for given in (str(path), str(path.parent)):
        found = open_tokenizer(given, corpus, tmp_path)
        assert [ids.tolist() for ids in found.encode(["a b a b a", "", "b"])] == [[1, 7, 1, 7, 1], [], [7]]
        assert found.vocabulary == 8  # the ids have a gap, and all lie below it
    assert open_tokenizer(str(path), corpus, tmp_path).name == "tokenizer.json"
    assert open_tokenizer(str(path.parent), corpus, tmp_path).name == "words"


def test_a_word_that_a_tokenizer_does_not_know_is_told(tmp_path: Path, corpus: Corpus) -> None:
    path = word_level(tmp_path / "tokenizer.json", {"a": 0})
    with pytest.raises(TextError, match=r"tokenizer\.json cannot encode this corpus"):
        open_tokenizer(str(path), corpus, tmp_path).encode(["a b"])


def test_bpe_is_trained_on_the_corpus_and_kept(tmp_path: Path, corpus: Corpus) -> None:
    small, large = (open_tokenizer(f"bpe:{size}", corpus, tmp_path / "cache") for size in (258, 270))
    assert (small.vocabulary, large.vocabulary) == (258, 270)
    assert small.name == "bpe:258 of corpus.txt"
    text = corpus.files[0].path.read_text()
    # Two merges: " l" or "lo" first, the most frequent pair, then one on top of it.
    lengths = [len(tokenizer.encode([text])[0]) for tokenizer in (small, large)]
    assert lengths[1] < lengths[0] < len(text)
    kept = sorted((tmp_path / "cache" / "corpora" / "tokenizers").iterdir())
    assert len(kept) == 2
    again = open_tokenizer("bpe:258", corpus, tmp_path / "cache")
    assert again.tokenizer_id == small.tokenizer_id != large.tokenizer_id
    fresh = open_tokenizer("bpe:258", corpus, tmp_path / "other")
    assert fresh.tokenizer_id == small.tokenizer_id


def test_bytes_come_back_from_bpe(tmp_path: Path, corpus: Corpus) -> None:
    from tokenizers import Tokenizer, decoders

    found = open_tokenizer("bpe:260", corpus, tmp_path)
    raw = Tokenizer.from_file(str(next((tmp_path / "corpora" / "tokenizers").iterdir())))
    raw.decoder = decoders.ByteLevel()
    text = "Ünknown 日本 letters\r\n"
    assert raw.decode(found.encode([text])[0].tolist()) == text


def test_vocabulary_and_merges_make_a_byte_level_bpe(tmp_path: Path, corpus: Corpus) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab": 2, "Ġ": 3}))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    found = open_tokenizer(str(folder), corpus, tmp_path)
    assert found.encode(["ab ba"])[0].tolist() == [2, 3, 1, 0]
    assert found.vocabulary == 4


def test_a_tokenizer_of_the_hub(tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    path = word_level(tmp_path / "repo" / "tokenizer.json", {"a": 0, "b": 1})
    with serving(monkeypatch, tmp_path / "home") as hub:
        hub.add("org/model", {"main": path.parent, "step1": path.parent})
        for given in ("org/model", "org/model@step1"):
            found = open_tokenizer(given, corpus, tmp_path / "kept")
            assert (found.name, found.vocabulary) == ("org/model", 2)
        assert found.tokenizer_id == open_tokenizer(str(path), corpus, tmp_path).tokenizer_id


def test_what_is_no_tokenizer_is_refused(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "bad.model").write_bytes(b"nothing")
    (tmp_path / "folder").mkdir()
    for given, message in (
        (str(tmp_path / "none.json"), "There is no tokenizer"),
        ("nonsense", "There is no tokenizer nonsense"),
        (str(tmp_path / "bad.json"), "bad.json is no tokenizer.json"),
        (str(tmp_path / "bad.model"), "bad.model is no SentencePiece model"),
        (str(tmp_path / "folder"), "holds no tokenizer.json"),
        ("bpe:100", "write bpe:SIZE with 257 to 1,000,000"),
        ("bpe:many", "is no size of a vocabulary"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            open_tokenizer(given, corpus, tmp_path)
        assert "\n" not in str(caught.value)


@needs_data
def test_sentencepiece_agrees_with_the_package_itself(tmp_path: Path, corpus: Corpus) -> None:
    import sentencepiece

    path = DATA / "tokenizers" / "llama2.model"
    found = open_tokenizer(str(path), corpus, tmp_path)
    plain = sentencepiece.SentencePieceProcessor(model_file=str(path))
    text = "The quick brown fox = jumps \n over 日本 <s> it"
    assert found.encode([text, "a"])[0].tolist() == plain.encode(text)
    assert (found.vocabulary, found.name) == (32_000, "llama2.model")


@needs_data
def test_the_pythia_tokenizer_reads_real_text(tmp_path: Path, corpus: Corpus) -> None:
    from tokenizers import Tokenizer

    path = DATA / "tokenizers" / "pythia.json"
    found = open_tokenizer(str(path), corpus, tmp_path)
    text = (DATA / "text" / "wikitext2-valid.txt").read_text()[:20_000]
    ids = found.encode([text])[0]
    assert found.vocabulary == 50_277
    assert Tokenizer.from_file(str(path)).decode(ids.tolist(), skip_special_tokens=False) == text
