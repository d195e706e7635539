"""What is kept of the hub's files: found by content, checked when read, bounded in size."""

import os
from pathlib import Path

import pytest

from saturation.checkpoints.hub_pieces import Pieces, limit_from_environment
from saturation.errors import InputError

LABEL_BYTES = 300


def test_a_piece_is_found_by_content_and_part(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "tensors", 10_000)
    pieces.put("sha256:a", "tensor x", b"one")
    pieces.put("sha256:a", "tensor y", bytearray(b"two"))
    pieces.put("sha256:b", "tensor x", b"")
    again = Pieces(tmp_path / "tensors", 10_000)
    assert again.get("sha256:a", "tensor x") == b"one"
    assert again.get("sha256:a", "tensor y") == b"two"
    assert again.get("sha256:b", "tensor x") == b""
    assert again.get("sha256:b", "tensor y") is None


def test_a_piece_is_replaced_and_dropped(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, 10_000)
    pieces.put("a", "x", b"old")
    pieces.put("a", "x", b"newer")
    assert pieces.get("a", "x") == b"newer"
    pieces.drop("a", "x")
    pieces.drop("a", "x")
    assert pieces.get("a", "x") is None
    assert pieces.size() == 0


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "empty", "other"])
def test_a_damaged_piece_is_removed(tmp_path: Path, damage: str) -> None:
    pieces = Pieces(tmp_path, 10_000)
    pieces.put("a", "x", b"weights" * 10)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    data = path.read_bytes()
    changed = {
        "flip": data[:-1] + bytes([data[-1] ^ 1]),
        "cut": data[:-5],
        "longer": data + b"x",
        "empty": b"",
        "other": data.replace(b'"a"', b'"b"'),
    }
    path.write_bytes(changed[damage])
    assert pieces.get("a", "x") is None
    assert not path.exists()


def test_the_piece_used_longest_ago_gives_way(tmp_path: Path) -> None:
    size = 10_000
    pieces = Pieces(tmp_path, 3 * (size + LABEL_BYTES))
    for age, part in ((300, "one"), (200, "two"), (100, "three")):
        pieces.put("a", part, part.encode() * (size // len(part)))
        newest = max(path.stat().st_mtime for path in tmp_path.rglob("*") if path.is_file())
        held = max((path for path in tmp_path.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime)
        os.utime(held, (newest - age, newest - age))
    assert pieces.get("a", "one") is not None  # now the one used last
    pieces.put("a", "four", b"4" * size)
    assert pieces.get("a", "two") is None
    assert {part for part in ("one", "three", "four") if pieces.get("a", part)} == {"one", "three", "four"}
    assert pieces.size() <= pieces.limit


def test_the_size_on_disk_never_passes_the_limit(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, 20_000)
    for number in range(30):
        pieces.put("a", str(number), os.urandom(100 * number))
        assert pieces.size() <= 20_000 + LABEL_BYTES
    assert pieces.get("a", "29") is not None


def test_a_piece_larger_than_the_limit_is_not_kept_and_moves_no_other(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, 1000)
    pieces.put("a", "small", b"s" * 500)
    pieces.put("a", "large", b"l" * 1001)
    assert pieces.get("a", "large") is None
    assert pieces.get("a", "small") == b"s" * 500


def test_what_a_killed_run_left_is_swept_away_later(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, 10_000)
    pieces.put("a", "x", b"1")
    (folder,) = tmp_path.iterdir()
    old, young = folder / ".old.tmp", folder / ".young.tmp"
    for path in (old, young):
        path.write_bytes(b"part")
    os.utime(old, (0, 0))
    pieces.put("a", "y", b"2")
    assert not old.exists()
    assert young.exists()


def test_the_limit_is_set_in_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SATURATION_HUB_CACHE_GB", raising=False)
    assert limit_from_environment() == 5_000_000_000
    for given, expected in (("0.5", 500_000_000), ("0", 0), ("20", 20_000_000_000)):
        monkeypatch.setenv("SATURATION_HUB_CACHE_GB", given)
        assert limit_from_environment() == expected
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("SATURATION_HUB_CACHE_GB", wrong)
        with pytest.raises(InputError, match="SATURATION_HUB_CACHE_GB"):
            limit_from_environment()
