"""OpenVINO on the CPU."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np

from toolkit.artifact import Artifact, Precision
from toolkit.runtimes.protocol import (
    Availability,
    Executed,
    Frame,
    Runtime,
    Session,
    SessionOptions,
    frame_shape,
    short_precision,
)
from toolkit.workloads import Shape

# OpenVINO lowers float32 to bfloat16 by itself where the processor has it. The hint is the only way to stop it.
_HINTS: dict[Precision, str] = {"fp32": "f32", "fp16": "f16", "bf16": "bf16", "int8": "f32"}


class OpenVinoSession(Session):
    """A model compiled for the bound size, with input and output tensors over the caller's memory."""

    def __init__(self, artifact: Artifact, precision: Precision, threads: int) -> None:
        import openvino

        super().__init__(artifact)
        self._core = openvino.Core()
        self._config = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._compiled: Any = None
        self._request: Any = None
        self._output: Frame = np.empty(0)

    def _bind(self, shape: Shape) -> None:
        import openvino

        model = self._core.read_model(self.artifact.path)
        model.reshape(list(frame_shape(shape, self.artifact.manifest.input.layout)))
        self._compiled = self._core.compile_model(model, "CPU", self._config)
        self._request = self._compiled.create_infer_request()
        self._output = self.output_frame(shape)
        self._request.set_output_tensor(openvino.Tensor(self._output, shared_memory=True))

    def _run(self, frame: Frame) -> Frame:
        import openvino

        self._request.set_input_tensor(openvino.Tensor(frame, shared_memory=True))
        self._request.infer()
        return self._output

    def executed(self) -> dict[str, Executed]:
        """Runtime precision of every node of the execution graph; device as the compiled model names it."""
        if self._compiled is None:
            fixed = self.artifact.manifest.shape
            self.bind(Shape(16, 16) if fixed is None else Shape(*fixed))
        devices = ",".join(self._compiled.get_property("EXECUTION_DEVICES"))
        return {
            node.get_friendly_name(): Executed(short_precision(_info(node, "runtimePrecision")), devices)
            for node in self._compiled.get_runtime_model().get_ordered_ops()
            if _info(node, "layerType") not in {"Input", "Output", "Constant", "Const"}
        }


class OpenVinoRuntime(Runtime):
    """OpenVINO, CPU device, one stream."""

    name: ClassVar[str] = "openvino"
    description: ClassVar[str] = "OpenVINO, CPU device"

    def probe(self) -> Availability:
        remedy = 'pip install "rt4ksr-toolkit[openvino]"'
        try:
            import openvino
        except ImportError as error:
            return Availability(False, f"openvino cannot be imported: {error}", remedy)
        if "CPU" not in openvino.Core().available_devices:
            return Availability(False, "OpenVINO has no CPU device here", remedy)
        return Availability(True, version=version("openvino"))

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return OpenVinoSession(artifact, precision, options.resolved_threads())


def _info(node: Any, key: str) -> str:
    """An entry of an execution graph node's runtime information, as text."""
    info = node.get_rt_info()
    return str(info[key].astype(str)) if key in info else "unknown"
