"""OpenVINO sessions on the CPU: a model compiled for the bound size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.precision.registry import find_precision
from toolkit.port import Frame
from toolkit.precisions import Precision
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.layers import LayerClock, graph_nodes, nodes_in
from toolkit.runtimes.protocol import ArtifactSession
from toolkit.runtimes.reported import Executed, LayerTime, short_precision
from toolkit.system.openvino_core import openvino_core
from toolkit.workloads import Shape

# OpenVINO lowers float32 to bfloat16 by default where the CPU has it. The hint (of the precision's object) alone can
# prevent that; but a hint that the CPU cannot follow also means bfloat16. With f32, OpenVINO computes in bfloat16 where
# the graph has that type; with bf16, it would also lower the nodes that were kept in float32.

CAPABILITIES = {"f32": "FP32", "f16": "FP16"}
"""Optimization capability of the device that each hint needs."""

SCHEDULING: dict[str, str | int] = {"NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}

BLOB = "model.blob"
"""File of an engine with the compiled model."""

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

        # OpenVINO shares only writeable memory, although it does not write to an input.
        shared = frame if frame.flags.writeable else frame.copy()
        self._request.set_input_tensor(openvino.Tensor(shared, shared_memory=True))
        self._request.infer(share_outputs=True)  # otherwise the Python API copies them
        return self._output

    def layer_times(self, frame: Frame, frames: int) -> list[LayerTime]:
        """Times of the kernels that ran, from OpenVINO's counters, in a model compiled with them."""
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
        """The compiled model in OpenVINO's file format."""
        stream = io.BytesIO()
        self._compiled.export_model(stream)
        return stream.getvalue()

    def executed(self) -> dict[str, Executed]:
        """Precision of every kernel of the execution graph; the device as the compiled model names it."""
        if self._compiled is None:
            self.bind(self._any_shape())
        devices = ",".join(self._compiled.get_property("EXECUTION_DEVICES"))
        return {
            node.get_friendly_name(): Executed(precision, devices)
            for node in self._compiled.get_runtime_model().get_ordered_ops()
            if (precision := _kernel_precision(node))
        }

    def _any_shape(self) -> Shape:
        """A size to bind when only the execution graph is needed."""
        fixed = self.artifact.manifest.shape
        return Shape(16, 16) if fixed is None else Shape(*fixed)


class OpenVinoEngineSession(OpenVinoSession):
    """A compiled model read back from an engine."""

    def __init__(self, engine: Engine, threads: int) -> None:
        super().__init__(Artifact(engine.file(BLOB), engine.manifest), engine.info.precision, threads)
        self._built_for = engine.built_for

    def _any_shape(self) -> Shape:
        return self._built_for or super()._any_shape()

    def _compile(self, shape: Shape, config: dict[str, Any]) -> Any:
        if shape != self._built_for:
            raise InputError(f"this engine is built for {self._built_for}, not {shape}", f"Build with --shape {shape}.")
        return self._core.import_model(self.artifact.path.read_bytes(), "CPU", config)


def _config(core: Any, precision: Precision, threads: int) -> dict[str, Any]:
    hint = find_precision(precision).openvino_hint
    if CAPABILITIES[hint] not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        hint = "f32"
    return {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, **SCHEDULING}


def _origins(compiled: Any) -> dict[str, str]:
    """For each kernel, the names of the ONNX nodes that it computes, separated by commas."""
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        value = node.get_rt_info()["originalLayersNames"]
        found[node.get_friendly_name()] = str(value.astype(str)).replace(",", " , ")
    return found


def _kernel_precision(node: Any) -> str:
    """The precision of a node's kernel: `jit_avx2_I8` is int8. Empty for constants and views."""
    info = {key: str(value.astype(str)) for key, value in node.get_rt_info().items() if key in _KERNEL_KEYS}
    kernel, _, precision = info["primitiveType"].rpartition("_")
    if kernel == "unknown":
        return ""
    # Kernels that only move or return bytes are also named I8: that is not arithmetic in int8.
    return short_precision(precision if info["layerType"] in _ARITHMETIC else info["runtimePrecision"])
