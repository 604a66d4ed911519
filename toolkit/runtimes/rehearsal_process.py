"""The separate process of `rehearsal`: loads an artifact or engine with a runtime and runs one frame.

`python -P -m toolkit.runtimes.rehearsal_process RUNTIME PATH HEIGHT WIDTH`, with the manifest on standard input.
"""

from __future__ import annotations

import sys
from pathlib import Path

from toolkit.artifact import Artifact, Manifest
from toolkit.errors import ArtifactError
from toolkit.graph import rehearsal
from toolkit.kinds import kind_of
from toolkit.runtimes.building import BuildingRuntime
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.registry import find_runtime
from toolkit.runtimes.rehearsal import GRAPH_IS_VALID
from toolkit.system.documents import from_json
from toolkit.system.foreign import first_line
from toolkit.workloads import Shape


def main(name: str, path: Path, shape: Shape) -> None:
    """Raise if the file cannot be loaded, or does not upscale as its manifest says."""
    manifest, options = from_json(sys.stdin.buffer.read(), Manifest), SessionOptions(threads=1)
    runtime = find_runtime(name)
    if kind_of(path) == "engine" and isinstance(runtime, BuildingRuntime):
        session = runtime._load_engine(Engine.read(path), options)
    else:
        rehearsal.main(path)
        print(GRAPH_IS_VALID, flush=True)
        session = runtime._load(Artifact(path, manifest), manifest.precision, options)
    session.bind(shape)
    returned = session.run(manifest.input.zeros(shape))
    expected = manifest.output.frame_shape(shape.upscaled(manifest.network.scale))
    if returned.shape != expected:
        raise ArtifactError(f"{path} returns {returned.shape}, but its manifest says {expected}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), Shape(int(sys.argv[3]), int(sys.argv[4])))
    except Exception as error:  # noqa: BLE001  (whatever a library raises is the reason)
        sys.exit(first_line(error))
