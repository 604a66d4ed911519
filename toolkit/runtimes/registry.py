"""All runtimes, listed explicitly."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact
from toolkit.errors import InputError, ToolkitError, suggestion
from toolkit.runtimes.building import BuildingRuntime, BuildOptions, Built
from toolkit.runtimes.engine import Engine, find_engines
from toolkit.runtimes.native.runtime import NativeRuntime
from toolkit.runtimes.onnxruntime.runtime import OrtCpuRuntime, OrtCudaRuntime, OrtTensorRtRuntime
from toolkit.runtimes.openvino.runtime import OpenVinoRuntime
from toolkit.runtimes.protocol import Runtime, Session, SessionOptions
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

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        UnfusedTorchRuntime(),
        TorchRuntime(),
        TorchCompileRuntime(),
        OrtCpuRuntime(),
        OpenVinoRuntime(),
        NativeRuntime(),
        TorchCudaRuntime(),
        TorchCompileCudaRuntime(),
        OrtCudaRuntime(),
        OrtTensorRtRuntime(),
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
        raise InputError(f"there is no runtime {name!r}", suggestion(name, RUNTIMES))
    return RUNTIMES[name]


def default_runtime(artifact: Artifact) -> str:
    """The runtime that CPU work takes when none is named: `native` where it works and runs this artifact.

    Not where a verdict in the manifest says that it is over budget there; then, and where it does not work, `ort-cpu`.
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
    """An engine bundle built from an artifact by a runtime; see `BuildingRuntime.build`.

    Raises:
        InputError: there is no such runtime, or it builds no engines.
        OutputExists: a sound bundle of that name was built from another artifact or with other options, and `overwrite`
            is false; or what has that name is not a bundle.
    """
    loaded = artifact if isinstance(artifact, Artifact) else Artifact.read(artifact)
    return _building(runtime).build(loaded, options or BuildOptions(), directory, progress, overwrite=overwrite)


def build_script(
    artifact: Artifact | Path | str,
    runtime: str,
    options: BuildOptions | None = None,
    path: Path | None = None,
    timing: Timing | None = None,
    *,
    overwrite: bool = False,
) -> str:
    """A Python script that builds the same engine without the toolkit and runs one frame of noise.

    It needs the runtime's own package and NumPy; TensorRT's go through Polygraphy. Nothing is built, and the runtime
    need not work here. Where `path` is given the script is written there too, and finds the artifact from there; else
    from the current directory. Where `timing` is given, the script times frames.

    Raises:
        InputError: there is no such runtime, or it builds no engines, or not with these options; or `path` cannot be
            written.
        OutputExists: `path` exists, and `overwrite` is false.
        Unavailable: the runtime cannot take the artifact.
    """
    loaded = artifact if isinstance(artifact, Artifact) else Artifact.read(artifact)
    check_outputs(path, overwrite=overwrite)
    home = Path() if path is None else path.parent
    onnx = Path(os.path.relpath(loaded.path, home))
    script = _building(runtime).script(loaded, options or BuildOptions(), onnx, timing)
    if path is not None:
        if re.search(rf"^(import|from) {re.escape(path.stem)}\b", script, re.MULTILINE):
            raise InputError(f"{path} would import itself in the place of {path.stem}", "Give it another name.")
        write_bytes(path, script.encode(), overwrite=overwrite)
    return script


def load_engine(engine: Engine | Path | str, options: SessionOptions | None = None) -> Session:
    """A session for an engine bundle.

    Raises:
        ArtifactError: it is no bundle, or was edited.
        Unavailable: its runtime does not work here, or it was built for something else.
    """
    loaded = engine if isinstance(engine, Engine) else Engine.read(engine)
    return _building(loaded.info.runtime).load_engine(loaded, options)


def engine_obstacle(engine: Engine) -> str:
    """Why an engine cannot run here, and what to do; empty when it can."""
    runtime = _building(engine.info.runtime)
    available = runtime.probe_engine()
    if not available.ok:
        return f"{available.reason}. {available.remedy}"
    mismatch = runtime.mismatch(engine)
    return f"it does not fit: {mismatch}. Build it again: {engine.rebuild_command}" if mismatch else ""


class EngineState(msgspec.Struct, frozen=True):
    """A bundle in a directory.

    Attributes:
        fits: whether it is whole, made from the artifact beside it, and for this machine.
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
    """All bundles of a directory, damaged ones included.

    Raises:
        InputError: there is no such directory.
    """
    if not directory.is_dir():
        raise InputError(f"there is no directory {directory}", "`toolkit build` writes engines beside their artifacts.")
    return [_state(path) for path in find_engines(directory)]


def _state(path: Path) -> EngineState:
    try:
        engine = Engine.read(path)
        runtime = _building(engine.info.runtime)
        mismatch = runtime.mismatch(engine)
    except ToolkitError as error:
        return EngineState(path.name, "", None, False, False, error.args[0], error.remedy)
    info, available = engine.info, runtime.probe()
    if mismatch:
        remedy = f"Build it again: {engine.rebuild_command}"
        return EngineState(path.name, info.precision, info.shape, False, False, mismatch, remedy)
    reason, remedy = ("", "") if available.ok else (available.reason, available.remedy)
    return EngineState(path.name, info.precision, info.shape, True, available.ok, reason, remedy)


def _building(name: str) -> BuildingRuntime:
    runtime = find_runtime(name)
    if not isinstance(runtime, BuildingRuntime):
        able = [other.name for other in RUNTIMES.values() if isinstance(other, BuildingRuntime)]
        raise InputError(
            f"{name} builds no engines: it runs artifacts as they are", f"Those that do: {', '.join(able)}."
        )
    return runtime
