"""From a corpus to a stored curve: tokens kept and gone on with, counts by parts, the store, the command line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import saturation

from saturation.corpora.corpus import Corpus, open_corpus
from saturation.corpora.tokenizers import Ids, open_tokenizer
from saturation.errors import InputError, TextError
from saturation.jobs.corpus_tokens import TokenStream, tokenized, tokens_folder
from saturation.jobs.ngram import NgramRequest, measure_ngram, rank_grid, run_job
from saturation.jobs.ngram_counts import count_stream
from saturation.measures.ngram import NgramMatrix, ngram_matrix
from saturation.settings import ROOT, Settings
from saturation.store import Store

DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not (DATA / "text").is_dir(), reason="the real text and tokenizers are not here")
WORDS = ("low", "lower", "newest", "wide", "a", "the")


def write_lines(path: Path, lines: int = 40, seed: int = 0) -> Path:
    """A .jsonl of short documents."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 30))) for _ in range(lines)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


class Letters:
    """A tokenizer of letters that counts what it encodes, and breaks off where it is told to."""

    def __init__(self, vocabulary: int = 128, stop_after: int | None = None) -> None:
        self.vocabulary, self.stop_after, self.seen = vocabulary, stop_after, 0
        self.name, self.tokenizer_id = "letters", f"letters {vocabulary}"

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        if self.stop_after is not None and self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(texts)
        return [np.array([ord(letter) for letter in text], dtype=np.uint32) for text in texts]


def letters(**how: Any) -> Any:
    return Letters(**how)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return open_corpus(str(write_lines(tmp_path / "corpus.jsonl")))


def texts_of(corpus: Corpus) -> list[str]:
    return [piece.text for piece in corpus.pieces()]


@pytest.mark.parametrize(("vocabulary", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_tokens_lie_document_after_document(tmp_path: Path, corpus: Corpus, vocabulary: int, dtype: type) -> None:
    stream = tokenized(tmp_path, corpus, letters(vocabulary=vocabulary))
    texts = texts_of(corpus)
    assert stream.ids.dtype == dtype
    assert "".join(map(chr, stream.ids)) == "".join(texts)
    assert stream.ends.tolist() == np.cumsum([len(text) for text in texts]).tolist()


def test_a_second_run_does_not_tokenize(tmp_path: Path, corpus: Corpus) -> None:
    one = tokenized(tmp_path, corpus, letters())
    idle = letters(stop_after=0)
    again = tokenized(tmp_path, corpus, idle)
    assert idle.seen == 0
    np.testing.assert_array_equal(one.ids, again.ids)
    np.testing.assert_array_equal(one.ends, again.ends)


def test_a_stopped_run_is_gone_on_with(tmp_path: Path, corpus: Corpus) -> None:
    whole = tokenized(tmp_path / "whole", corpus, letters())
    with pytest.raises(KeyboardInterrupt):
        tokenized(tmp_path, corpus, letters(stop_after=15), batch=200)
    # A process that is killed may leave more behind the last state than it vouched for.
    folder = tokens_folder(tmp_path, corpus, letters())
    done = json.loads((folder / "state.json").read_text())
    assert 15 <= done["pieces"] < 40
    with (folder / "ids.bin").open("ab") as ids, (folder / "ends.bin").open("ab") as ends:
        ids.write(b"\x07" * 33)
        ends.write(b"\x07" * 5)
    second = letters()
    stream = tokenized(tmp_path, corpus, second, batch=200)
    assert second.seen == 40 - done["pieces"]
    np.testing.assert_array_equal(stream.ids, whole.ids)
    np.testing.assert_array_equal(stream.ends, whole.ends)


def test_progress_ends_where_it_says(tmp_path: Path, corpus: Corpus) -> None:
    told: list[tuple[int, int, str]] = []
    tokenized(tmp_path, corpus, letters(), lambda *what: told.append(what), batch=200)
    done = [item[0] for item in told]
    assert done == sorted(done)
    assert {item[1] for item in told} == {corpus.size}
    assert done[-1] == corpus.size
    assert len(done) > 5


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(TextError, match=r"empty\.txt has no tokens"):
        tokenized(tmp_path, open_corpus(str(tmp_path / "empty.txt")), letters())


def gram_of(matrix: NgramMatrix) -> np.ndarray:
    return np.diag(matrix.diagonal) + (matrix.rows.T @ matrix.rows).toarray()


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("grams", [50, 333, 10_000])
def test_many_parts_give_the_same_matrix_as_one(tmp_path: Path, order: int, grams: int) -> None:
    random = np.random.default_rng(7)
    # Zipf: one context is far larger than a part may be.
    ids = np.minimum(random.zipf(1.5, 3000), 20).astype(np.uint16)
    ends = np.array([10, 10, 700, 702, 3000])
    whole = ngram_matrix(np.split(ids, ends[:-1]), order, 21)
    found = count_stream(TokenStream(ids, ends), order, 21, tmp_path, grams)
    assert found.contexts == whole.contexts
    np.testing.assert_allclose(gram_of(found), gram_of(whole), rtol=1e-12, atol=1e-12)
    assert list(tmp_path.iterdir()) == []


def test_a_curve_is_measured_stored_and_found_again(cache: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "corpus.jsonl")
    settings = Settings(cache, "local")
    request = NgramRequest(str(path), "bpe:262", order=3)
    first = measure_ngram(settings, request)
    curve = first.curve
    assert (first.computed, curve.method, curve.gram_order, curve.vocabulary) == (True, "exact", 3, 262)
    # The same from the documents themselves.
    corpus = open_corpus(str(path))
    tokenizer = open_tokenizer("bpe:262", corpus, cache)
    matrix = ngram_matrix(tokenizer.encode(texts_of(corpus)), 3, 262)
    squares = np.sort(np.linalg.eigvalsh(gram_of(matrix)).clip(0))[::-1]
    assert (curve.tokens, curve.contexts) == (sum(map(len, tokenizer.encode(texts_of(corpus)))), matrix.contexts)
    expected = [np.sqrt(squares[rank:].sum() / squares.sum()) for rank in curve.ranks]
    np.testing.assert_allclose(curve.w_error, expected, atol=2e-7)
    assert curve.w_error_low == curve.w_error == curve.w_error_high
    every = [np.sqrt(squares[rank:].sum() / squares.sum()) for rank in range(263)]
    assert curve.rank_at_half == min(range(263), key=lambda rank: abs(every[rank] - 0.5))
    assert curve.frobenius_norm == pytest.approx(np.sqrt(squares.sum()), rel=1e-12)
    assert curve.corpus_id == corpus.corpus_id
    again = measure_ngram(settings, request)
    assert (again.computed, again.curve) == (False, curve)
    assert Store(settings.store_path).ngram(curve.curve_id) == curve
    forced = measure_ngram(settings, request, force=True)
    assert (forced.computed, forced.curve.curve_id) == (True, curve.curve_id)
    assert forced.curve.measured_at > curve.measured_at
    assert forced.curve.w_error == curve.w_error
    assert measure_ngram(settings, NgramRequest(str(path), "bpe:262", order=2)).computed


def test_a_job_runs_from_its_options(cache: Path, tmp_path: Path) -> None:
    settings = Settings(cache, "local")
    files = [str(write_lines(tmp_path / f"{name}.jsonl", seed=seed)) for seed, name in enumerate("ab")]
    told: list[str] = []
    options = json.loads(json.dumps({"corpus": files, "tokenizer": "bpe:260", "order": 2, "method": "stochastic"}))
    run_job(settings, options, lambda done, total, what: told.append(what))
    assert [what for number, what in enumerate(told) if what not in told[:number]] == [
        "reading the corpus",
        "tokenizing a.jsonl and 1 more",
        "solving for eigenvalues",
    ]
    kept = measure_ngram(settings, NgramRequest(files, "bpe:260", 2, "stochastic"))
    assert (kept.computed, kept.curve.method, kept.curve.corpus) == (False, "stochastic", "a.jsonl and 1 more")


def test_wrong_options_are_refused(cache: Path, tmp_path: Path) -> None:
    settings = Settings(cache, "local")
    good = {"corpus": str(write_lines(tmp_path / "a.jsonl")), "tokenizer": "bpe:260"}
    for wrong, message in (
        ({"order": 0}, "order of the n-grams is 0"),
        ({"order": "5"}, "give a whole number"),
        ({"method": "fast"}, "no method 'fast'"),
        ({"width": 5}, "no option width"),
        ({"tokenizer": ""}, "names no tokenizer"),
    ):
        with pytest.raises(InputError, match=message):
            run_job(settings, good | wrong, lambda done, total, what: None)


def test_the_grid_of_ranks() -> None:
    ranks = rank_grid(50_277)
    assert ranks[:65] == list(range(65))
    assert ranks == sorted(set(ranks))
    assert 550 <= len(ranks) <= 620
    assert {128, 384, 576, 768, 1024, 2560, 8192, 50_277} <= set(ranks)
    assert rank_grid(5) == [0, 1, 2, 3, 4, 5]


class TestCommand:
    KEYS = (
        {"tokens", "contexts", "vocabulary", "tokens_seen", "frobenius_norm", "rank_at_half", "method", "corpus"}
        | {"tokenizer", "order", "seconds", "w_error", "w_error_low", "w_error_high"}
    )  # fmt: skip

    def test_json(self, cache: Path, tmp_path: Path) -> None:
        path = write_lines(tmp_path / "corpus.jsonl")
        found = saturation("ngram", path, "--tokenizer", "bpe:262", "--order", 2, "--json").json
        assert set(found) == self.KEYS
        assert (found["order"], found["method"], found["corpus"]) == (2, "exact", "corpus.jsonl")
        assert found["w_error"][0] == [0, 1.0]
        assert found["w_error"][-1][0] == found["vocabulary"] == 262
        assert found["w_error"][-1][1] == 0.0
        assert saturation("ngram", path, "--tokenizer", "bpe:262", "--order", 2, "--json").json == found

    def test_text_names_what_was_skipped(self, cache: Path, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        write_lines(tmp_path / "folder" / "a.jsonl")
        (tmp_path / "folder" / "b.png").write_bytes(b"")
        found = saturation("ngram", tmp_path / "folder", "--tokenizer", "bpe:262")
        assert found.code == 0, found.stderr
        lines = found.stdout.splitlines()
        assert lines[0].startswith("folder by bpe:262 of folder: 5-grams, exact, ")
        assert [line.split()[0] for line in lines[4:]] == ["64", "128", "256"]
        assert found.stderr == "Skipped, for they are no text files: b.png\n"

    def test_errors_are_one_sentence(self, cache: Path, tmp_path: Path) -> None:
        path = write_lines(tmp_path / "corpus.jsonl")
        assert (
            "exclude each other"
            in saturation("ngram", path, "--tokenizer", "bpe:262", "--exact", "--stochastic").sentence
        )
        assert "There is no text file" in saturation("ngram", "none.txt", "--tokenizer", "bpe:262").sentence
        assert saturation("ngram", path).code == 2


@needs_data
def test_pythia_tokens_of_real_text_by_either_way(cache: Path, tmp_path: Path) -> None:
    text = (DATA / "text" / "wikitext2-valid.txt").read_text(encoding="utf-8")[:100_000]
    (tmp_path / "slice.txt").write_text(text, encoding="utf-8")
    tokenizer = str(DATA / "tokenizers" / "pythia.json")
    settings = Settings(cache, "local")
    exact, estimate = (
        measure_ngram(settings, NgramRequest(str(tmp_path / "slice.txt"), tokenizer, 2, method)).curve
        for method in ("exact", "stochastic")
    )
    assert exact.vocabulary == 50_277
    assert exact.tokens == estimate.tokens
    low, middle, high, true = (
        np.array(values) for values in (estimate.w_error_low, estimate.w_error, estimate.w_error_high, exact.w_error)
    )
    assert (high > low).any()  # there was something to estimate
    assert np.abs(middle - true).max() < 0.01
    assert (low <= true + 3e-7).all()
    assert (high >= true - 3e-7).all()


@needs_data
def test_wikitext_by_llama_2_is_what_a_dense_solution_gave(cache: Path, tmp_path: Path) -> None:
    parts = [(DATA / "text" / f"wikitext2-{name}.txt").read_bytes() for name in ("valid", "test")]
    (tmp_path / "wikitext2.txt").write_bytes(b"".join(parts))
    tokenizer = str(DATA / "tokenizers" / "llama2.model")
    request = NgramRequest(str(tmp_path / "wikitext2.txt"), tokenizer)
    curve = measure_ngram(Settings(cache, "local"), request, force=True).curve  # an exact one is bundled
    assert (curve.tokens, curve.contexts, curve.tokens_seen) == (637_434, 442_656, 11_575)
    assert (curve.method, curve.vocabulary) == ("stochastic", 32_000)
    # Dense eigvalsh of the whole Gram matrix in float64, in 206 s.
    dense = {100: 0.66816, 500: 0.55678, 1000: 0.48587, 2000: 0.39437, 5000: 0.22457, 10_000: 0.05300}
    found = np.interp(list(dense), curve.ranks, curve.w_error)
    np.testing.assert_allclose(found, list(dense.values()), atol=1e-3)
    assert abs(curve.rank_at_half - 883) <= 3
