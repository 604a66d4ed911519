"""Loads an artifact or engine with a runtime and runs one frame, in a process of its own.

The process is `python -P -m toolkit.runtimes.rehearsal RUNTIME PATH HEIGHT WIDTH` with the manifest on standard input.
"""

from __future__ import annotations

import sys
from pathlib import Path

from toolkit.artifact import Artifact, Manifest, encode
from toolkit.errors import ArtifactError
from toolkit.graph.reading import allowed_memory, dangerous, invalid, libraries
from toolkit.kinds import kind_of
from toolkit.system.documents import from_json
from toolkit.system.foreign import first_line
from toolkit.system.isolated import run_isolated
from toolkit.system.trust import is_sound, remember
from toolkit.workloads import Shape

_VALID = "the graph is valid"
_SMALL = Shape(16, 16)
"""Of the frame, where the graph takes several sizes."""


def rehearse(
    runtime: str, version: str, path: Path, manifest: Manifest, sha256: str, seconds: float, fixed: Shape | None = None
) -> None:
    """Once for every file and version of a runtime; not for what was written here.

    A clean failure of the runtime is no answer: it will say the same again, in the process that needs it.

    Args:
        runtime: by name.
        version: of it.
        path: of an artifact or an engine bundle.
        manifest: of the artifact.
        sha256: of the artifact, or the seal of the engine.
        seconds: how long it may take.
        fixed: the only size that an engine takes.

    Raises:
        ArtifactError: the graph is not valid; or loading crashed, hung, or took more memory than its size explains.
    """
    by = f"{runtime}, {version}"
    if is_sound(sha256, by):
        return
    small = manifest.sizes.extended(_SMALL)
    height, width = fixed.sides if fixed else manifest.shape or small.sides
    size = path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.iterdir())
    ended = run_isolated(
        ["-m", "toolkit.runtimes.rehearsal", runtime, str(path.absolute()), str(height), str(width)],
        encode(manifest),
        seconds=seconds,
        memory=allowed_memory(size, height * width),
    )
    if ended.end not in ("done", "failed"):
        raise dangerous(path, f"loading it with {runtime}", ended)
    if path.is_file():
        if _VALID not in ended.output:
            raise invalid(path, ended)
        remember(sha256, libraries())
    if ended.end == "done":
        remember(sha256, by)


def main(name: str, path: Path, height: int, width: int) -> None:
    """What the process does."""

    from toolkit.graph import rehearsal
    from toolkit.runtimes.building import BuildingRuntime
    from toolkit.runtimes.engine import Engine
    from toolkit.runtimes.protocol import SessionOptions
    from toolkit.runtimes.registry import find_runtime

    manifest, options = from_json(sys.stdin.buffer.read(), Manifest), SessionOptions(threads=1)
    runtime = find_runtime(name)
    if kind_of(path) == "engine" and isinstance(runtime, BuildingRuntime):
        session = runtime._load_engine(Engine.read(path), options)
    else:
        rehearsal.main(path)
        print(_VALID, flush=True)
        session = runtime._load(Artifact(path, manifest), manifest.precision, options)
    session.bind(Shape(height, width))
    returned = session.run(manifest.input.zeros(Shape(height, width)))
    expected = manifest.output.frame_shape(Shape(height, width).upscaled(manifest.network.scale))
    if returned.shape != expected:
        raise ArtifactError(f"{path} returns {returned.shape}, and its manifest promises {expected}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    except Exception as error:  # noqa: BLE001  (whatever a library raises is the answer)
        sys.exit(first_line(error))
