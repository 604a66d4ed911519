"""ONNX Runtime on its CPU, CUDA and TensorRT execution providers."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

from toolkit.artifact import Artifact, Precision
from toolkit.runtimes.building import BuildingRuntime, BuildOptions
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.hardware import cuda_devices, processor, usable_processors
from toolkit.runtimes.ort_session import CPU, OrtSession
from toolkit.runtimes.protocol import Availability, Runtime, Session, SessionOptions, probe_import
from toolkit.workloads import Shape

_PACKAGES = ("onnxruntime-gpu", "onnxruntime")
_MODEL = "model.onnx"


class OrtCpuRuntime(BuildingRuntime):
    """ONNX Runtime, CPU. An engine is the graph as it was optimised for this processor."""

    name: ClassVar[str] = "ort-cpu"
    description: ClassVar[str] = "ONNX Runtime, CPU execution provider"
    options = frozenset({"threads"})

    def probe(self) -> Availability:
        return _probe(CPU, 'pip install "rt4ksr-toolkit[cpu]"')

    def identity(self, options: BuildOptions) -> dict[str, str]:
        model, flags = processor()
        return {"version": _version(), "processor": model, "instructions": " ".join(flags)}

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return OrtSession(artifact, CPU, {}, options.resolved_threads())

    def _build(
        self, artifact: Artifact, shape: Shape | None, options: BuildOptions
    ) -> tuple[dict[str, bytes], dict[str, str]]:
        session = OrtSession(artifact, CPU, {}, options.threads or usable_processors())
        return {_MODEL: session.optimised()}, {"provider": CPU}

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        artifact = Artifact(engine.file(_MODEL), engine.manifest)
        return OrtSession(artifact, CPU, {}, options.resolved_threads())


class OrtCudaRuntime(Runtime):
    """ONNX Runtime, CUDA. Every node runs there, or the session is refused."""

    name: ClassVar[str] = "ort-cuda"
    description: ClassVar[str] = "ONNX Runtime, CUDA execution provider, NVIDIA GPU"
    provider: ClassVar[str] = "CUDAExecutionProvider"
    # float32 means float32: TF32 keeps 10 of 23 mantissa bits.
    provider_options: ClassVar[dict[str, str]] = {"use_tf32": "0", "prefer_nhwc": "1"}

    def probe(self) -> Availability:
        devices, reason = cuda_devices()
        if not devices:
            # get_available_providers says what was compiled in, not what works.
            return Availability(False, reason, "Run on a machine with an NVIDIA GPU and its driver.")
        return _probe(self.provider, 'pip install "rt4ksr-toolkit[gpu]"')

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return OrtSession(artifact, self.provider, self.provider_options, options.resolved_threads())


class OrtTensorRtRuntime(OrtCudaRuntime):
    """ONNX Runtime, TensorRT. onnxruntime-gpu brings its own TensorRT major version along."""

    name: ClassVar[str] = "ort-tensorrt"
    description: ClassVar[str] = "ONNX Runtime, TensorRT execution provider, NVIDIA GPU"
    provider: ClassVar[str] = "TensorrtExecutionProvider"
    provider_options: ClassVar[dict[str, str]] = {}


def _probe(provider: str, remedy: str) -> Availability:
    found = probe_import("onnxruntime", remedy)
    if not found.ok:
        return found
    import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        return Availability(False, f"this onnxruntime has no {provider}", remedy)
    return Availability(True, version=_version())


def _version() -> str:
    """Which of the two distributions of the same module is installed, and which version."""
    for package in _PACKAGES:
        try:
            return f"{version(package)} ({package})"
        except PackageNotFoundError:
            continue
    return "built from source"
