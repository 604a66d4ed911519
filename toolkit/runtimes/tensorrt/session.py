"""TensorRT sessions: buffers allocated once, one stream, a CUDA graph."""

from __future__ import annotations

import json
from typing import Any

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.graph.precision.registry import PRECISIONS
from toolkit.port import Frame
from toolkit.runtimes.cuda.driver import Cuda, CudaGraph
from toolkit.runtimes.cuda.session import CudaSession
from toolkit.runtimes.layers import LayerClock, graph_nodes, nodes_in
from toolkit.runtimes.reported import Executed, LayerTime, short_precision
from toolkit.workloads import Shape

_PRECISIONS = {"uint8", *(precision.name for precision in PRECISIONS)}


class TensorRtSession(CudaSession):
    """A plan with buffers on the device and page-locked host frames. A frame is upload, graph launch, download."""

    def __init__(
        self, artifact: Artifact, trt: Any, plan: bytes, runtime_cache: bytes = b"", *, host_code: bool = False
    ) -> None:
        """
        Args:
            artifact: that the plan was built from.
            trt: `tensorrt` or `tensorrt_rtx`.
            plan: the serialised engine.
            runtime_cache: kernels that TensorRT for RTX compiled earlier, on this machine or another.
            host_code: allow the plan to run its own host code: a version-compatible plan contains a runtime.
        """
        super().__init__(artifact)
        self._trt = trt
        self._use(Cuda())
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        self._runtime.engine_host_code_allowed = host_code
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise Unavailable(f"TensorRT cannot load the engine of {artifact.manifest.name}", "Build it again.")
        self._runtime_cache: Any = None
        self._context = self._new_context(runtime_cache)
        if self._context is None:
            raise Unavailable(f"TensorRT cannot prepare the engine of {artifact.manifest.name}: too little memory?")
        self._graph: CudaGraph | None = None

    def layers(self) -> str:
        """The engine inspector's report on every layer, as JSON; for the bound size, if one is bound."""
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def layer_times(self, frame: Frame, frames: int) -> list[LayerTime]:
        """Times of the engine's layers, from TensorRT's own profiler; without the CUDA graph, which would hide them."""
        self.place(frame)
        clock = LayerClock()

        class Recorder(self._trt.IProfiler):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                super().__init__()

            def report_layer_time(self, name: str, milliseconds: float) -> None:
                clock.note(name, "", milliseconds / 1000)

        recorder = Recorder()
        self._context.profiler = recorder
        for _ in range(frames + 1):
            self._enqueue()
            self._cuda.synchronise()
        names = self._graph_names()
        # The profiler stays attached to the context, and would slow down later frames.
        self._context = self._new_context(b"")
        if self._shape is not None:
            self.bind(self._shape)
        return clock.layers(frames, lambda name: nodes_in(name, names))

    def _graph_names(self) -> tuple[str, ...]:
        """Names of the nodes of the graph that the engine was built from, where it is beside the bundle."""
        origin = self.artifact.path.parent.parent / f"{self.artifact.manifest.name}.onnx"
        return graph_nodes(Artifact(origin, self.artifact.manifest)) if origin.is_file() else ()

    def executed(self) -> dict[str, Executed]:
        """Precision of each layer, from the engine inspector."""
        return {name: Executed(precision, "cuda:0") for name, precision in layer_precisions(self.layers()).items()}

    def runtime_cache(self) -> bytes:
        """Kernels that TensorRT for RTX compiled as it loaded the engine; empty for TensorRT."""
        return b"" if self._runtime_cache is None else bytes(self._runtime_cache.serialize())

    def _new_context(self, runtime_cache: bytes) -> Any:
        config = self._engine.create_runtime_config() if hasattr(self._engine, "create_runtime_config") else None
        if config is None or not hasattr(config, "create_runtime_cache"):
            return self._engine.create_execution_context()
        self._runtime_cache = config.create_runtime_cache()
        if runtime_cache:
            # Refused, and left empty, where device, driver or version differ. Then kernels are compiled again.
            self._runtime_cache.deserialize(runtime_cache)
        config.set_runtime_cache(self._runtime_cache)
        # Sizes are bound before the first frame. With lazy specialization, the CUDA graph would capture the slow
        # kernels for any size.
        strategies = self._trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        return self._engine.create_execution_context(config)

    def _bind(self, shape: Shape) -> None:
        self._graph = self._frames = None  # frees their memory
        self._stages_known = False
        manifest = self.artifact.manifest
        if not self._context.set_input_shape(manifest.input.name, manifest.input.frame_shape(shape)):
            raise Unavailable(f"{manifest.name} was not built for {shape}", f"Build it with --shape {shape}.")
        frames = self._new_frames(shape)
        self._context.set_tensor_address(manifest.input.name, frames.input_address)
        self._context.set_tensor_address(manifest.output.name, frames.output_address)
        self._enqueue()  # TensorRT needs one run before a capture
        self._cuda.synchronise()
        self._graph = self._cuda.capture(self._enqueue)
        self._frames = frames

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._cuda.stream):
            raise Unavailable(f"TensorRT could not run {self.artifact.manifest.name}")

    def _launch(self) -> None:
        if self._graph is None:
            raise Unavailable("the session was not bound")
        self._graph.launch()


def layer_precisions(layers: str) -> dict[str, str]:
    """Precision of each layer of the engine inspector's JSON."""
    found = json.loads(layers)["Layers"]
    # Engines that were built without detailed verbosity give names only.
    named = [{"Name": layer} if isinstance(layer, str) else layer for layer in found]
    return {layer["Name"]: _layer_precision(layer) for layer in named}


def _layer_precision(layer: dict[str, Any]) -> str:
    """Precision of the weights where there are some, as an int8 convolution may return fp16; else of the output.

    The inspector writes `Half`, or "Row major linear FP16 format", or "N/A due to dynamic shapes".
    """
    weights, outputs = layer.get("Weights"), layer.get("Outputs") or [{}]
    types = [weights.get("Type", "")] if isinstance(weights, dict) else []
    types.append(outputs[0].get("Format/Datatype", outputs[0].get("Datatype", "")))
    words = " ".join(map(str, types)).replace(",", " ").split()
    known = (short_precision(word.rstrip(".")) for word in words)
    return next((name for name in known if name in _PRECISIONS), "unknown")
