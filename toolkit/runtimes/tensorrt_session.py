"""Running a TensorRT engine: buffers made once, one stream, a CUDA graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.runtimes.cuda import Cuda
from toolkit.runtimes.engine import PLAN, Engine
from toolkit.runtimes.protocol import Executed, Frame, Session, frame_shape, short_precision
from toolkit.workloads import Shape


class TensorRtSession(Session):
    """A plan with device-resident buffers and pinned host frames. A frame is upload, graph launch, download."""

    def __init__(self, engine: Engine, trt: Any) -> None:
        super().__init__(Artifact(engine.file(PLAN), engine.manifest))
        self._trt, self._cuda = trt, Cuda()
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine.file(PLAN).read_bytes())
        if self._engine is None:
            raise Unavailable(f"TensorRT cannot load {engine.path}", f"Build it again: {engine.rebuild_command}")
        self._context = self._engine.create_execution_context()
        self._begin, self._end = self._cuda.event(), self._cuda.event()
        self._buffers: tuple[tuple[int, NDArray[Any]], tuple[int, NDArray[Any]]] | None = None
        self._launch: Callable[[], None] = self._enqueue

    def device_seconds(self) -> float:
        """Device time of the last frame's inference, without copies."""
        return self._cuda.seconds_between(self._begin, self._end)

    def executed(self) -> dict[str, Executed]:
        """Type of each layer's first output, from the engine inspector."""
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        content = json.loads(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))
        return {layer["Name"]: Executed(_layer_type(layer), "cuda:0") for layer in content["Layers"]}

    def _bind(self, shape: Shape) -> None:
        manifest = self.artifact.manifest
        if self._buffers is not None:
            for buffer in self._buffers:
                self._cuda.free(*buffer)
        given = frame_shape(shape, manifest.input.layout)
        returned = frame_shape(shape.upscaled(manifest.network.scale), manifest.output.layout)
        if not self._context.set_input_shape(manifest.input.name, given):
            raise Unavailable(f"{manifest.name} was not built for {shape}", f"Build it with --shape {shape}.")
        host = (
            self._cuda.pinned_array(given, manifest.input.dtype),
            self._cuda.pinned_array(returned, manifest.output.dtype),
        )
        self._buffers = tuple((self._cuda.device_memory(array.nbytes), array) for array in host)  # type: ignore[assignment]
        for port, buffer in zip((manifest.input, manifest.output), self._buffers or (), strict=True):
            self._context.set_tensor_address(port.name, buffer[0])
        self._launch = self._enqueue
        self._enqueue()  # TensorRT wants one plain run before a capture
        self._cuda.synchronise()
        self._launch = self._cuda.capture(self._enqueue)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._cuda.stream):
            raise Unavailable(f"TensorRT could not run {self.artifact.manifest.name}")

    def _run(self, frame: Frame) -> Frame:
        if self._buffers is None:
            raise Unavailable("the session was not bound")
        (device_in, host_in), (device_out, host_out) = self._buffers
        np.copyto(host_in, frame)
        self._cuda.upload(device_in, host_in)
        self._cuda.record(self._begin)
        self._launch()
        self._cuda.record(self._end)
        self._cuda.download(host_out, device_out)
        self._cuda.synchronise()
        return host_out


def _layer_type(layer: dict[str, Any]) -> str:
    """`Half` of "Row major linear FP16 format" and the like, by our names."""
    outputs = layer.get("Outputs") or [{}]
    words = str(outputs[0].get("Format/Datatype", "unknown")).replace(",", " ").split()
    known = (short_precision(word) for word in words)
    return next((name for name in known if name in {"fp32", "fp16", "bf16", "int8", "uint8"}), "unknown")
