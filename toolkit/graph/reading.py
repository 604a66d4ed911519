"""Reads the graph of an artifact, after a separate process has read it without crashing."""

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
"""Longest duration of a rehearsal: imports on a busy machine, and a second for the graph."""
_MEMORY = 2 << 30
"""Resident bytes that a rehearsal may take in addition to `_PER_BYTE` for each byte of the file."""
_PER_BYTE = 16
"""Number of copies of the weights that libraries make in the worst case."""


def read_model(path: Path) -> onnx.ModelProto:
    """The graph in an ONNX file. A file that the toolkit did not write on this machine is rehearsed first, once.

    Raises:
        ArtifactError: it cannot be read, is not valid, or crashes, hangs or exhausts the libraries that read it.
    """
    check_graph(path)
    with foreign(f"{path} is not an ONNX file", "Export it again."):
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
    """The libraries that parse graphs, with their versions: a file is rehearsed again when they change."""
    return f"onnx {version('onnx')}, onnx-ir {version('onnx-ir')}"


def allowed_memory(size: int, pixels: int = 0) -> int:
    """Resident bytes that a process may take for a file of `size` bytes, and a frame of `pixels`.

    Super-resolution networks keep a few hundred float32 values in memory for each pixel.
    """
    return _MEMORY + _PER_BYTE * size + 2048 * pixels


def invalid(path: Path, ended: Ended) -> ArtifactError:
    """The error for a graph that libraries do not accept."""
    return ArtifactError(f"{path} is not a valid ONNX graph: {ended.reason}", "Export it again.")


def dangerous(path: Path, doing: str, ended: Ended) -> ArtifactError:
    """The error for a file whose rehearsal crashed or exceeded a limit.

    A crash is a fault of a library that a file may be made to exploit. A limit is also exceeded by large networks, and
    on busy machines.
    """
    if ended.end in ("late", "large"):
        return ArtifactError(
            f"{path} takes too much: {doing} was stopped ({ended.reason})",
            "If you know where it comes from, try again while the machine has nothing else to do. A small file that "
            "takes this much is made to do harm.",
        )
    return ArtifactError(
        f"{path} is dangerous: {doing} crashed a process ({ended.reason})",
        "Do not use it. If you know where it comes from, export it again from its checkpoint.",
    )
