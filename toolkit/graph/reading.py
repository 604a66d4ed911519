"""Reads the graph of an artifact, after a process of its own has read it without harm."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import onnx

from toolkit.errors import ArtifactError
from toolkit.system.atomic import sha256_of_file
from toolkit.system.foreign import foreign
from toolkit.system.isolated import Ended, run_isolated
from toolkit.system.trust import is_sound, remember

SECONDS = 120
"""That a rehearsal may take: imports on a busy machine, and a second for the graph."""
_MEMORY = 2 << 30
"""Resident bytes that a rehearsal may take besides what the size of the file explains."""
_PER_BYTE = 16
"""Copies of its weights that libraries make in the worst case."""


def read_model(path: Path) -> onnx.ModelProto:
    """The graph in an ONNX file. One that was not written here is rehearsed first, once.

    Raises:
        ArtifactError: it cannot be read, is not valid, or crashes, hangs or exhausts the libraries that read it.
    """
    check_graph(path)
    with foreign(f"{path} is no ONNX file", "Export it again."):
        return onnx.load(path, load_external_data=False)


def check_graph(path: Path) -> None:
    """Raise ArtifactError as `read_model` does."""
    with foreign(f"cannot read {path}", "Check the path."):
        sha256, size = sha256_of_file(path), path.stat().st_size
    if is_sound(sha256, libraries()):
        return
    arguments = ["-m", "toolkit.graph.rehearsal", str(path.absolute())]
    ended = run_isolated(arguments, seconds=SECONDS, memory=allowed_memory(size))
    if ended.end == "failed":
        raise invalid(path, ended)
    if ended.end != "done":
        raise dangerous(path, "reading it", ended)
    remember(sha256, libraries())


def libraries() -> str:
    """The libraries that look into graphs, and their versions."""
    return f"onnx {version('onnx')}, onnx-ir {version('onnx-ir')}"


def allowed_memory(size: int, pixels: int = 0) -> int:
    """Resident bytes that a process may take for a file of `size` bytes, and a frame of `pixels`.

    Networks for video keep some hundred float32 values alive for each pixel.
    """
    return _MEMORY + _PER_BYTE * size + 2048 * pixels


def invalid(path: Path, ended: Ended) -> ArtifactError:
    """The error for a graph that libraries refuse."""
    return ArtifactError(f"{path} is not a valid ONNX graph: {ended.reason}", "Export it again.")


def dangerous(path: Path, doing: str, ended: Ended) -> ArtifactError:
    """The error for a file whose rehearsal was ended, or ended itself."""
    return ArtifactError(
        f"{path} is dangerous: {doing} ended a process ({ended.reason})",
        "Do not use it. If you know where it comes from, export it again from its checkpoint.",
    )
