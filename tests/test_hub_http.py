"""Byte ranges over a line that misbehaves: the right bytes in the end, or one sentence in bounded time."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hub_checkpoints import HASTY, hasty, is_one_sentence, serving
from standin_hub import StandInHub

from saturation.checkpoints.hub import Connection, Patience
from saturation.checkpoints.hub_answers import Place
from saturation.checkpoints.hub_errors import (
    HubAccessError,
    HubBusyError,
    HubDamagedError,
    HubError,
    HubNotFoundError,
    HubOfflineError,
    HubUnavailableError,
)
from saturation.errors import InputError

REPO, FILE = "org/model", "model.safetensors"
DATA = bytes(range(251)) * 2000  # 502 kB without a period that a wrong offset could hide in
COMMIT = "a" * 40


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    with serving(monkeypatch, tmp_path / "home") as running:
        yield running


@pytest.fixture
def commit(server: StandInHub, tmp_path: Path) -> str:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / FILE).write_bytes(DATA)
    (tmp_path / "model" / "config.json").write_text('{"model_type": "gpt_neox"}')
    return server.add(REPO, {"step7": tmp_path / "model"})["step7"]


def read(connection: Connection, commit: str, start: int, stop: int, into: bytearray | None = None) -> bytearray:
    return connection.read_range(REPO, commit, FILE, start, stop, size=len(DATA), revision="step7", into=into)


def refused(connection: Connection, commit: str, kind: type[HubError], start: int = 0, stop: int = 400_000) -> str:
    with pytest.raises(kind) as caught:
        read(connection, commit, start, stop)
    message = str(caught.value)
    assert is_one_sentence(message), message
    assert REPO in message
    assert "step7" in message
    assert type(caught.value) is kind
    return message


@pytest.mark.parametrize(
    ("start", "stop"), [(0, len(DATA)), (0, 1), (len(DATA) - 1, len(DATA)), (123_456, 234_567), (5, 5)]
)
def test_a_range_is_exact_and_counted(server: StandInHub, commit: str, start: int, stop: int) -> None:
    connection = hasty()
    assert read(connection, commit, start, stop) == DATA[start:stop]
    assert connection.bytes_received == server.bytes_sent()
    asked = [request.range for request in server.received(server="storage")]
    assert asked == ([f"bytes={start}-{stop - 1}"] if start < stop else [])


def test_what_was_already_read_is_not_asked_again(server: StandInHub, commit: str) -> None:
    begun = bytearray(DATA[100:1100])
    assert read(hasty(), commit, 100, 5000, begun) == DATA[100:5000]
    assert [request.range for request in server.received(server="storage")] == ["bytes=1100-4999"]


def test_a_cut_connection_is_resumed_where_it_was_cut(server: StandInHub, commit: str) -> None:
    server.misbehave("cut", server="storage", times=2, after=100_000)
    connection = hasty()
    assert read(connection, commit, 1000, 401_000) == DATA[1000:401_000]
    asked = [request.range for request in server.received(server="storage")]
    assert asked == ["bytes=1000-400999", "bytes=101000-400999", "bytes=201000-400999"]
    assert connection.bytes_received == server.bytes_sent()


def test_a_long_read_outlives_more_cuts_than_there_are_tries(server: StandInHub, tmp_path: Path) -> None:
    long = DATA * 8
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / FILE).write_bytes(long)
    commit = server.add(REPO, {"step7": tmp_path / "long"})["step7"]
    server.misbehave("cut", server="storage", times=None, after=700_000)
    assert hasty().read_range(REPO, commit, FILE, 0, len(long)) == long
    assert len(server.received(server="storage")) == 6  # 4.0 MB in parts of 0.7 MB, with three tries a series


def test_cuts_that_bring_next_to_nothing_end(server: StandInHub, commit: str) -> None:
    server.misbehave("cut", server="storage", times=None, after=1000)
    message = refused(hasty(), commit, HubUnavailableError)
    assert "what was read is kept" in message
    assert len(server.received(server="storage")) == HASTY.tries


def test_a_body_that_is_honestly_too_short_is_completed(server: StandInHub, commit: str) -> None:
    server.misbehave("short", server="storage", times=2, keep=150_000)
    assert read(hasty(), commit, 0, 400_000) == DATA[:400_000]


def test_a_body_that_stays_too_short_is_refused(server: StandInHub, commit: str) -> None:
    server.misbehave("short", server="storage", times=None, keep=0)
    assert "sent 0 of the 400000 bytes" in refused(hasty(), commit, HubDamagedError)


def test_a_server_without_ranges_gives_the_beginning(server: StandInHub, commit: str) -> None:
    server.misbehave("ignore_range", server="storage")
    connection = hasty()
    assert read(connection, commit, 0, 3000) == DATA[:3000]
    assert len(server.received(server="storage")) == 1
    assert connection.bytes_received < len(DATA) / 2  # it hung up


def test_a_server_without_ranges_is_read_past_a_bounded_part(server: StandInHub, commit: str) -> None:
    server.misbehave("ignore_range", server="storage", times=None)
    patient = Connection(replace(HASTY, skip=100_000))
    assert read(patient, commit, 100_000, 102_000) == DATA[100_000:102_000]
    message = refused(patient, commit, HubError, 100_001, 102_000)
    assert "ignores byte ranges" in message


def test_a_cut_and_then_no_ranges_gives_no_byte_twice(server: StandInHub, commit: str) -> None:
    server.misbehave("cut", server="storage", after=200_000)
    server.misbehave("ignore_range", server="storage", times=1)
    assert read(hasty(), commit, 50_000, 450_000) == DATA[50_000:450_000]


@pytest.mark.parametrize("kind", ["wrong_range", "compressed", "wrong_size"])
def test_an_answer_that_is_not_what_was_asked_is_refused(server: StandInHub, commit: str, kind: str) -> None:
    server.misbehave(kind, server="storage", times=None)
    refused(hasty(), commit, HubDamagedError)


def test_a_range_past_the_end_is_refused(server: StandInHub, commit: str) -> None:
    assert "shorter" in refused(hasty(), commit, HubDamagedError, len(DATA), len(DATA) + 5)


def test_a_drip_ends(server: StandInHub, commit: str) -> None:
    server.misbehave("drip", server="storage", times=None, rate=2000)
    began = time.monotonic()
    assert "slower than 10 kB/s" in refused(hasty(), commit, HubUnavailableError)
    assert time.monotonic() - began < HASTY.tries * HASTY.window + 2


def test_a_passing_drip_is_left_for_a_faster_connection(server: StandInHub, commit: str) -> None:
    server.misbehave("drip", server="storage", rate=2000)
    assert read(hasty(), commit, 0, 400_000) == DATA[:400_000]
    assert str(server.received(server="storage")[1].range).endswith("-399999")


def test_a_server_that_says_nothing_ends(monkeypatch: pytest.MonkeyPatch, server: StandInHub, commit: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        quick = Connection(replace(HASTY, timeout=0.1))
        assert "does not answer in time" in refused(quick, commit, HubUnavailableError)


def test_a_server_that_is_not_there_ends(monkeypatch: pytest.MonkeyPatch, server: StandInHub, commit: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert f"cannot be reached at {address}" in refused(hasty(), commit, HubUnavailableError)


@pytest.mark.parametrize("kind", ["error", "unavailable"])
@pytest.mark.parametrize("where", ["hub", "storage"])
def test_server_errors_pass_or_end(server: StandInHub, commit: str, kind: str, where: str) -> None:
    server.misbehave(kind, server=where, times=2)
    assert read(hasty(), commit, 0, 1000) == DATA[:1000]
    server.misbehave(kind, server=where, times=None)
    server.forget()
    message = refused(hasty(), commit, HubUnavailableError)
    assert "try again later" in message
    assert len(server.received(server=where)) == HASTY.tries


def test_an_expired_address_of_the_storage_is_asked_for_anew(server: StandInHub, commit: str) -> None:
    server.misbehave("forbidden", server="storage")
    assert read(hasty(), commit, 0, 1000) == DATA[:1000]
    assert len(server.received(server="hub")) == 2


def waiting() -> tuple[Connection, list[float]]:
    """A connection that notes how long it would wait."""
    waits: list[float] = []
    return Connection(replace(HASTY, seconds=1000.0, sleep=waits.append)), waits


def test_a_rate_limit_is_waited_out_as_long_as_the_hub_asks(server: StandInHub, commit: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    server.misbehave("busy", server="hub", retry_after=3)
    server.misbehave("busy", server="hub", retry_after=date)
    connection, waits = waiting()
    connection.patience = replace(connection.patience, longest_wait=60.0)
    assert read(connection, commit, 0, 1000) == DATA[:1000]
    assert waits[0] == 3.0
    assert 20 < waits[1] <= 40
    assert len(waits) == 2


def test_a_rate_limit_that_asks_too_much_is_passed_on(server: StandInHub, commit: str) -> None:
    server.misbehave("busy", server="hub", times=None, retry_after=299)
    connection, waits = waiting()
    message = refused(connection, commit, HubBusyError)
    assert "wait 299 s" in message
    assert waits == []
    assert len(server.requests) == 1


def test_a_rate_limit_without_a_time_is_tried_again_and_ends(server: StandInHub, commit: str) -> None:
    server.misbehave("busy", server="hub", times=None)
    connection, waits = waiting()
    refused(connection, commit, HubBusyError)
    assert len(waits) == HASTY.tries - 1
    assert waits == sorted(waits)


def test_the_time_of_a_series_is_bounded(server: StandInHub, commit: str) -> None:
    server.misbehave("busy", server="hub", times=None, retry_after=5)
    waits: list[float] = []
    refused(Connection(replace(HASTY, tries=100, seconds=4.0, sleep=waits.append)), commit, HubBusyError)
    assert waits == []  # the first wait would already pass the bound


@pytest.mark.parametrize(
    ("kind", "error", "advice"),
    [
        ("not_found", HubNotFoundError, "check the name"),
        ("no_revision", HubNotFoundError, "check the name"),
        ("no_entry", HubNotFoundError, "check the name"),
        ("gated", HubAccessError, "accept its licence"),
        ("forbidden", HubAccessError, "hf auth login"),
        ("unauthorized", HubAccessError, "HF_TOKEN"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(
    server: StandInHub, commit: str, kind: str, error: type[HubError], advice: str
) -> None:
    server.misbehave(kind, server="hub", times=None)
    assert advice in refused(hasty(), commit, error)
    assert len(server.requests) == 1
    server.behave()
    assert read(hasty(), commit, 0, 1000) == DATA[:1000]


def test_the_token_goes_to_the_endpoint_alone(
    server: StandInHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, commit: str
) -> None:
    commit = server.add(REPO, {"step7": tmp_path / "model"}, token="hf_secret")["step7"]
    assert "HF_TOKEN" in refused(hasty(), commit, HubAccessError)
    server.forget()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert read(hasty(), commit, 0, 1000) == DATA[:1000]
    assert [(request.server, request.authorization) for request in server.requests] == [
        ("hub", "Bearer hf_secret"),
        ("storage", None),
    ]


def test_no_token_is_sent_where_there_is_none(server: StandInHub, commit: str) -> None:
    read(hasty(), commit, 0, 10)
    assert {request.authorization for request in server.requests} == {None}


def test_offline_asks_nobody(server: StandInHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "unset HF_HUB_OFFLINE" in refused(hasty(), commit, HubOfflineError)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(hasty(), commit, HubOfflineError)
    assert server.requests == []


def test_an_endpoint_that_is_no_address_is_refused(
    server: StandInHub, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "my.mirror:8080")
    assert "set HF_ENDPOINT to an http(s) address" in refused(hasty(), commit, HubError)


def test_a_sign_in_page_in_place_of_a_listing_is_refused(server: StandInHub, commit: str) -> None:
    server.misbehave("wrong_bytes", "/api/*", times=None)
    with pytest.raises(HubDamagedError) as caught:
        hasty().get_json(f"/api/models/{REPO}/refs", Place(REPO))
    assert is_one_sentence(str(caught.value))
    assert f"{server.endpoint} sent about {REPO} is no listing" in str(caught.value)
    server.behave()
    server.misbehave("wrong_bytes", "/api/*", times=1)
    listed = hasty().get_json(f"/api/models/{REPO}/refs", Place(REPO))
    assert json.dumps(listed).count(commit) == 1


def test_patience_is_set_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SATURATION_HUB_SECONDS", raising=False)
    assert Patience.from_environment() == Patience()
    monkeypatch.setenv("SATURATION_HUB_SECONDS", "2")
    short = Patience.from_environment()
    assert (short.seconds, short.timeout, short.window, short.longest_wait, short.first_wait) == (2, 2, 2, 2, 0.1)
    monkeypatch.setenv("SATURATION_HUB_SECONDS", "600")
    assert Patience.from_environment() == replace(Patience(), seconds=600.0)
    for wrong in ("soon", "0", "-1", "nan"):
        monkeypatch.setenv("SATURATION_HUB_SECONDS", wrong)
        with pytest.raises(InputError, match="SATURATION_HUB_SECONDS"):
            Patience.from_environment()
