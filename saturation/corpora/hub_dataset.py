"""Datasets of the hub as corpora: which files belong to a split, downloaded into the hub's own cache."""

import re
from pathlib import Path, PurePosixPath

from saturation.checkpoints.hub import Connection, HubNotFoundError, dataset, fetch, refs, tree
from saturation.corpora.corpus import Corpus, CorpusFile
from saturation.corpora.documents import format_of

# Not .md: a dataset's README is about it.
ENDINGS = (".parquet", ".jsonl", ".txt", ".parquet.gz", ".jsonl.gz", ".txt.gz")
NAMED_AT_MOST = 5


def hub_corpus(given: str, cache: Path | None = None, *, connection: Connection | None = None) -> Corpus:
    """The text files of a dataset repository. given: `owner/name[@revision][:split]`, revision main by default.

    split: a word of the files' names, as in `train-00000-of-00002.parquet`, or words and folders with slashes between
    them, as in `wikitext-2-raw-v1/test`. Raises HubError, also where no file belongs to the split.
    """
    place, _, split = given.partition(":")
    name, _, revision = place.partition("@")
    repo = dataset(name)
    connection = connection or Connection()
    commit = refs(repo, cache, connection=connection).commit(revision or "main")
    files = tree(repo, commit, cache, revision=revision or "main", connection=connection)
    texts = sorted(file for file in files if file.lower().endswith(ENDINGS))
    chosen = [file for file in texts if _belongs(file, split)]
    if not chosen:
        held = ", ".join(texts[:NAMED_AT_MOST]) or "none"
        what = f"of the split '{split}'" if split else "that are .parquet, .jsonl or .txt"
        raise HubNotFoundError(f"The dataset {name} has no files {what}; its text files are: {held}.")
    read = []
    for file in chosen:
        path, _ = fetch(connection, repo, commit, files[file], revision=revision or "main")
        known = files[file].content_id
        read.append(CorpusFile(path, file, known if known.startswith("sha256:") else None))
    skipped = tuple(sorted(file for file in files if file not in texts and format_of(file) is None and file[0] != "."))
    return Corpus(f"{name}:{split}" if split else name, f"hub dataset {given} at {commit[:12]}", tuple(read), skipped)


def _belongs(file: str, split: str) -> bool:
    path = PurePosixPath(file)
    words = {*path.parts[:-1], *re.split(r"[-_.]", path.name)}
    return all(word in words for word in split.split("/") if word)
