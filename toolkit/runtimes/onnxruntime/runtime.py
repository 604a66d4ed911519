"""ONNX Runtime with its CPU, CUDA and TensorRT execution providers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

from toolkit.artifact import Artifact, encode
from toolkit.errors import ArtifactError, Unavailable
from toolkit.precisions import Precision
from toolkit.runtimes.building import BuildingRuntime, BuildJob
from toolkit.runtimes.cuda.devices import (
    LIBRARIES_REMEDY,
    NO_DEVICE_REMEDY,
    cuda_devices,
    device_identity,
    device_machine,
)
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.onnxruntime.gpu_session import OrtEngineCacheSession, OrtGpuSession
from toolkit.runtimes.onnxruntime.provider import (
    CACHES,
    CUDA,
    ENGINE_CACHE,
    TENSORRT,
    TIMING_CACHE,
    Provider,
    cuda_provider,
    tensorrt_provider,
)
from toolkit.runtimes.onnxruntime.script import generate_script
from toolkit.runtimes.onnxruntime.session import CPU, OrtSession
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.script import ScriptJob
from toolkit.system.documents import MalformedDocument, from_json
from toolkit.system.extras import how_to_install
from toolkit.system.hardware import cpu_identity, cpu_model, usable_cpus
from toolkit.system.probe import Availability, probe_code, probe_import
from toolkit.workloads import Shape

_PACKAGES = ("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-migraphx", "onnxruntime")
_MODEL, _PROVIDER = "model.onnx", "provider.json"

_START = """
import sys, numpy, onnxruntime
# Building an engine for one node would take seconds: TensorRT leaves so small a graph to the CPU.
limits = {{"trt_min_subgraph_size": "1000"}} if {provider!r}.startswith("Tensorrt") else {{}}
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
session = onnxruntime.InferenceSession(
    sys.stdin.buffer.read(), options, providers=[({provider!r}, limits)], enable_fallback=0
)
if session.get_providers()[0] != {provider!r}:
    sys.exit("ONNX Runtime chose " + session.get_providers()[0] + " instead of {provider}")
session.run(None, {{"x": numpy.zeros(1, numpy.float32)}})
"""
"""Starts an execution provider, in a separate process."""


class OrtCpuRuntime(BuildingRuntime):
    """ONNX Runtime, CPU. An engine is the graph after ONNX Runtime's optimisations for this CPU."""

    name = "ort-cpu"
    description = "ONNX Runtime, CPU execution provider"
    options = frozenset({"threads"})
    rehearsed: ClassVar[bool] = True
    rehearses_engines: ClassVar[bool] = True

    def _probe(self) -> Availability:
        return probe_provider(CPU, how_to_install("cpu"))

    def identity(self, options: BuildOptions) -> dict[str, str]:
        return {"version": onnxruntime_version(), **cpu_identity()}

    def machine(self) -> dict[str, str]:
        return {"processor": cpu_model()[0]}

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return OrtSession(artifact, Provider(CPU, {}), options.resolved_threads())

    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        session = OrtSession(job.artifact, Provider(CPU, {}), job.options.threads or usable_cpus())
        return {_MODEL: session.optimised()}, {"provider": CPU}

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        artifact = Artifact(engine.file(_MODEL), engine.manifest)
        return OrtSession(artifact, Provider(CPU, {}), options.resolved_threads())

    def _script(self, subject: ScriptJob) -> str:
        return generate_script(subject, CPU, {})


class OrtGpuRuntime(BuildingRuntime):
    """ONNX Runtime on an NVIDIA GPU. Every node runs there, or the session is refused.

    An engine holds the graph, which ONNX Runtime optimises when it loads it, the options of the provider, and the
    provider's caches.
    """

    provider: ClassVar[str]
    on_gpu: ClassVar[bool] = True

    @abstractmethod
    def _provider(self, artifact: Artifact, shape: Shape | None, options: BuildOptions) -> Provider:
        """The provider and its options."""

    def _probe(self) -> Availability:
        devices, reason = cuda_devices()
        if not devices:
            # get_available_providers lists what was compiled in, not what works.
            return Availability(False, reason, NO_DEVICE_REMEDY)
        found = probe_provider(self.provider, how_to_install("gpu"))
        if not found.ok:
            return found
        # A provider loads its libraries with the first session; missing or broken ones fail only then.
        started = probe_code(_START.format(provider=self.provider), LIBRARIES_REMEDY, _tiny_graph())
        return replace(started, version=found.version) if started.ok else started

    def identity(self, options: BuildOptions) -> dict[str, str]:
        return {"version": onnxruntime_version(), **device_identity(hardware_compatible=options.hardware_compatible)}

    def machine(self) -> dict[str, str]:
        return device_machine()

    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        provider = self._provider(job.artifact, job.shape, job.options)
        with tempfile.TemporaryDirectory() as place:
            directory = Path(place)
            read_back = self._run_once(job, provider, directory)
            files = {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.suffix in CACHES}
        files |= {_MODEL: job.artifact.path.read_bytes(), _PROVIDER: encode(provider)}
        return files, {"provider": provider.name, **read_back}

    def _run_once(self, job: BuildJob, provider: Provider, directory: Path) -> dict[str, str]:
        """Load the graph and run a frame, which writes the caches in `directory`."""
        session = OrtGpuSession(_copied(job.artifact, directory), provider, usable_cpus())
        session.bind(job.shape or job.artifact.manifest.sizes.extended(Shape(1, 1)))
        ran = Counter(node.precision for node in session.executed().values())
        return {"executed": ", ".join(f"{precision}: {nodes} nodes" for precision, nodes in ran.items())}

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        artifact = Artifact(engine.file(_MODEL), engine.manifest)
        return OrtGpuSession(artifact, self._read_provider(engine), options.resolved_threads())

    def _read_provider(self, engine: Engine) -> Provider:
        path = engine.file(_PROVIDER)
        try:
            provider = from_json(path.read_bytes(), Provider)
        except (OSError, MalformedDocument) as error:
            raise ArtifactError(f"{path} cannot be read: {error}", "Build the engine again.") from error
        if provider.name != self.provider:
            raise ArtifactError(f"{path} is for {provider.name}, not {self.provider}", "Build the engine again.")
        return provider

    def _script(self, subject: ScriptJob) -> str:
        provider = self._provider(subject.artifact, subject.shape, subject.options)
        return generate_script(subject, provider.name, provider.options)


class OrtCudaRuntime(OrtGpuRuntime):
    """ONNX Runtime, CUDA."""

    name = "ort-cuda"
    description = "ONNX Runtime, CUDA execution provider, NVIDIA GPU"
    provider: ClassVar[str] = CUDA
    options = frozenset({"tf32", "cuda-graph", "nhwc"})
    rehearsed: ClassVar[bool] = True
    rehearses_engines: ClassVar[bool] = True

    def _provider(self, artifact: Artifact, shape: Shape | None, options: BuildOptions) -> Provider:
        return cuda_provider(options)

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return OrtGpuSession(artifact, cuda_provider(BuildOptions()), options.resolved_threads())


class OrtTensorRtRuntime(OrtGpuRuntime):
    """ONNX Runtime, TensorRT. Each onnxruntime-gpu needs one TensorRT major version."""

    name = "ort-tensorrt"
    description = "ONNX Runtime, TensorRT execution provider, NVIDIA GPU"
    provider: ClassVar[str] = TENSORRT
    options = frozenset({"optimization-level", "hardware-compatible", "cuda-graph"})

    def _provider(self, artifact: Artifact, shape: Shape | None, options: BuildOptions) -> Provider:
        return tensorrt_provider(artifact, shape, options)

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return self.load_engine(self.build(artifact).engine, options)

    def _run_once(self, job: BuildJob, provider: Provider, directory: Path) -> dict[str, str]:
        timings = [path for engine in job.earlier(self.name) for path in engine.path.glob(f"*{TIMING_CACHE}")]
        for path in timings:  # named after the GPU model: the newest replaces the others
            shutil.copy(path, directory)
        with _without_tf32():
            read_back = super()._run_once(job, provider.caching_in(directory), directory)
        written = sorted(path.name for path in directory.iterdir() if path.suffix in CACHES)
        if not any(name.endswith(ENGINE_CACHE) for name in written):
            raise Unavailable(f"{self.provider} wrote no engine for {job.artifact.manifest.name}")
        sources = [path.parent.name for path in timings[-1:]]
        return read_back | {
            "typing": "strong",
            "tf32": "off, by NVIDIA_TF32_OVERRIDE",
            "engine cache": ", ".join(name for name in written if not name.endswith(TIMING_CACHE)),
            "timing cache": ", ".join(name for name in written if name.endswith(TIMING_CACHE)) or "none",
            "timings from": ", ".join(sources) or "none",
        }

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        with _without_tf32():
            return OrtEngineCacheSession(engine, _MODEL, self._read_provider(engine), options.resolved_threads())


def _tiny_graph() -> bytes:
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "tiny", values[:1], values[1:])
    opset = helper.make_opsetid("", 13)
    model: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return model


def _copied(artifact: Artifact, directory: Path) -> Artifact:
    """A copy with the name that it has in the bundle: TensorRT's engines are named after the graph's file."""
    path = directory / _MODEL
    path.write_bytes(artifact.path.read_bytes())
    return Artifact(path, artifact.manifest)


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Disable TF32 by the environment variable that NVIDIA's libraries read when an engine is built.

    The TensorRT provider has no option for it.
    """
    name = "NVIDIA_TF32_OVERRIDE"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def probe_provider(provider: str, remedy: str) -> Availability:
    """Whether the installed ONNX Runtime has a provider built in, which does not mean that it works here."""
    found = probe_import("onnxruntime", remedy)
    if not found.ok:
        return found
    import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        return Availability(False, f"this onnxruntime has no {provider}", remedy)
    return Availability(True, version=onnxruntime_version())


def onnxruntime_version() -> str:
    """Version and name of the installed distribution, of those that provide the module."""
    for package in _PACKAGES:
        try:
            return f"{version(package)} ({package})"
        except PackageNotFoundError:
            continue
    return "built from source" if importlib.util.find_spec("onnxruntime") else "not installed"
