"""What a repository holds: branches, tags and files, asked once and remembered."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hub_checkpoints import hasty, is_one_sentence, save, serving, weights
from huggingface_hub import HfApi, hf_hub_download
from standin_hub import StandInHub, StoredFile

from saturation.checkpoints import hub
from saturation.checkpoints.hub_listing import FRESH_SECONDS
from saturation.checkpoints.hub_weights import HubWeights

REPO = "org/model"
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    with serving(monkeypatch, tmp_path / "home", page_size=3) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "model", weights(), "model.safetensors")


def refs(tmp_path: Path, refresh: bool = False, repo: str = REPO) -> hub.Refs:
    return hub.refs(repo, tmp_path / "cache", refresh, connection=hasty())


def age(tmp_path: Path, seconds: float) -> None:
    """Let the kept listing be older by so many seconds."""
    path = tmp_path / "cache" / "hub" / "refs" / "org--model.json"
    kept = json.loads(path.read_text())
    kept["listed_at"] = (datetime.fromisoformat(kept["listed_at"]) - timedelta(seconds=seconds)).isoformat()
    path.write_text(json.dumps(kept))


def test_branches_and_tags_cost_one_request(server: StandInHub, folder: Path, tmp_path: Path) -> None:
    commits = server.add(REPO, {f"step{n}": folder for n in range(154)}, tags={"v1": "step3"})
    began = datetime.now(UTC)
    found = refs(tmp_path)
    assert found.repo == REPO
    assert found.branches == commits
    assert found.tags == {"v1": commits["step3"]}
    assert found.commit("v1") == found.commit("step3") == found.commit(commits["step3"]) == commits["step3"]
    assert began <= found.listed_at <= datetime.now(UTC)
    assert [request.path for request in server.requests] == [f"/api/models/{REPO}/refs"]


def test_a_listing_is_kept_for_an_hour_unless_refreshed(server: StandInHub, folder: Path, tmp_path: Path) -> None:
    server.add(REPO, {"step0": folder})
    first = refs(tmp_path)
    server.add(REPO, {"step0": folder, "step1": folder})
    assert refs(tmp_path) == first
    assert len(server.requests) == 1
    assert set(refs(tmp_path, refresh=True).branches) == {"step0", "step1"}
    server.add(REPO, {"step2": folder})
    age(tmp_path, FRESH_SECONDS + 1)
    assert set(refs(tmp_path).branches) == {"step2"}
    assert len(server.requests) == 3


@pytest.mark.parametrize("trouble", ["offline", "error", "busy"])
def test_the_last_listing_stands_in_for_a_hub_that_does_not_answer(
    server: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    server.add(REPO, {"step0": folder})
    first = refs(tmp_path)
    age(tmp_path, 1e6)
    if trouble == "offline":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    else:
        server.misbehave(trouble, times=None)
    last = refs(tmp_path, refresh=True)
    assert last.branches == first.branches
    assert last.listed_at == first.listed_at - timedelta(seconds=1e6)


def test_without_a_listing_one_sentence_tells_why(
    server: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(REPO, {"step0": folder})
    server.misbehave("error", times=None)
    with pytest.raises(hub.HubUnavailableError, match=REPO) as caught:
        refs(tmp_path)
    assert is_one_sentence(str(caught.value))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(hub.HubOfflineError, match=REPO) as caught:
        refs(tmp_path)
    assert is_one_sentence(str(caught.value))
    assert list((tmp_path / "cache").rglob("*")) == []


def test_a_refusal_is_not_covered_by_the_last_listing(server: StandInHub, folder: Path, tmp_path: Path) -> None:
    server.add(REPO, {"step0": folder})
    refs(tmp_path)
    server.misbehave("gated", times=None)
    with pytest.raises(hub.HubAccessError, match=REPO):
        refs(tmp_path, refresh=True)


def test_a_damaged_listing_on_disk_is_asked_for_anew(server: StandInHub, folder: Path, tmp_path: Path) -> None:
    commits = server.add(REPO, {"step0": folder})
    refs(tmp_path)
    hub.tree(REPO, commits["step0"], tmp_path / "cache", connection=hasty())
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_text('{"branches": [')
    assert refs(tmp_path).branches == commits
    files = hub.tree(REPO, commits["step0"], tmp_path / "cache", connection=hasty())
    assert set(files) == {"config.json", "model.safetensors"}


def test_offline_the_hubs_own_cache_tells_what_it_has(
    server: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = server.add(REPO, {"step0": folder, "step1": folder})
    own = tmp_path / "home" / "hub"
    for name in ("config.json", "model.safetensors"):
        hf_hub_download(REPO, name, revision="step0", endpoint=server.endpoint, cache_dir=own)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server.forget()
    assert refs(tmp_path).branches == {"step0": commits["step0"]}
    offline = hub.tree(REPO, commits["step0"], tmp_path / "cache", connection=hasty())
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert server.requests == []
    assert offline == hub.tree(REPO, commits["step0"], tmp_path / "cache", connection=hasty())
    assert len(server.requests) == 1


def test_an_unknown_revision_names_the_closest(server: StandInHub, folder: Path, tmp_path: Path) -> None:
    server.add(REPO, {f"step{n}": folder for n in (0, 1, 1000, 2000, 143000)})
    with pytest.raises(hub.HubNotFoundError) as caught:
        refs(tmp_path).commit("step1001")
    assert str(caught.value).startswith(f"{REPO} has no revision 'step1001'; choose one such as step1000")


@pytest.mark.parametrize("known", [True, False])
def test_a_repository_that_does_not_exist_is_said(
    server: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    if known:  # the hub answers 404 to who is logged in, 401 to a stranger
        monkeypatch.setenv("HF_TOKEN", "hf_mine")
    with pytest.raises(hub.HubError) as caught:
        refs(tmp_path, repo="org/nomodel")
    assert type(caught.value) is (hub.HubNotFoundError if known else hub.HubAccessError)
    assert "org/nomodel" in str(caught.value)
    assert "check the name" in str(caught.value)
    assert is_one_sentence(str(caught.value))


@pytest.mark.parametrize("name", ["../../etc", "org/../x", "a/b/c", "", "org/mo del"])
def test_what_is_no_name_is_refused_before_it_becomes_a_path(server: StandInHub, tmp_path: Path, name: str) -> None:
    with pytest.raises(hub.HubNotFoundError, match="organisation/name"):
        refs(tmp_path, repo=name)
    assert server.requests == []


@pytest.mark.parametrize("commit", ["main", "../" * 13 + "x", "A" * 40, ""])
def test_a_tree_needs_a_commit(server: StandInHub, tmp_path: Path, commit: str) -> None:
    with pytest.raises(hub.HubNotFoundError, match="40 hexadecimal digits"):
        hub.tree(REPO, commit, tmp_path / "cache", connection=hasty())
    assert server.requests == []


def test_a_tree_has_every_page_and_the_hubs_own_hashes(server: StandInHub, folder: Path, tmp_path: Path) -> None:
    for n in range(7):
        (folder / f"note{n}.txt").write_text(str(n))
    (folder / "sub").mkdir()
    (folder / "sub" / "deep.txt").write_text("deep")
    commit = server.add(REPO, {"step0": folder})["step0"]
    files = hub.tree(REPO, commit, tmp_path / "cache", connection=hasty())
    assert set(files) == {"config.json", "model.safetensors", *(f"note{n}.txt" for n in range(7))}
    weights_file = StoredFile(folder / "model.safetensors")
    assert files["model.safetensors"].content_id == f"sha256:{weights_file.sha256}"
    assert files["model.safetensors"].size == (folder / "model.safetensors").stat().st_size
    assert files["config.json"].content_id == f"git:{StoredFile(folder / 'config.json').blob_id}"
    assert len(server.requests) == 4  # ten items, three a page
    assert {request.server for request in server.requests} == {"hub"}

    server.forget()
    assert hub.tree(REPO, commit, tmp_path / "cache", connection=hasty()) == files
    assert server.requests == []


def test_the_client_library_reads_the_stand_in_alike(server: StandInHub, folder: Path, tmp_path: Path) -> None:
    commit = server.add(REPO, {"main": folder}, tags={"v1": "main"})["main"]
    api = HfApi(endpoint=server.endpoint)
    listed = api.list_repo_refs(REPO)
    assert [(ref.name, ref.target_commit) for ref in listed.branches] == [("main", commit)]
    assert [(ref.name, ref.target_commit) for ref in listed.tags] == [("v1", commit)]
    assert api.model_info(REPO).sha == commit
    ours = hub.tree(REPO, commit, tmp_path / "cache", connection=hasty())
    theirs = {file.path: file for file in api.get_paths_info(REPO, list(ours), revision="main")}
    assert {name: file.size for name, file in ours.items()} == {name: file.size for name, file in theirs.items()}
    lfs = theirs["model.safetensors"].lfs
    assert lfs.sha256 == ours["model.safetensors"].hash
    assert theirs["config.json"].blob_id == ours["config.json"].hash


def test_weights_that_are_not_there_are_said(server: StandInHub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README.md").write_text("nothing here")
    commit = server.add(REPO, {"step7": tmp_path / "empty"})["step7"]
    read = HubWeights(REPO, commit, tmp_path / "cache", revision="step7", connection=hasty())
    with pytest.raises(hub.HubNotFoundError, match=f"{REPO}@step7 holds no weights") as caught:
        read.content_id()
    assert is_one_sentence(str(caught.value))


def test_a_process_lists_steps_without_torch(server: StandInHub, folder: Path, tmp_path: Path) -> None:
    commits = server.add(REPO, {"step0": folder})
    code = (
        "import os, sys, json\n"
        "from saturation.checkpoints import hub\n"
        f"os.environ['HF_ENDPOINT'] = {server.endpoint!r}\n"  # after the import that reads it once
        f"refs = hub.refs({REPO!r})\n"
        f"config = hub.small_file({REPO!r}, refs.commit('step0'), 'config.json')\n"
        "print(json.dumps([dict(refs.branches), config.read_text(), 'torch' in sys.modules]))"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))},
        **server.environment(tmp_path / "home"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "PYTHONPATH": str(ROOT),
        "SATURATION_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [commits, (folder / "config.json").read_text(), False]
    assert (tmp_path / "home" / "hub" / "models--org--model" / "snapshots" / commits["step0"] / "config.json").is_file()
    assert (tmp_path / "cache" / "hub" / "refs" / "org--model.json").is_file()
