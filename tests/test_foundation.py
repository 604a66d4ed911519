"""Sizes, workloads, atomic files."""

from pathlib import Path

import pytest

from toolkit.atomic import sha256_of, sha256_of_file, write_bytes
from toolkit.errors import CheckFailed, InputError, ToolkitError, Unavailable
from toolkit.workloads import WORKLOADS, Shape, parse_shape, parse_workload, workload_for_scale


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1080p", Shape(1080, 1920)), ("720P", Shape(720, 1280)), ("4K", Shape(2160, 3840)), ("7x1081", Shape(7, 1081))],
)
def test_sizes(text: str, expected: Shape) -> None:
    assert parse_shape(text) == expected


@pytest.mark.parametrize("text", ["", "x", "10", "10x", "10x0", "-1x5", "1.5x2", "99999x1", "1e3x5", "10 x 10"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_shape(text)
    assert caught.value.remedy


def test_both_workloads_end_at_4k() -> None:
    for workload in WORKLOADS.values():
        assert workload.scale is not None
        assert workload.shape.upscaled(workload.scale) == Shape(2160, 3840)
        assert workload_for_scale(workload.scale) is workload
    assert workload_for_scale(5) is None
    assert parse_workload("48x64").scale is None


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
    with pytest.raises(InputError, match=r"cannot write .*file\.bin: No space left on device"):
        write_bytes(path, b"second, longer")
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_exit_codes() -> None:
    assert (CheckFailed("x").exit_code, InputError("x").exit_code, Unavailable("x").exit_code) == (1, 2, 3)
    assert str(ToolkitError("what", "do this")) == "what\n  do this"
    assert str(ToolkitError("what")) == "what"
