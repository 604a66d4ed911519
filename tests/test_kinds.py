"""What kind of network a path holds, and the error for each kind."""

from pathlib import Path

import pytest

from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, InputError
from toolkit.kinds import Kind, kind_of, require_kind
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.subject import read_source


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("a.onnx", "a.json", "bare.onnx", "w.pth", "plain"):
        (tmp_path / name).write_bytes(b"")
    for name in ("a.openvino.engine", "renamed", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "renamed" / "engine.json").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.onnx", "artifact"),
        ("a.json", "artifact"),
        ("bare.onnx", "graph"),
        ("w.pth", "checkpoint"),
        ("plain", "checkpoint"),
        ("a.openvino.engine", "engine"),
        ("renamed", "engine"),
    ],
)
def test_kinds(name: str, kind: Kind, home: Path) -> None:
    assert kind_of(home / name) == kind


@pytest.mark.parametrize(
    ("name", "accepted", "message", "remedy"),
    [
        ("w.pth", ("artifact",), "is not an artifact: it is not an ONNX file", "toolkit export"),
        ("bare.onnx", ("artifact", "engine"), "is not an artifact or an engine bundle: it has no", "copy both"),
        ("a.openvino.engine", ("artifact",), "is not an artifact: it is an engine bundle", "built from"),
        ("a.onnx", ("engine",), "is not an engine bundle: it is an artifact", "toolkit build"),
        ("folder", ("artifact",), "folder is a directory, not an artifact", "Give a file"),
        ("folder", ("artifact", "engine"), "it is a directory without engine.json", "toolkit build"),
        ("b.onnx", ("artifact",), "there is no file", "Did you mean a.onnx or bare.onnx?"),
        ("folder/x.onnx", ("artifact",), "there is no file", "toolkit export"),
    ],
)
def test_one_error_per_kind(name: str, accepted: tuple[Kind, ...], message: str, remedy: str, home: Path) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        require_kind(home / name, *accepted)
    assert remedy in caught.value.remedy


def test_readers_give_the_same_errors(home: Path) -> None:
    for read, name, message in (
        (Artifact.read, "w.pth", "is not an artifact: it is not an ONNX file"),
        (Artifact.read, "bare.onnx", "has no manifest bare.json"),
        (Engine.read, "a.onnx", "is not an engine bundle: it is an artifact"),
        (read_source, "bare.onnx", "is not a checkpoint or an artifact or an engine bundle"),
    ):
        with pytest.raises(InputError, match=message):
            read(home / name)
    (home / "a.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"there is no file .*a\.onnx"):
        Artifact.read(home / "a.json")
