"""TensorRT and TensorRT for RTX, which have almost the same Python API.

Networks are strongly typed: an artifact runs in its own precision, and there is no precision flag.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from toolkit.artifact import Artifact
from toolkit.errors import InputError, Unavailable
from toolkit.precisions import Precision
from toolkit.runtimes.building import BuildingRuntime, BuildJob
from toolkit.runtimes.cuda.devices import (
    LIBRARIES_REMEDY,
    NO_DEVICE_REMEDY,
    compute_capability,
    cuda_devices,
    device_identity,
    device_machine,
)
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.script import ScriptJob
from toolkit.runtimes.tensorrt.script import (
    generate_rtx_script,
    generate_script,
)
from toolkit.runtimes.tensorrt.shapes import LARGEST, optimization_profile
from toolkit.system.extras import how_to_install
from toolkit.system.probe import Availability, probe_code, probe_import
from toolkit.system.progress import Progress
from toolkit.workloads import Shape

_PLAN = "plan"
"""File with the serialised engine, which TensorRT calls a plan."""

_START = """
import {module} as trt

class Logger(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.errors = []

    def log(self, severity, message):
        if severity <= trt.ILogger.Severity.ERROR:
            self.errors.append(message)

logger = Logger()
builder = trt.Builder(logger)
network, config = builder.create_network(0), builder.create_builder_config()
given = network.add_input("x", trt.DataType.FLOAT, (1,))
network.mark_output(network.add_identity(given).get_output(0))
if hasattr(config, "set_compute_capability"):
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.CURRENT, 0)
plan, runtime = builder.build_serialized_network(network, config), trt.Runtime(logger)
engine = None if plan is None else runtime.deserialize_cuda_engine(plan)
if engine is None:
    raise SystemExit(" ".join(logger.errors[:1]) or "it builds no engine")
"""
"""Builds and loads an engine that does nothing, in a separate process: with an old driver it may crash."""

_TIMING_CACHE, _RUNTIME_CACHE, _LAYERS = "timing.cache", "runtime.cache", "layers.json"


class TensorRtRuntime(BuildingRuntime):
    """TensorRT on an NVIDIA GPU; engines are built on the machine that runs them."""

    name = "tensorrt"
    description = "TensorRT, NVIDIA GPU"
    on_gpu: ClassVar[bool] = True
    module: ClassVar[str] = "tensorrt"
    remedy: ClassVar[str] = f"{how_to_install('gpu')}, on a machine with an NVIDIA GPU"
    options = frozenset({"optimization-level", "version-compatible", "hardware-compatible", "tf32"})
    keeps_timings: ClassVar[bool] = True
    """Whether a build measures kernels, and their timings help the next one."""

    def _probe(self) -> Availability:
        devices, reason = cuda_devices()
        if not devices:
            return Availability(False, reason, NO_DEVICE_REMEDY)
        found = self._installed()
        if not found.ok:
            return found
        started = probe_code(_START.format(module=self.module), LIBRARIES_REMEDY)
        return replace(started, version=found.version) if started.ok else started

    def _installed(self) -> Availability:
        """Whether the Python package can be imported. No function of it is called."""
        found = probe_import(self.module, self.remedy)
        return replace(found, version=self._version()) if found.ok else found

    def _version(self) -> str:
        try:
            return version(self.module.replace("_", "-"))
        except PackageNotFoundError:
            return str(importlib.import_module(self.module).__version__)

    def identity(self, options: BuildOptions) -> dict[str, str]:
        """A version-compatible engine is for this version or a later one of the same major number."""
        found = self._version() if self._installed().ok else "not installed"
        if options.version_compatible:
            found = f"{found.partition('.')[0]}.x"
        return {"version": found, **device_identity(hardware_compatible=options.hardware_compatible)}

    def machine(self) -> dict[str, str]:
        return {"version": self._version(), **device_machine()}

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return self.load_engine(self.build(artifact).engine, options)

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        from toolkit.runtimes.tensorrt.session import TensorRtSession

        cached = engine.file(_RUNTIME_CACHE).read_bytes() if _RUNTIME_CACHE in engine.info.files else b""
        artifact, trt = Artifact(engine.file(_PLAN), engine.manifest), importlib.import_module(self.module)
        return TensorRtSession(
            artifact, trt, artifact.path.read_bytes(), cached, host_code=engine.options.version_compatible
        )

    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        trt = importlib.import_module(self.module)
        logger = _collecting_logger(trt)
        builder = trt.Builder(logger)
        network = builder.create_network(_network_flags(trt))
        _parse(trt, network, logger, job.artifact, self.name)
        config = builder.create_builder_config()
        _configure(trt, config, job.options)
        _set_profile(builder, config, job.artifact, job.shape)
        self._set_targets(trt, config, job.options.target)
        sources = start_timings(config, job, self.name) if self.keeps_timings else []
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise Unavailable(f"{self.name} cannot build {job.artifact.manifest.name}: {logger.last()}")
        files = {_PLAN: bytes(plan)}
        read_back = {"typing": "strong", "network layers": str(network.num_layers)}
        if self.keeps_timings:
            files[_TIMING_CACHE] = bytes(config.get_timing_cache().serialize())
            read_back |= {"timing cache": _TIMING_CACHE, "timings from": ", ".join(sources) or "none"}
        inspected, seen = self._inspect(trt, job, files[_PLAN])
        return files | inspected, read_back | seen

    def _inspect(self, trt: Any, job: BuildJob, plan: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
        """Layers of the engine, and the kernels that loading and running it compiled, where there is a device."""
        if not cuda_devices()[0]:
            return {}, {"layers": "unknown without a GPU"}
        from toolkit.runtimes.tensorrt.session import TensorRtSession, layer_precisions

        try:
            session = TensorRtSession(job.artifact, trt, plan, host_code=job.options.version_compatible)
            session.bind(job.shape or LARGEST)
        except Unavailable as error:
            if not job.options.target:
                raise
            return {}, {"layers": f"unknown, as it does not run on the GPU here: {error.args[0]}"}
        layers, cached = session.layers(), session.runtime_cache()
        ran = Counter(layer_precisions(layers).values())
        described = ", ".join(f"{precision}: {count} layers" for precision, count in ran.items())
        files, read_back = {_LAYERS: layers.encode()}, {"layers": _LAYERS, "executed": described}
        if cached:
            files[_RUNTIME_CACHE], read_back["runtime cache"] = cached, _RUNTIME_CACHE
        return files, read_back

    def _script(self, subject: ScriptJob) -> str:
        return generate_script(subject, optimization_profile(subject.artifact, subject.shape))

    def _set_targets(self, trt: Any, config: Any, targets: Sequence[str]) -> None:
        """Set the GPUs to build for. Only TensorRT for RTX builds for GPUs that are not present."""


class TensorRtRtxRuntime(TensorRtRuntime):
    """TensorRT for RTX; builds ahead of time for GPUs that need not be present."""

    name = "tensorrt-rtx"
    description = "TensorRT for RTX, NVIDIA GPU; builds without one"
    module: ClassVar[str] = "tensorrt_rtx"
    remedy: ClassVar[str] = how_to_install("rtx")
    options = frozenset({"target", "optimization-level", "tf32"})
    keeps_timings: ClassVar[bool] = False  # its timing cache has no effect; it compiles kernels when it loads an engine

    def probe_build(self) -> Availability:
        return self._installed()

    def identity(self, options: BuildOptions) -> dict[str, str]:
        """With named targets the GPU here does not matter; otherwise the engine is for GPUs like the one here."""
        found = {"version": self._version() if self._installed().ok else "not installed"}
        return found if options.target else found | {"compute capability": compute_capability() or "none"}

    def mismatch(self, engine: Engine) -> str:
        targets, here = engine.options.target, compute_capability().replace(".", "")
        wrong = [super().mismatch(engine)]
        if targets and here and f"sm{here}" not in targets:
            wrong.append(f"the GPU here is sm{here}, and it was built for {','.join(targets)}")
        return "; ".join(filter(None, wrong))

    def _script(self, subject: ScriptJob) -> str:
        return generate_rtx_script(
            subject,
            optimization_profile(subject.artifact, subject.shape),
            [_capability(name) for name in subject.options.target],
        )

    def _set_targets(self, trt: Any, config: Any, targets: Sequence[str]) -> None:
        known = {name.lower(): value for name, value in trt.ComputeCapability.__members__.items() if name[:2] == "SM"}
        if unknown := [target for target in targets if target.lower() not in known]:
            raise InputError(f"{self.name} has no target {unknown[0]!r}", f"Choose from {', '.join(sorted(known))}.")
        chosen = list(dict.fromkeys(known[target.lower()] for target in targets))
        if not chosen:
            if not cuda_devices()[0]:
                raise InputError("there is no GPU here to build for", f"Give some: --target {','.join(sorted(known))}.")
            chosen = [trt.ComputeCapability.CURRENT]
        config.num_compute_capabilities = len(chosen)
        for index, capability in enumerate(chosen):
            config.set_compute_capability(capability, index)


def _capability(target: str) -> tuple[int, int]:
    """Major and minor number of `sm86`, `sm120`, and the like."""
    if not (match := re.fullmatch(r"sm(\d+)(\d)", target.lower())):
        raise InputError(f"{target!r} is not a target", "Write targets as sm86,sm120.")
    return int(match[1]), int(match[2])


def _network_flags(trt: Any) -> int:
    """Strongly typed, where that is still an option: in TensorRT 11 all networks are."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(trt: Any, network: Any, logger: Any, artifact: Artifact, name: str) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse(artifact.path.read_bytes()):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    lines = "\n".join(f"{error.node_name()} ({error.node_operator()}): {error.desc()}" for error in errors)
    raise Unavailable(f"{name} cannot take {artifact.manifest.name}", lines)


def _configure(trt: Any, config: Any, options: BuildOptions) -> None:
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default: float32 would silently keep 10 bits of mantissa
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS


def start_timings(config: Any, job: BuildJob, runtime: str) -> list[str]:
    """Give a builder the kernel timings of earlier bundles, and return the names of the bundles that had any."""
    timings, sources = config.create_timing_cache(b""), []
    for engine in job.earlier(runtime):
        if _TIMING_CACHE not in engine.info.files:
            continue
        earlier = config.create_timing_cache(engine.file(_TIMING_CACHE).read_bytes())
        if earlier is not None and timings.combine(earlier, False):
            sources.append(engine.path.name)
        else:
            job.progress(Progress(f"no timings from {engine.path.name}: TensorRT does not take them"))
    config.set_timing_cache(timings, False)
    return sources


def _set_profile(builder: Any, config: Any, artifact: Artifact, shape: Shape | None) -> None:
    if (shapes := optimization_profile(artifact, shape)) is None:
        return
    profile = builder.create_optimization_profile()
    profile.set_shape(artifact.manifest.input.name, *shapes)
    config.add_optimization_profile(profile)


def _collecting_logger(trt: Any) -> Any:
    """A logger that collects TensorRT's messages instead of printing them."""

    class Collecting(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(message)

        def last(self) -> str:
            return self.errors[-1] if self.errors else "it gave no reason"

    return Collecting()
