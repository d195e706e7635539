"""Corpora: what each format gives, how long documents are cut, what a corpus is known by, and what is refused."""

import gzip
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_checkpoints import hasty, is_one_sentence, serving

from saturation.checkpoints.hub_errors import HubNotFoundError
from saturation.corpora.corpus import Corpus, open_corpus
from saturation.corpora.documents import Piece, pieces
from saturation.corpora.hub_dataset import hub_corpus
from saturation.errors import SaturationError, TextError

TEXTS = ["One line.\nÉin zweiter.\r\n", "日本語 and more"]


def documents(corpus: Corpus) -> list[str]:
    """The documents of a corpus, their pieces joined."""
    found = [""]
    for piece in corpus.pieces():
        found[-1] += piece.text
        if piece.last:
            found.append("")
    assert found.pop() == ""
    return found


def write(path: Path, texts: list[str] = TEXTS) -> Path:
    """The texts in the format that the path's name tells: joined in a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        data = "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in texts).encode()
    elif name.endswith(".parquet"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": list(range(len(texts))), "text": texts}), sink)
        data = sink.getvalue().to_pybytes()
    else:
        data = "".join(texts).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("ending", ["txt", "md", "jsonl", "parquet"])
@pytest.mark.parametrize("gz", ["", ".gz"])
def test_every_format_gives_its_documents(tmp_path: Path, ending: str, gz: str) -> None:
    corpus = open_corpus(str(write(tmp_path / f"corpus.{ending}{gz}")))
    assert documents(corpus) == (TEXTS if ending in ("jsonl", "parquet") else ["".join(TEXTS)])
    assert (corpus.name, corpus.source) == (f"corpus.{ending}{gz}", f"file corpus.{ending}{gz}")


def test_a_long_document_is_cut_behind_a_line(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("aaaa\nbb\ncccc\ndddddddddddddd")
    found = list(pieces(path, path.name, size=9))
    assert found == [
        Piece("aaaa\nbb\n", False),
        Piece("cccc\n", False),
        Piece("ddddddddd", False),
        Piece("ddddd", True),
    ]
    assert list(pieces(path, path.name, size=27)) == [Piece(path.read_text(), True)]
    row = write(tmp_path / "long.jsonl", ["aaaa\nbb\ncccc", "x"])
    assert list(pieces(row, row.name, size=9)) == [Piece("aaaa\nbb\n", False), Piece("cccc", True), Piece("x", True)]


def test_letters_at_the_seams_of_blocks_stay_whole(tmp_path: Path) -> None:
    text = "日" * 800_001  # three bytes each: more than two blocks of a megabyte, neither a multiple of three
    path = tmp_path / "wide.txt"
    path.write_text(text, encoding="utf-8")
    assert list(pieces(path, path.name)) == [Piece(text, True)]
    assert [len(piece.text) for piece in pieces(path, path.name, size=300_000)] == [300_000, 300_000, 200_001]


def test_a_folder_is_read_by_name_and_says_what_it_skips(tmp_path: Path) -> None:
    for name, text in {"b.txt": "B", "a/z.md": "A", "c.jsonl": "C"}.items():
        write(tmp_path / "folder" / name, [text])
    for name in ("picture.png", ".git/config.txt"):
        write(tmp_path / "folder" / name, ["no"])
    corpus = open_corpus(str(tmp_path / "folder"))
    assert documents(corpus) == ["A", "B", "C"]
    assert corpus.skipped == ("picture.png",)
    assert (corpus.name, corpus.source) == ("folder", "folder folder of 3 files")
    assert corpus.size == 2 + len('{"id": 1, "text": "C"}\n')


def test_several_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.txt", ["1"]), write(tmp_path / "two.txt", ["2"])
    corpus = open_corpus([str(two), str(one)])
    assert documents(corpus) == ["2", "1"]
    assert (corpus.name, corpus.source) == ("two.txt and 1 more", "files two.txt, one.txt")


def test_a_corpus_is_known_by_its_bytes_and_how_they_are_read(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.txt", ["1"]), write(tmp_path / "two.txt", ["2"])
    assert open_corpus(str(one)).corpus_id == "sha256:" + hashlib.sha256(b"1").hexdigest()
    ids = [open_corpus(given).corpus_id for given in ([str(one), str(two)], [str(two), str(one)])]
    assert ids[0] != ids[1]
    (tmp_path / "copy").mkdir()
    one.rename(tmp_path / "copy" / "a.md")
    two.rename(tmp_path / "copy" / "b.md")
    assert open_corpus(str(tmp_path / "copy")).corpus_id == ids[0]
    lines = write(tmp_path / "x.jsonl", ["1"])
    plain = tmp_path / "x.txt"
    plain.write_bytes(lines.read_bytes())
    assert open_corpus(str(plain)).corpus_id != open_corpus(str(lines)).corpus_id


BROKEN: dict[str, tuple[bytes, str]] = {
    "latin.txt": (b"ab\xe9cd", r"latin\.txt is not UTF-8 text \(byte 2\)"),
    "cut.txt.gz": (gzip.compress(b"hello " * 100)[:-12], r"cut\.txt\.gz cannot be read"),
    "no.txt.gz": (b"plain", r"no\.txt\.gz cannot be read"),
    "bad.jsonl": (b'{"text": "a"}\n\n{"txt": "b"}\n', r"Line 3 of bad\.jsonl is no JSON object with a field 'text'"),
    "list.jsonl": (b"[1]\n", r"Line 1 of list\.jsonl is no JSON object"),
    "number.jsonl": (b'{"text": 5}\n', r"field 'text' in line 1 of number\.jsonl is no text"),
    "bad.parquet": (b"PAR1 not at all", r"bad\.parquet is no Parquet file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    data, message = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TextError, match=message) as caught:
        list(open_corpus(str(tmp_path / name)).pieces())
    assert "\n" not in str(caught.value)


def test_a_parquet_file_without_text_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["a"], "n": [1]}), tmp_path / "x.parquet")
    with pytest.raises(TextError, match="no text column 'text', only content, n;"):
        list(open_corpus(str(tmp_path / "x.parquet")).pieces())


def test_what_cannot_be_a_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for given, message in (
        (str(tmp_path / "none.txt"), "There is no text file"),
        (str(tmp_path / "empty"), "holds no .txt"),
        ([], "No corpus was named"),
        (["hub:a/b", "c.txt"], "a corpus by itself"),
    ):
        with pytest.raises(TextError, match=message) as caught:
            open_corpus(given)
        assert is_one_sentence(str(caught.value))


def test_a_dataset_of_the_hub_by_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "repo"
    write(folder / "README.md", ["about it"])
    write(folder / "data" / "train-00000-of-00002.parquet", ["a", "b"])
    write(folder / "data" / "train-00001-of-00002.parquet", ["c"])
    write(folder / "data" / "test-00000-of-00001.parquet", ["d"])
    write(folder / "small" / "test.jsonl.gz", ["e"])
    with serving(monkeypatch, tmp_path / "home") as hub:
        commit = hub.add("datasets/org/words", {"main": folder})["main"]
        kept = tmp_path / "kept"

        def found(given: str) -> Corpus:
            return hub_corpus(given, kept, connection=hasty())

        train = found("org/words:train")
        assert documents(train) == ["a", "b", "c"]
        assert (train.name, train.source) == ("org/words:train", f"hub dataset org/words:train at {commit[:12]}")
        assert documents(found("org/words@main:test")) == ["d", "e"]
        assert documents(found("org/words:small/test")) == ["e"]
        assert documents(found("org/words")) == ["d", "a", "b", "c", "e"]
        assert found("org/words").skipped == ()
        local = [str(folder / "data" / f"train-0000{n}-of-00002.parquet") for n in (0, 1)]
        assert train.corpus_id == open_corpus(local).corpus_id
        with pytest.raises(HubNotFoundError, match="no files of the split 'validation'; its text files are: data/test"):
            found("org/words:validation")
        with pytest.raises(HubNotFoundError, match="no revision 'v9'"):
            found("org/words@v9")
        hub.misbehave("cut", "*parquet", times=1, after=10)
        hub.forget()
        assert documents(found("org/words:train")) == ["a", "b", "c"]
        assert hub.received() == []  # everything lies here already
    assert (tmp_path / "home" / "hub" / "datasets--org--words" / "snapshots" / commit / "data").is_dir()


def test_a_missing_dataset_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, tmp_path / "home"):
        for given, message in (("org/none", "check the name"), ("nonsense name", "no name of a hub repository")):
            with pytest.raises(SaturationError, match=message) as caught:
                hub_corpus(given, tmp_path / "kept", connection=hasty())
            assert is_one_sentence(str(caught.value))


@pytest.mark.parametrize("name", ["../../escape.txt", "/etc/passwd.txt", "a//b.txt"])
def test_a_listing_that_leads_elsewhere_is_refused(name: str) -> None:
    from saturation.checkpoints.hub_files import pointer

    with pytest.raises(HubNotFoundError, match="is no file"):
        pointer("datasets/org/words", "a" * 40, name)
