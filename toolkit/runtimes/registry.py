"""All runtimes, listed explicitly."""

from __future__ import annotations

from pathlib import Path

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.runtimes.openvino import OpenVinoRuntime
from toolkit.runtimes.ort import OrtCpuRuntime
from toolkit.runtimes.protocol import Runtime, Session, SessionOptions
from toolkit.runtimes.tensorrt import TensorRtRtxRuntime, TensorRtRuntime
from toolkit.runtimes.torch import TorchRuntime, UnfusedTorchRuntime

BASELINE = UnfusedTorchRuntime.name

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        UnfusedTorchRuntime(),
        TorchRuntime(),
        OrtCpuRuntime(),
        OpenVinoRuntime(),
        TensorRtRuntime(),
        TensorRtRtxRuntime(),
    )
}


def find_runtime(name: str) -> Runtime:
    """A runtime by name.

    Raises:
        InputError: there is no such runtime.
    """
    if name not in RUNTIMES:
        raise InputError(f"there is no runtime {name!r}", f"Choose from {', '.join(RUNTIMES)}.")
    return RUNTIMES[name]


def load_session(artifact: Artifact | Path | str, runtime: str, options: SessionOptions | None = None) -> Session:
    """An artifact loaded by a runtime, in the artifact's own precision.

    Raises:
        InputError: there is no such runtime.
        ArtifactError: the artifact does not match its manifest.
        Unavailable: the runtime does not work here, or cannot run this precision.
    """
    loaded = artifact if isinstance(artifact, Artifact) else Artifact.read(artifact)
    return find_runtime(runtime).load(loaded, options or SessionOptions())
