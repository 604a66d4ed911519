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

_NAMES: dict[Kind, str] = {
    "checkpoint": "a checkpoint",
    "artifact": "an artifact",
    "engine": "an engine bundle",
    "graph": "an ONNX file without a manifest",
}


def kind_of(path: Path) -> Kind:
    """What a path holds. Directories are judged by what is in them, files by their suffix; no file is opened.

    Raises:
        ArtifactError: nothing is there, or a directory that is no engine bundle.
    """
    if path.is_dir():
        if path.suffix == ENGINE_SUFFIX or (path / ENGINE_INFO).is_file():
            return "engine"
        raise ArtifactError(
            f"{path} is not an engine bundle: it is a directory without {ENGINE_INFO}",
            "Give a file, or a bundle that `toolkit build` wrote.",
        )
    if not path.exists():
        raise ArtifactError(f"there is no file {path}", _near(path))
    if path.suffix not in {".onnx", ".json"}:
        return "checkpoint"
    return "artifact" if path.with_suffix(".json").is_file() else "graph"


def require_kind(path: Path, *accepted: Kind) -> Kind:
    """The kind of `path`, which must be one of `accepted`.

    Raises:
        ArtifactError: it is of another kind, or nothing is there.
    """
    kind = kind_of(path)
    if kind in accepted:
        return kind
    wanted = " or ".join(_NAMES[name] for name in accepted)
    reason, remedy = _refusal(path, kind)
    raise ArtifactError(f"{path} is not {wanted}: {reason}", remedy)


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
