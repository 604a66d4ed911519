"""All runtimes by name, and functions that take a runtime by name: build, generate a script, list engines."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact, read_artifact
from toolkit.errors import InputError, ToolkitError, suggestion
from toolkit.runtimes.building import BuildingRuntime, Built
from toolkit.runtimes.engine import Engine, find_engines
from toolkit.runtimes.native.runtime import NativeRuntime
from toolkit.runtimes.ncnn.runtime import NcnnRuntime, NcnnVulkanRuntime
from toolkit.runtimes.onnxruntime.plugin_runtime import plugin_runtimes
from toolkit.runtimes.onnxruntime.runtime import OrtCpuRuntime, OrtCudaRuntime, OrtTensorRtRuntime
from toolkit.runtimes.openvino.runtime import OpenVinoRuntime
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.plugins import registered_runtimes
from toolkit.runtimes.protocol import Runtime
from toolkit.runtimes.pytorch.runtime import (
    TorchCompileCudaRuntime,
    TorchCompileRuntime,
    TorchCudaRuntime,
    TorchRuntime,
    UnfusedTorchRuntime,
)
from toolkit.runtimes.script import Timing
from toolkit.runtimes.tensorrt.runtime import TensorRtRtxRuntime, TensorRtRuntime
from toolkit.system.atomic import check_outputs, write_bytes
from toolkit.system.progress import ProgressCallback, no_progress

BASELINE = UnfusedTorchRuntime.name
"""The runtime that all others are compared with."""

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        UnfusedTorchRuntime(),
        TorchRuntime(),
        TorchCompileRuntime(),
        OrtCpuRuntime(),
        OpenVinoRuntime(),
        NativeRuntime(),
        NcnnRuntime(),
        NcnnVulkanRuntime(),
        TorchCudaRuntime(),
        TorchCompileCudaRuntime(),
        OrtCudaRuntime(),
        OrtTensorRtRuntime(),
        TensorRtRuntime(),
        TensorRtRtxRuntime(),
        *plugin_runtimes(),
    )
}
"""The toolkit's own runtimes, and those that installed packages register (added at the end of this module).

Example:
    >>> "openvino" in toolkit.RUNTIMES
    True
"""


def find_runtime(name: str) -> Runtime:
    """A runtime by name.

    Raises:
        InputError: there is no such runtime.
    """
    if name not in RUNTIMES:
        raise InputError(f"there is no runtime {name!r}", suggestion(name, RUNTIMES))
    return RUNTIMES[name]


def find_building_runtime(name: str) -> BuildingRuntime:
    """A runtime that builds engines, by name.

    Raises:
        InputError: there is no such runtime, or it builds no engines.
    """
    runtime = find_runtime(name)
    if not isinstance(runtime, BuildingRuntime):
        able = [other.name for other in RUNTIMES.values() if isinstance(other, BuildingRuntime)]
        raise InputError(
            f"{name} builds no engines: it runs artifacts directly", f"Runtimes that build engines: {', '.join(able)}."
        )
    return runtime


def graph_runtimes() -> tuple[str, ...]:
    """Names of the runtimes that run the ONNX graph itself, as it is deployed."""
    return tuple(name for name, runtime in RUNTIMES.items() if runtime.runs_graph)


def default_runtime(artifact: Artifact) -> str:
    """The CPU runtime that is used when none is named.

    It is `native` where that works and runs this artifact, unless a verdict in the manifest says that the artifact
    exceeds its quality budget there; otherwise it is `ort-cpu`.
    """
    native = RUNTIMES[NativeRuntime.name]
    verdict = artifact.manifest.verdict_on(native.name)
    fits = native.probe().ok and not native.refusal(artifact, artifact.manifest.precision)
    return native.name if fits and (verdict is None or verdict.passed) else OrtCpuRuntime.name


def build(
    artifact: Artifact | Path | str,
    runtime: str,
    options: BuildOptions | None = None,
    directory: Path | None = None,
    progress: ProgressCallback = no_progress,
    *,
    overwrite: bool = False,
) -> Built:
    """Build an engine bundle from an artifact; see `BuildingRuntime.build`.

    Raises:
        InputError: there is no such runtime, or it builds no engines.
        OutputExists: a valid bundle of that name was built from another artifact or with other options, and `overwrite`
            is false; or the existing path is not a bundle.

    Example:
        >>> options = toolkit.BuildOptions(shape=toolkit.Shape(48, 64))
        >>> toolkit.build("exported/rt4ksr_x2_fp32.onnx", "ort-cpu", options, Path("small")).engine.path.name
        'rt4ksr_x2_fp32.ort-cpu.engine'
    """
    loaded = read_artifact(artifact)
    return find_building_runtime(runtime).build(
        loaded, options or BuildOptions(), directory, progress, overwrite=overwrite
    )


def build_script(
    artifact: Artifact | Path | str,
    runtime: str,
    options: BuildOptions | None = None,
    path: Path | None = None,
    timing: Timing | None = None,
    *,
    overwrite: bool = False,
) -> str:
    """Generate a Python script that builds the same engine without the toolkit and runs one frame of noise.

    The script needs the runtime's own package and NumPy, and Polygraphy for TensorRT. Nothing is built, and the runtime
    need not work here.

    Args:
        artifact: an artifact, or the path of its ONNX file.
        runtime: name.
        options: how to build.
        path: where to write the script, which finds the artifact relative to it; None: relative to the current
            directory.
        timing: how to time frames; None: run one frame.
        overwrite: replace an existing file at `path`.

    Returns:
        The script's text.

    Raises:
        InputError: there is no such runtime, or it builds no engines, or not with these options; or `path` cannot be
            written.
        OutputExists: `path` exists, and `overwrite` is false.
        Unavailable: the runtime cannot take the artifact.
    """
    loaded = read_artifact(artifact)
    check_outputs(path, overwrite=overwrite)
    home = Path() if path is None else path.parent
    onnx = Path(os.path.relpath(loaded.path, home))
    script = find_building_runtime(runtime).script(loaded, options or BuildOptions(), onnx, timing)
    if path is not None:
        if re.search(rf"^(import|from) {re.escape(path.stem)}\b", script, re.MULTILINE):
            raise InputError(f"{path} would import itself in the place of {path.stem}", "Give it another name.")
        write_bytes(path, script.encode(), overwrite=overwrite)
    return script


def engine_obstacle(engine: Engine) -> str:
    """Why an engine cannot run here, and what to do about it; empty when it can."""
    runtime = find_building_runtime(engine.info.runtime)
    available = runtime.probe_engine()
    if not available.ok:
        return f"{available.reason}. {available.remedy}"
    mismatch = runtime.mismatch(engine)
    return f"it does not fit: {mismatch}. Build it again: {engine.rebuild_command}" if mismatch else ""


class EngineState(msgspec.Struct, frozen=True):
    """A bundle.

    Attributes:
        name: of the directory.
        precision: of the artifact.
        shape: (height, width) of the input that it was built for; None: any.
        fits: whether it is valid, built from the artifact beside it, and for this machine.
        runs: whether it fits and its runtime works here.
        reason: why not; empty when it runs.
        remedy: what to do about it.
    """

    name: str
    precision: str
    shape: tuple[int, int] | None
    fits: bool
    runs: bool
    reason: str
    remedy: str


def list_engines(directory: Path) -> list[EngineState]:
    """All bundles in a directory, including damaged ones.

    Raises:
        InputError: there is no such directory.
    """
    if not directory.is_dir():
        raise InputError(f"there is no directory {directory}", "`toolkit build` writes engines beside their artifacts.")
    return [engine_state(path) for path in find_engines(directory)]


def engine_state(path: Path) -> EngineState:
    """Whether a bundle is valid and runs here."""
    try:
        engine = Engine.read(path)
        runtime = find_building_runtime(engine.info.runtime)
        mismatch = runtime.mismatch(engine)
    except ToolkitError as error:
        return EngineState(path.name, "", None, False, False, error.args[0], error.remedy)
    info, available = engine.info, runtime.probe()
    if mismatch:
        remedy = f"Build it again: {engine.rebuild_command}"
        return EngineState(path.name, info.precision, info.shape, False, False, mismatch, remedy)
    reason, remedy = ("", "") if available.ok else (available.reason, available.remedy)
    return EngineState(path.name, info.precision, info.shape, True, available.ok, reason, remedy)


# At the end, so that a registered module may import this one.
RUNTIMES.update(registered_runtimes(RUNTIMES))
