"""TensorRT and TensorRT for RTX: one module for two flavours of the same API.

Networks are strongly typed: an artifact's precision is what runs, and there is no precision flag to set.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from toolkit.artifact import Artifact, Precision
from toolkit.errors import InputError, Unavailable
from toolkit.runtimes.building import BuildingRuntime, BuildOptions
from toolkit.runtimes.engine import PLAN, Engine
from toolkit.runtimes.hardware import cuda_devices
from toolkit.runtimes.protocol import Availability, Session, SessionOptions, frame_shape, probe_import
from toolkit.workloads import Shape

_LARGEST = Shape(2160, 3840)
"""Of the optimization profile for dynamic artifacts without a workload."""


class TensorRtRuntime(BuildingRuntime):
    """TensorRT on an NVIDIA GPU; builds where it runs."""

    name: ClassVar[str] = "tensorrt"
    description: ClassVar[str] = "TensorRT, NVIDIA GPU"
    module: ClassVar[str] = "tensorrt"
    remedy: ClassVar[str] = 'pip install "rt4ksr-toolkit[gpu]" on a machine with an NVIDIA GPU'
    options = frozenset({"optimization-level", "version-compatible", "hardware-compatible", "tf32"})

    def probe(self) -> Availability:
        devices, reason = cuda_devices()
        if not devices:
            return Availability(False, reason, "Run on a machine with an NVIDIA GPU and its driver.")
        return self._installed()

    def probe_build(self) -> Availability:
        return self.probe()

    def _installed(self) -> Availability:
        """Whether the Python package can be imported. Nothing of it is called."""
        found = probe_import(self.module, self.remedy)
        return replace(found, version=self._version()) if found.ok else found

    def _version(self) -> str:
        try:
            return version(self.module.replace("_", "-"))
        except PackageNotFoundError:
            return str(importlib.import_module(self.module).__version__)

    def identity(self, options: BuildOptions) -> dict[str, str]:
        found = {"version": self._version() if self._installed().ok else "not installed"}
        devices, _ = cuda_devices()
        return found | {"device": devices[0] if devices else "none"}

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return self.load_engine(self.build(artifact).engine, options)

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        from toolkit.runtimes.tensorrt_session import TensorRtSession

        return TensorRtSession(engine, importlib.import_module(self.module))

    def _build(
        self, artifact: Artifact, shape: Shape | None, options: BuildOptions
    ) -> tuple[dict[str, bytes], dict[str, str]]:
        trt = importlib.import_module(self.module)
        logger = _collecting_logger(trt)
        builder = trt.Builder(logger)
        network = builder.create_network(_network_flags(trt))
        _parse(trt, network, logger, artifact, self.name)
        config = builder.create_builder_config()
        _configure(trt, config, options)
        _set_profile(builder, config, artifact, shape)
        self._set_targets(trt, config, options.target)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise Unavailable(f"{self.name} cannot build {artifact.manifest.name}: {logger.last()}")
        return {PLAN: bytes(plan)}, {"layers": str(network.num_layers), "typing": "strong"}

    def _set_targets(self, trt: Any, config: Any, targets: Sequence[str]) -> None:
        """Only TensorRT for RTX builds for GPUs that are not here."""


class TensorRtRtxRuntime(TensorRtRuntime):
    """TensorRT for RTX; builds ahead of time for GPUs that need not be here."""

    name: ClassVar[str] = "tensorrt-rtx"
    description: ClassVar[str] = "TensorRT for RTX, NVIDIA GPU; builds without one"
    module: ClassVar[str] = "tensorrt_rtx"
    remedy: ClassVar[str] = 'pip install "rt4ksr-toolkit[rtx]"'
    options = frozenset({"target", "optimization-level", "tf32"})

    def probe_build(self) -> Availability:
        return self._installed()

    def identity(self, options: BuildOptions) -> dict[str, str]:
        """The plan is compiled for its targets, and finished on the device: only the version must be the same."""
        return {"version": self._version() if self._installed().ok else "not installed"}

    def _set_targets(self, trt: Any, config: Any, targets: Sequence[str]) -> None:
        known = {name.lower(): value for name, value in trt.ComputeCapability.__members__.items() if name[:2] == "SM"}
        if unknown := [target for target in targets if target.lower() not in known]:
            raise InputError(f"{self.name} has no target {unknown[0]!r}", f"Choose from {', '.join(sorted(known))}.")
        chosen = [known[target.lower()] for target in targets]
        if not chosen:
            if not cuda_devices()[0]:
                raise InputError("there is no GPU here to build for", f"Name some: --target {','.join(sorted(known))}.")
            chosen = [trt.ComputeCapability.CURRENT]
        config.num_compute_capabilities = len(chosen)
        for index, capability in enumerate(chosen):
            config.set_compute_capability(capability, index)


def _network_flags(trt: Any) -> int:
    """Strongly typed where that is still a choice; TensorRT 11 knows nothing else."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(trt: Any, network: Any, logger: Any, artifact: Artifact, name: str) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse(artifact.path.read_bytes()):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    lines = "\n".join(f"  {error.node_name()} ({error.node_operator()}): {error.desc()}" for error in errors)
    raise Unavailable(f"{name} cannot take {artifact.manifest.name}:\n{lines}")


def _configure(trt: Any, config: Any, options: BuildOptions) -> None:
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default: float32 would quietly keep 10 bits of mantissa
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS


def _set_profile(builder: Any, config: Any, artifact: Artifact, shape: Shape | None) -> None:
    manifest = artifact.manifest
    if manifest.shape is not None:
        return
    smallest = Shape(manifest.smallest, manifest.smallest)
    best = shape or _LARGEST
    largest = Shape(*(max(sides) for sides in zip(best.sides, _LARGEST.sides, strict=True)))
    profile = builder.create_optimization_profile()
    profile.set_shape(
        manifest.input.name, *(frame_shape(size, manifest.input.layout) for size in (smallest, best, largest))
    )
    config.add_optimization_profile(profile)


def _collecting_logger(trt: Any) -> Any:
    """A logger that keeps what TensorRT says instead of printing it."""

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
