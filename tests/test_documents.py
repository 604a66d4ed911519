"""Documents that others wrote end in one kind of error, whatever is wrong with them."""

import time
from pathlib import Path

import msgspec
import pytest

from toolkit.artifact import decode_manifest
from toolkit.errors import ArtifactError, InputError
from toolkit.media.videos.encoding import Part
from toolkit.media.videos.parts import Parts
from toolkit.profiling.reporting.reading import read_report
from toolkit.quality.budget import read_budgets
from toolkit.system.documents import MalformedDocument, from_json, from_msgpack, read_toml
from toolkit.training.config import read_config

DEEP = b'{"schema":' + b"[" * 100_000
HUGE = b'{"schema": ' + b"9" * 10_000 + b"}"
NOT_TEXT = b'{"schema": "\xff"}'


@pytest.mark.parametrize("content", [DEEP, HUGE, NOT_TEXT, b"", b"{", b"[]"], ids=range(6))
def test_json(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(MalformedDocument):
        from_json(content, dict[str, str])
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"file\.json"):
        decode_manifest(path)
    with pytest.raises(InputError, match=r"file\.json"):
        read_report(path)


@pytest.mark.parametrize("content", [b"\xdd\x7f\xff\xff\xff", b"\x91" * 100_000, b"\xa1\xff", b""], ids=range(4))
def test_msgpack(content: bytes) -> None:
    with pytest.raises(MalformedDocument):
        from_msgpack(content, list[object])


@pytest.mark.parametrize(
    "content",
    [b"a=" + b"[" * 10_000, b"a=" + b"1" * 10_000, b"a='\xff'", b"a." * 100_000 + b"b=1"],
    ids=["nesting", "digits", "text", "dots"],
)
def test_toml(content: bytes, tmp_path: Path) -> None:
    """Python's parser took minutes for the last one."""
    path = tmp_path / "file.toml"
    path.write_bytes(content)
    begin = time.process_time()
    with pytest.raises(MalformedDocument):
        read_toml(path)
    assert time.process_time() - begin < 10
    for read in (read_budgets, lambda file: read_config(file, {})):
        with pytest.raises(InputError, match=r"file\.toml"):
            read(path)


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan"])
def test_limits_that_are_no_limits(value: str, tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text(f"[fp16]\nmean = {value}\nworst_image = 1.0\nworst_patch = 1.0\n")
    with pytest.raises(InputError, match=r"mean = .* is not a positive number"):
        read_budgets(path)


def test_a_directory_of_parts_that_others_changed(tmp_path: Path) -> None:
    parts, plan = Parts(tmp_path / ".film.mkv.parts"), {"input": "film.mkv"}
    parts.begin(plan, resume=True)
    parts.write(Part(3, 1, []))
    (parts.directory / "notes.part").write_bytes(b"")
    assert parts.begin(plan, resume=True) == {3}
    parts._path(4).write_bytes(parts._path(3).read_bytes())
    with pytest.raises(InputError, match="it is part 3"):
        parts.read(4)
    for content in (b"\xa1\xff", b"\x91" * 100_000, msgspec.msgpack.encode([1, 2])):
        parts._path(5).write_bytes(content)
        with pytest.raises(InputError, match=r"000005\.part"):
            parts.read(5)
    for content in (DEEP, NOT_TEXT, b"[]", b'{"digest": 5}'):
        (parts.directory / "plan.json").write_bytes(content)
        with pytest.raises(InputError, match="belongs to another job"):
            parts.begin(plan, resume=True)
