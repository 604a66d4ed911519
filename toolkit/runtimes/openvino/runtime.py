"""OpenVINO on the CPU."""

from __future__ import annotations

import io
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np

from toolkit.artifact import Artifact, Precision
from toolkit.errors import InputError
from toolkit.port import Frame
from toolkit.runtimes.building import BuildingRuntime, BuildJob, BuildOptions
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.layers import LayerClock, graph_nodes, nodes_in
from toolkit.runtimes.openvino.script import openvino_script
from toolkit.runtimes.protocol import (
    ArtifactSession,
    Availability,
    Executed,
    LayerTime,
    Session,
    SessionOptions,
    probe_import,
    short_precision,
)
from toolkit.runtimes.script import Subject
from toolkit.system.hardware import cpu_identity, cpu_model, usable_cpus
from toolkit.system.openvino_core import openvino_core
from toolkit.workloads import Shape

# OpenVINO lowers float32 to bfloat16 by itself where the processor has it. The hint is the only way to stop it; but one
# that the processor cannot follow means bfloat16, too: float16 with 3 of its 10 mantissa bits cut off. With f32 it
# computes bfloat16 where the graph has that type; with bf16 it would lower the nodes that were kept in float32.
_HINTS: dict[Precision, str] = {"fp32": "f32", "fp16": "f16", "bf16": "f32", "int8": "f32"}
_CAPABILITIES = {"f32": "FP32", "f16": "FP16"}

_BLOB = "model.blob"
_SCHEDULING: dict[str, str | int] = {"NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
_ARITHMETIC = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
_KERNEL_KEYS = {"primitiveType", "layerType", "runtimePrecision"}


class OpenVinoSession(ArtifactSession):
    """A model compiled for the bound size, with input and output tensors over the caller's memory."""

    def __init__(self, artifact: Artifact, precision: Precision, threads: int) -> None:
        super().__init__(artifact)
        self._core = openvino_core()
        self._config = _config(self._core, precision, threads)
        self._compiled: Any = None
        self._request: Any = None
        self._output: Frame = np.empty(0)

    def _bind(self, shape: Shape) -> None:
        import openvino

        self._compiled = self._compile(shape, self._config)
        self._request = self._compiled.create_infer_request()
        self._output = self.output_frame(shape)
        self._request.set_output_tensor(openvino.Tensor(self._output, shared_memory=True))

    def _compile(self, shape: Shape, config: dict[str, Any]) -> Any:
        model = self._core.read_model(self.artifact.path)
        model.reshape(list(self.artifact.manifest.input.frame_shape(shape)))
        return self._core.compile_model(model, "CPU", config)

    def _run(self, frame: Frame) -> Frame:
        import openvino

        # OpenVINO shares only memory it could write to, though it does not write to an input.
        shared = frame if frame.flags.writeable else frame.copy()
        self._request.set_input_tensor(openvino.Tensor(shared, shared_memory=True))
        self._request.infer(share_outputs=True)  # or Python would copy them, and nobody reads the copy
        return self._output

    def layer_times(self, frame: Frame, frames: int) -> list[LayerTime]:
        """Per kernel that ran, from OpenVINO's own counters, in a model compiled with them."""
        import openvino

        extended = self._extended(frame)
        port = self.artifact.manifest.input
        compiled = self._compile(port.size_of(extended), self._config | {"PERF_COUNT": True})
        request, clock = compiled.create_infer_request(), LayerClock()
        request.set_input_tensor(openvino.Tensor(extended))
        for _ in range(frames + 1):
            request.infer()
            for kernel in request.profiling_info:
                if kernel.status == openvino.ProfilingInfo.Status.EXECUTED:
                    kind = f"{kernel.node_type} {kernel.exec_type}"
                    clock.note(kernel.node_name, kind, kernel.real_time.total_seconds())
        origins, known = _origins(compiled), graph_nodes(self.artifact)
        return clock.layers(frames, lambda name: nodes_in(origins.get(name) or name, known))

    def exported(self) -> bytes:
        """The compiled model as OpenVINO stores it."""
        stream = io.BytesIO()
        self._compiled.export_model(stream)
        return stream.getvalue()

    def executed(self) -> dict[str, Executed]:
        """Precision of every kernel of the execution graph; device as the compiled model names it."""
        if self._compiled is None:
            self.bind(self._any_shape())
        devices = ",".join(self._compiled.get_property("EXECUTION_DEVICES"))
        return {
            node.get_friendly_name(): Executed(precision, devices)
            for node in self._compiled.get_runtime_model().get_ordered_ops()
            if (precision := _kernel_precision(node))
        }

    def _any_shape(self) -> Shape:
        """A size to bind for finding out what runs."""
        fixed = self.artifact.manifest.shape
        return Shape(16, 16) if fixed is None else Shape(*fixed)


class OpenVinoEngineSession(OpenVinoSession):
    """A compiled model read back from an engine."""

    def __init__(self, engine: Engine, threads: int) -> None:
        super().__init__(Artifact(engine.file(_BLOB), engine.manifest), engine.info.precision, threads)
        self._built_for = engine.built_for

    def _any_shape(self) -> Shape:
        return self._built_for or super()._any_shape()

    def _compile(self, shape: Shape, config: dict[str, Any]) -> Any:
        if shape != self._built_for:
            raise InputError(f"this engine is built for {self._built_for}, not {shape}", f"Build with --shape {shape}.")
        return self._core.import_model(self.artifact.path.read_bytes(), "CPU", config)


class OpenVinoRuntime(BuildingRuntime):
    """OpenVINO, CPU device, one stream. An engine is the compiled model, for one size."""

    name: ClassVar[str] = "openvino"
    description: ClassVar[str] = "OpenVINO, CPU device"
    options = frozenset({"threads"})
    rehearsed: ClassVar[bool] = True
    rehearses_engines: ClassVar[bool] = True

    def probe(self) -> Availability:
        remedy = 'pip install "rt4ksr-toolkit[openvino]"'
        found = probe_import("openvino", remedy)
        if not found.ok:
            return found
        try:
            devices = openvino_core().available_devices
        except Exception as error:  # noqa: BLE001  (a broken plugin raises anything)
            return Availability(False, f"OpenVINO does not start: {error}", remedy)
        if "CPU" not in devices:
            return Availability(False, "OpenVINO has no CPU device here", remedy)
        return Availability(True, version=version("openvino"))

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return OpenVinoSession(artifact, precision, options.resolved_threads())

    def identity(self, options: BuildOptions) -> dict[str, str]:
        try:
            found = version("openvino")
        except PackageNotFoundError:
            found = "not installed"
        return {"version": found, **cpu_identity()}

    def machine(self) -> dict[str, str]:
        return {"processor": cpu_model()[0]}

    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        precision, threads = job.artifact.manifest.precision, job.options.threads or usable_cpus()
        session = OpenVinoSession(job.artifact, precision, threads)
        session.bind(_required(job.shape, job.artifact))
        ran = Counter(node.precision for node in session.executed().values())
        read_back = {"executed": ", ".join(f"{precision}: {nodes} nodes" for precision, nodes in ran.items())}
        return {_BLOB: session.exported()}, read_back

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        return OpenVinoEngineSession(engine, options.resolved_threads())

    def _script(self, subject: Subject) -> str:
        _required(subject.shape, subject.artifact)
        hint = _HINTS[subject.artifact.manifest.precision]
        return openvino_script(subject, _SCHEDULING, hint, _CAPABILITIES[hint])


def _required(shape: Shape | None, artifact: Artifact) -> Shape:
    if shape is None:
        raise InputError(f"{artifact.manifest.name} has no size to build for", "Name one: --shape 1080p.")
    return shape


def _config(core: Any, precision: Precision, threads: int) -> dict[str, Any]:
    hint = _HINTS[precision]
    if _CAPABILITIES[hint] not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        hint = "f32"
    return {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, **_SCHEDULING}


def _origins(compiled: Any) -> dict[str, str]:
    """By kernel, the names of the nodes that were made into it, separated by commas."""
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        value = node.get_rt_info()["originalLayersNames"]
        found[node.get_friendly_name()] = str(value.astype(str)).replace(",", " , ")
    return found


def _kernel_precision(node: Any) -> str:
    """What the kernel behind a node computes in: `jit_avx2_I8` is int8. Empty for constants and mere views."""
    info = {key: str(value.astype(str)) for key, value in node.get_rt_info().items() if key in _KERNEL_KEYS}
    kernel, _, precision = info["primitiveType"].rpartition("_")
    if kernel == "unknown":
        return ""
    # Kernels that move bytes, or only return them, call themselves I8 too: that is no arithmetic in int8.
    return short_precision(precision if info["layerType"] in _ARITHMETIC else info["runtimePrecision"])
