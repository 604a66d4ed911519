"""Kinds of files and directories that hold a network, and the error for a kind that is not accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from toolkit.errors import ArtifactError, suggestion

Kind = Literal["checkpoint", "artifact", "engine", "graph"]
"""checkpoint: weights of a training framework, in one file.
artifact: an ONNX file and its manifest, either of which may be named.
engine: a directory that a runtime built from an artifact.
graph: an ONNX file without a manifest.
"""

DEFAULT_DIRECTORY = Path("exported")
"""Where artifacts are written and looked up by default."""

ENGINE_SUFFIX = ".engine"
ENGINE_INFO = "engine.json"
"""The file that makes a directory an engine bundle."""

_ONNX_TAGS = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42})

_NAMES: dict[Kind, str] = {
    "checkpoint": "a checkpoint",
    "artifact": "an artifact",
    "engine": "an engine bundle",
    "graph": "an ONNX file without a manifest",
}


def kind_of(path: Path) -> Kind:
    """What a path holds. Directories are judged by what is in them, files by their suffix, and by their first bytes if
    it is no suffix of ONNX files.

    Raises:
        ArtifactError: nothing is there, or a directory that is no engine bundle.
    """
    if path.is_dir():
        if _is_engine(path):
            return "engine"
        raise ArtifactError(
            f"{path} is not an engine bundle: it is a directory without {ENGINE_INFO}",
            "Give a file, or a bundle that `toolkit build` wrote.",
        )
    if not path.exists():
        raise ArtifactError(f"there is no file {path}", _near(path))
    if not _named_onnx(path):
        return "graph" if _begins_as_onnx(path) else "checkpoint"
    return "artifact" if path.with_suffix(".json").is_file() else "graph"


def require_kind(path: Path, *accepted: Kind) -> Kind:
    """The kind of `path`, which must be one of `accepted`.

    Raises:
        ArtifactError: it is of another kind, or nothing is there.
    """
    wanted = " or ".join(_NAMES[name] for name in accepted)
    if path.is_dir() and not _is_engine(path) and "engine" not in accepted:
        raise ArtifactError(f"{path} is a directory, not {wanted}", "Give a file.")
    kind = kind_of(path)
    if kind in accepted:
        return kind
    reason, remedy = _refusal(path, kind)
    raise ArtifactError(f"{path} is not {wanted}: {reason}", remedy)


def _is_engine(directory: Path) -> bool:
    return directory.suffix == ENGINE_SUFFIX or (directory / ENGINE_INFO).is_file()


def _named_onnx(path: Path) -> bool:
    return path.suffix in {".onnx", ".json"}


def _begins_as_onnx(path: Path) -> bool:
    """Whether a file begins as exporters write ONNX: version of the format, then the name of the exporter, or the
    graph. (Fields of protobuf: tag 0x08 and a small number, then a tag of 2 to 8.)"""
    if not path.is_file():
        return False  # a pipe would wait for its writer
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
    except OSError:
        return False  # whoever reads it names the reason
    safetensors = head[8:9] == b"{"
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 0x80 and head[2] in _ONNX_TAGS and not safetensors


def split_runtime(text: str | Path) -> tuple[Path, str | None]:
    """`PATH` or `PATH@RUNTIME`. A path that exists is not split at its `@`."""
    path, at, runtime = str(text).rpartition("@")
    return (Path(path), runtime) if at and not Path(text).exists() else (Path(text), None)


def _refusal(path: Path, kind: Kind) -> tuple[str, str]:
    """Why a path of this kind is refused, and what to give instead."""
    match kind:
        case "checkpoint":
            return "it is not an ONNX file", "If it is a checkpoint, convert it first: `toolkit export`."
        case "artifact":
            return "it is an artifact", "Give the checkpoint that it was exported from, or `toolkit build` an engine."
        case "engine":
            return "it is an engine bundle", "Give the artifact that it was built from."
        case "graph" if not _named_onnx(path):
            return "it is an ONNX file", "`toolkit adopt` takes it, under any name."
        case "graph":
            manifest = path.with_suffix(".json").name
            return (
                f"it has no manifest {manifest}",
                "An artifact is both files: copy both. `toolkit adopt` makes one from the ONNX file of any network.",
            )


def _near(path: Path) -> str:
    """A remedy for a missing file: the networks beside it."""
    siblings = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    networks = sorted(name for name in siblings if Path(name).suffix in (".onnx", ENGINE_SUFFIX))
    return suggestion(path.name, networks) if networks else "`toolkit export` makes an artifact from a checkpoint."
