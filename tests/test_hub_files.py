"""Small files and whole snapshots in the hub's own cache: shared with other libraries, verified, taken back exactly."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny
import torch
from hub_checkpoints import HEAD, LAYOUTS, hasty, is_one_sentence, save, serving, weights
from huggingface_hub import hf_hub_download, scan_cache_dir, try_to_load_from_cache
from standin_hub import StandInHub

from saturation.checkpoints import hub
from saturation.checkpoints.hub_weights import HubWeights

REPO = "org/model"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    with serving(monkeypatch, tmp_path / "home") as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "model", weights(), "model.safetensors")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of the hub's own cache."""
    return tmp_path / "home" / "hub"


def small_file(tmp_path: Path, commit: str, name: str = "config.json") -> Path:
    return hub.small_file(REPO, commit, name, cache=tmp_path / "cache", revision="step7", connection=hasty())


def snapshot(tmp_path: Path, commit: str, remove_after: bool = False):  # type: ignore[no-untyped-def]
    return hub.snapshot(
        REPO, commit, remove_after=remove_after, cache=tmp_path / "cache", revision="step7", connection=hasty()
    )


def held(own: Path) -> set[str]:
    """Files and links of the cache that hold content: no locks, no ledgers."""
    return {
        path.relative_to(own).as_posix()
        for path in own.rglob("*")
        if (path.is_file() or path.is_symlink()) and path.suffix != ".lock" and ".saturation.json" not in path.name
    }


def test_a_small_file_is_downloaded_once_for_all_commits_that_share_it(
    server: StandInHub, folder: Path, tmp_path: Path
) -> None:
    commits = server.add(REPO, {"step7": folder, "step8": folder})
    path = small_file(tmp_path, commits["step7"])
    assert path.read_bytes() == (folder / "config.json").read_bytes()
    assert small_file(tmp_path, commits["step7"]) == path
    assert small_file(tmp_path, commits["step8"]).read_bytes() == path.read_bytes()
    assert len(server.received("*/config.json")) == 1
    assert len(server.received("/api/*")) == 2


def test_the_cache_is_the_one_of_the_client_library(
    server: StandInHub, folder: Path, tmp_path: Path, own: Path
) -> None:
    commit = server.add(REPO, {"step7": folder})["step7"]
    ours = small_file(tmp_path, commit)
    assert try_to_load_from_cache(REPO, "config.json", cache_dir=own, revision=commit) == str(ours)
    server.forget()
    assert hf_hub_download(REPO, "config.json", revision=commit, cache_dir=own, endpoint=server.endpoint) == str(ours)
    assert server.requests == []

    theirs = hf_hub_download(REPO, "model.safetensors", revision=commit, cache_dir=own, endpoint=server.endpoint)
    server.forget()
    with snapshot(tmp_path, commit) as found:
        assert str(found / "model.safetensors") == theirs
    assert server.received("*/model.safetensors") == []
    report = scan_cache_dir(own)
    assert report.warnings == []
    (repo,) = report.repos
    (revision,) = repo.revisions
    assert (repo.repo_id, revision.commit_hash) == (REPO, commit)
    assert {file.file_name for file in revision.files} == {"config.json", "model.safetensors"}


def test_a_downloaded_model_is_not_read_from_the_hub_again(
    server: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = server.add(REPO, {"step7": folder})["step7"]
    with snapshot(tmp_path, commit):
        pass
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server.forget()
    read = HubWeights(REPO, commit, tmp_path / "cache", connection=hasty())
    assert torch.equal(read.read(HEAD)[0], weights()[HEAD])
    assert read.content_id().startswith("sha256:")
    assert read.bytes_read == 0
    assert server.requests == []
    assert list((tmp_path / "cache").rglob("*")) == []  # no second copy of what lies in the hub's cache


@pytest.mark.parametrize(
    ("name", "advice"), [("missing.json", "check the name of the file"), ("../secret", "at the top of")]
)
def test_a_small_file_that_is_not_there_is_said(
    server: StandInHub, folder: Path, tmp_path: Path, own: Path, name: str, advice: str
) -> None:
    commit = server.add(REPO, {"step7": folder})["step7"]
    with pytest.raises(hub.HubNotFoundError, match=advice) as caught:
        small_file(tmp_path, commit, name)
    assert is_one_sentence(str(caught.value))
    assert held(own) == set()


def test_offline_a_small_file_is_found_or_named(
    server: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tokenizer.json").write_text("{}")
    commit = server.add(REPO, {"step7": folder})["step7"]
    kept = small_file(tmp_path, commit)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert small_file(tmp_path, commit) == kept
    with pytest.raises(hub.HubOfflineError, match=r"tokenizer\.json of org/model@step7") as caught:
        small_file(tmp_path, commit, "tokenizer.json")
    assert is_one_sentence(str(caught.value))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_snapshot_holds_what_a_model_needs_and_nothing_else(
    server: StandInHub, tmp_path: Path, own: Path, layout: str
) -> None:
    folder = save(tmp_path / "model", weights(), layout)
    needed = {path.name for path in folder.iterdir()} | {"tokenizer.json", "merges.txt"}
    unneeded = ["modeling_evil.py", "optimizer.pt", "training_args.bin", "tf_model.h5", "README.md", "rng_state_0.pth"]
    if ".safetensors" in layout:
        unneeded += ["pytorch_model.bin"]
    for name in ("tokenizer.json", "merges.txt", *unneeded):
        (folder / name).write_text(f"content of {name}")
    commit = server.add(REPO, {"step7": folder})["step7"]
    with snapshot(tmp_path, commit) as found:
        assert found == own / "models--org--model" / "snapshots" / commit
        assert {path.name for path in found.iterdir()} == needed
        for name in needed:
            assert (found / name).read_bytes() == (folder / name).read_bytes()
    assert {path.name for path in found.iterdir()} == needed


def test_a_model_is_loaded_from_its_snapshot(server: StandInHub, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny.save_model(tmp_path / "model", "llama", max_shard_size="10KB")
    assert (folder / "model.safetensors.index.json").is_file()
    commit = server.add(REPO, {"step7": folder})["step7"]
    ids = torch.tensor([[1, 2, 3]])
    expected = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
    with snapshot(tmp_path, commit, remove_after=True) as found:
        assert torch.equal(AutoModelForCausalLM.from_pretrained(found, local_files_only=True)(ids).logits, expected)
        assert AutoTokenizer.from_pretrained(found, local_files_only=True)("word3").input_ids == [3]
    assert not found.exists()


def test_taking_back_leaves_what_was_there_before(server: StandInHub, folder: Path, tmp_path: Path, own: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    other = save(tmp_path / "other", weights(seed=1), "model.safetensors")
    commits = server.add(REPO, {"step7": folder, "step8": other})
    small_file(tmp_path, commits["step7"])
    hf_hub_download(REPO, "model.safetensors", revision="step8", cache_dir=own, endpoint=server.endpoint)
    before = held(own)
    for commit in commits.values():
        with snapshot(tmp_path, commit, remove_after=True) as found:
            assert (found / "model.safetensors").is_file()
    assert held(own) == before


def test_a_blob_that_two_commits_share_goes_with_the_last(
    server: StandInHub, folder: Path, tmp_path: Path, own: Path
) -> None:
    commits = server.add(REPO, {"step7": folder, "step8": folder})
    with snapshot(tmp_path, commits["step8"], remove_after=True) as second:
        with snapshot(tmp_path, commits["step7"], remove_after=True):
            pass
        assert (second / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
        assert len(server.received("*/model.safetensors", server="storage")) == 1
    assert held(own) == set()


def test_a_commit_in_use_twice_is_taken_back_by_the_last(
    server: StandInHub, folder: Path, tmp_path: Path, own: Path
) -> None:
    commit = server.add(REPO, {"step7": folder})["step7"]
    with snapshot(tmp_path, commit, remove_after=True) as outer:
        with snapshot(tmp_path, commit, remove_after=True) as inner:
            assert inner == outer
        assert (outer / "model.safetensors").is_file()
    assert held(own) == set()


def test_what_a_killed_run_brought_is_taken_back_by_the_next(
    server: StandInHub, folder: Path, tmp_path: Path, own: Path
) -> None:
    commit = server.add(REPO, {"step7": folder})["step7"]
    code = (
        "import os\nfrom saturation.checkpoints import hub\n"
        f"with hub.snapshot({REPO!r}, {commit!r}, remove_after=True):\n    os._exit(9)"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))},
        **server.environment(tmp_path / "home"),
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        "SATURATION_CACHE": str(tmp_path / "cache"),
    }
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False).returncode == 9
    assert len(held(own)) == 4  # two blobs, two links
    server.forget()
    with snapshot(tmp_path, commit, remove_after=True) as found:
        assert (found / "model.safetensors").is_file()
    assert server.requests == []
    assert held(own) == set()


def test_a_download_that_breaks_off_goes_on_in_the_next_call(
    server: StandInHub, folder: Path, tmp_path: Path, own: Path
) -> None:
    commit = server.add(REPO, {"step7": folder})["step7"]
    server.misbehave("cut", "*.safetensors", after=700_000, then="error")
    with (
        pytest.raises(hub.HubUnavailableError, match=r"model\.safetensors of org/model@step7") as caught,
        snapshot(tmp_path, commit),
    ):
        pytest.fail("an incomplete snapshot was handed out")
    assert is_one_sentence(str(caught.value))
    found = own / "models--org--model" / "snapshots" / commit
    assert {path.name for path in found.iterdir()} == {"config.json"}
    assert try_to_load_from_cache(REPO, "model.safetensors", cache_dir=own, revision=commit) is None
    server.behave()
    server.forget()
    with snapshot(tmp_path, commit) as folder_again:
        assert (folder_again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    size = (folder / "model.safetensors").stat().st_size
    assert [r.range for r in server.received(server="storage")] == [f"bytes=700000-{size - 1}"]
    assert not [name for name in held(own) if "incomplete" in name]


def test_other_content_than_listed_is_refused_and_not_kept(
    server: StandInHub, folder: Path, tmp_path: Path, own: Path
) -> None:
    commit = server.add(REPO, {"step7": folder})["step7"]
    for pattern, name in (("*/config.json", "config.json"), ("*.safetensors", "model.safetensors")):
        server.misbehave("wrong_bytes", pattern, at=10, data=b"?")
        with pytest.raises(hub.HubDamagedError, match=f"{name} of {REPO}@step7 is not what the hub lists") as caught:
            small_file(tmp_path, commit, name)
        assert is_one_sentence(str(caught.value))
        assert not [path for path in held(own) if name in path or "incomplete" in path]
        assert small_file(tmp_path, commit, name).read_bytes() == (folder / name).read_bytes()
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert f"models--org--model/blobs/{digest}" in held(own)


def test_a_disk_too_small_is_said_before_the_download(
    server: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = server.add(REPO, {"step7": folder})["step7"]
    monkeypatch.setattr(
        "saturation.checkpoints.hub_files.shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10**7, 0, 10**6)
    )
    with pytest.raises(hub.HubDiskError, match=r"too full to keep model\.safetensors of org/model@step7") as caught:
        small_file(tmp_path, commit, "model.safetensors")
    assert is_one_sentence(str(caught.value))
    assert server.received("*.safetensors") == []


def test_a_folder_that_cannot_be_written_is_said(server: StandInHub, folder: Path, tmp_path: Path, own: Path) -> None:
    commit = server.add(REPO, {"step7": folder})["step7"]
    own.parent.mkdir(parents=True)
    own.write_text("a file in the way")
    with pytest.raises(hub.HubDiskError, match=r"config\.json of org/model@step7 cannot be kept") as caught:
        small_file(tmp_path, commit)
    assert is_one_sentence(str(caught.value))


def test_an_index_that_names_other_shards_is_refused(server: StandInHub, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", weights(), LAYOUTS[1])
    index = json.loads((folder / LAYOUTS[1]).read_text())
    index["weight_map"][HEAD] = "../../outside.safetensors"
    (folder / LAYOUTS[1]).write_text(json.dumps(index))
    commit = server.add(REPO, {"step7": folder})["step7"]
    with pytest.raises(hub.HubDamagedError, match="lacks the shard") as caught, snapshot(tmp_path, commit):
        pytest.fail("a broken snapshot was handed out")
    assert is_one_sentence(str(caught.value).replace("../../outside.safetensors", "x"))
    read = HubWeights(REPO, commit, tmp_path / "cache", revision="step7", connection=hasty())
    with pytest.raises(hub.HubDamagedError, match=f"{REPO}@step7 lacks the shard"):
        read.read(HEAD)


def test_many_threads_at_once_get_whole_files_and_leave_none(
    server: StandInHub, folder: Path, tmp_path: Path, own: Path
) -> None:
    commits = server.add(REPO, {f"step{n}": folder for n in range(4)})

    def work(commit: str) -> tuple[bytes, torch.Tensor]:
        with snapshot(tmp_path, commit, remove_after=True) as found:
            data = (found / "model.safetensors").read_bytes()
            return data, HubWeights(REPO, commit, tmp_path / "cache", connection=hasty()).read(HEAD)[0]

    before = held(own)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, list(commits.values()) * 4))
    expected = (folder / "model.safetensors").read_bytes()
    assert all(data == expected and torch.equal(head, weights()[HEAD]) for data, head in results)
    assert held(own) == before == set()
