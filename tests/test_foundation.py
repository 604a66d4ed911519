"""Sizes, workloads, atomic files."""

from pathlib import Path

import pytest

from toolkit.errors import CheckFailed, InputError, ToolkitError, Unavailable
from toolkit.system.atomic import sha256_of, sha256_of_file, write_bytes
from toolkit.workloads import WORKLOADS, Shape, parse_shape, parse_workload, workload_for_scale


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1080p", Shape(1080, 1920)),
        ("720P", Shape(720, 1280)),
        ("4K", Shape(2160, 3840)),
        ("1081x7", Shape(height=7, width=1081)),
    ],
)
def test_sizes(text: str, expected: Shape) -> None:
    assert parse_shape(text) == expected


@pytest.mark.parametrize("text", ["", "x", "10", "10x", "10x0", "-1x5", "1.5x2", "99999x1", "1e3x5", "10 x 10"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_shape(text)
    assert caught.value.remedy


def test_every_scale_up_to_4_has_a_workload_that_ends_at_4k() -> None:
    assert sorted(workload.scale or 0 for workload in WORKLOADS.values()) == [1, 2, 3, 4]
    for workload in WORKLOADS.values():
        assert workload.scale is not None
        assert workload.shape.upscaled(workload.scale) == Shape(2160, 3840)
        assert workload_for_scale(workload.scale) is workload
    assert workload_for_scale(5) is None


def test_sizes_are_written_as_they_are_read() -> None:
    shape = Shape(height=1080, width=1920)
    assert str(shape) == "1920x1080"
    assert parse_shape(str(shape)) == shape
    assert shape.in_words == "1920 wide, 1080 high"


def test_workloads_of_any_size() -> None:
    workload = parse_workload("64X48")
    assert (workload.name, workload.shape, workload.scale) == ("64x48", Shape(height=48, width=64), None)


@pytest.mark.parametrize("text", ["4k", "4K", "1080p", "720p", "1080p-4K", "", "64x0", "64", "-4x8"])
def test_unknown_workloads_are_refused_with_the_list(text: str) -> None:
    """`4k` was read as 3840x2160 input pixels and ran for nine minutes."""
    with pytest.raises(InputError) as caught:
        parse_workload(text)
    if text != "64x0":
        assert "1080p-4k" in caught.value.remedy
        assert "WIDTHxHEIGHT" in caught.value.remedy


def test_files_appear_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file.bin"
    write_bytes(path, b"first")
    assert path.read_bytes() == b"first"
    assert sha256_of_file(path) == sha256_of(b"first")
    original = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        original(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"cannot write .*file\.bin: No space left on device\n  Make room there"):
        write_bytes(path, b"second, longer")
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_exit_codes() -> None:
    assert (CheckFailed("x").exit_code, InputError("x").exit_code, Unavailable("x").exit_code) == (1, 2, 3)
    assert str(ToolkitError("what", "do this")) == "what\n  do this"
    assert str(ToolkitError("what")) == "what"
