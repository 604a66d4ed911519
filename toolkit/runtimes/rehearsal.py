"""Loads an artifact or engine from elsewhere in a separate process before this process does."""

from __future__ import annotations

from pathlib import Path

from toolkit.artifact import Manifest, encode
from toolkit.graph.reading import allowed_memory, dangerous, invalid, libraries
from toolkit.system.isolated import run_isolated
from toolkit.system.trust import is_sound, remember
from toolkit.workloads import Shape

GRAPH_IS_VALID = "the graph is valid"
"""Line that the separate process prints between reading the graph and loading it with the runtime."""

_SMALL = Shape(16, 16)
"""Size of the frame, where the graph takes several sizes."""

_PROCESS = "toolkit.runtimes.rehearsal_process"
"""The module that the separate process runs. It imports every runtime, and every runtime imports this module."""


def rehearse(
    runtime: str, version: str, path: Path, manifest: Manifest, sha256: str, seconds: float, fixed: Shape | None = None
) -> None:
    """Load a file and run one frame in a separate process, once per file and runtime version.

    Files that were written here are not rehearsed. Where the runtime refuses the file without harm, nothing is raised:
    it will refuse it again, with the same message, in this process.

    Args:
        runtime: name.
        version: of the runtime.
        path: of an artifact or an engine bundle.
        manifest: of the artifact.
        sha256: of the artifact, or the seal of the engine.
        seconds: time limit.
        fixed: the only input size that an engine takes.

    Raises:
        ArtifactError: the graph is not valid; or loading it crashed, timed out, or took more memory than its size
            explains.
    """
    by = f"{runtime}, {version}"
    if is_sound(sha256, by):
        return
    small = manifest.sizes.extended(_SMALL)
    height, width = fixed.sides if fixed else manifest.shape or small.sides
    size = path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.iterdir())
    ended = run_isolated(
        ["-m", _PROCESS, runtime, str(path.absolute()), str(height), str(width)],
        encode(manifest),
        seconds=seconds,
        memory=allowed_memory(size, height * width),
    )
    if ended.end not in ("done", "failed"):
        raise dangerous(path, f"loading it with {runtime}", ended)
    if path.is_file():
        if GRAPH_IS_VALID not in ended.output:
            raise invalid(path, ended)
        remember(sha256, libraries())
    if ended.end == "done":
        remember(sha256, by)
