"""ONNX Runtime sessions: one execution provider, no fallback, bound host memory."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.graph.any_size import without_size_check
from toolkit.graph.reading import read_model
from toolkit.port import Frame
from toolkit.runtimes.layers import LayerClock, graph_nodes, nodes_in
from toolkit.runtimes.onnxruntime.provider import TENSORRT, Provider
from toolkit.runtimes.protocol import ArtifactSession
from toolkit.runtimes.reported import Executed, LayerTime, short_precision
from toolkit.workloads import Shape

CPU = "CPUExecutionProvider"
_SMALL = Shape(16, 16)
_KERNEL = "_kernel_time"
_SIZES = "int64"
"""What graphs compute sizes in, and nothing else."""
_FUSED = "TRTKernel"
"""Prefix of the TensorRT provider's nodes, each of which is a whole engine."""


class OrtSession(ArtifactSession):
    """An InferenceSession with input and output bound to host memory; no memory is allocated between frames."""

    def __init__(self, artifact: Artifact, provider: Provider, threads: int) -> None:
        super().__init__(artifact)
        self._provider, self._threads = provider, threads
        self._session = self._open(provider)
        self._binding = self._session.io_binding()
        self._output: Frame = np.empty(0)

    def _bind(self, shape: Shape) -> None:
        self._output = self.output_frame(shape)
        port = self.artifact.manifest.output
        self._binding.bind_output(port.name, "cpu", 0, port.dtype, self._output.shape, self._output.ctypes.data)

    def _run(self, frame: Frame) -> Frame:
        port = self.artifact.manifest.input
        self._binding.bind_input(port.name, "cpu", 0, port.dtype, frame.shape, frame.ctypes.data)
        self._session.run_with_iobinding(self._binding)
        return self._output

    def executed(self) -> dict[str, Executed]:
        """Provider and element type of every node of the optimised graph, from ONNX Runtime's own profile.

        Nodes that compute sizes are left out: they have no precision. For the TensorRT provider the profile holds whole
        engines, without the precision of their layers.
        """
        manifest = self.artifact.manifest
        shape = manifest.sizes.extended(_SMALL) if manifest.shape is None else Shape(*manifest.shape)
        # The profile of a replayed CUDA graph has no nodes.
        provider = self._provider.without_graphs() if self._provider.captures_graphs else self._provider
        blank = manifest.input.zeros(shape)
        found = {
            _node_name(event): Executed(_element_type(event["args"]), event["args"]["provider"])
            for event in self._profile(provider, blank, 1)
        }
        return {name: executed for name, executed in found.items() if executed.precision != _SIZES}

    def layer_times(self, frame: Frame, frames: int) -> list[LayerTime]:
        """Times of the nodes of the optimised graph, from ONNX Runtime's own profile."""
        if self._provider.name != CPU:
            raise Unavailable("on a GPU, ONNX Runtime's profile holds launches instead of kernel times")
        clock = LayerClock()
        for event in self._profile(self._provider, self._extended(frame), frames + 1):
            clock.note(_node_name(event), event["args"].get("op_name", ""), event["dur"] / 1e6)
        known = graph_nodes(self.artifact)
        return clock.layers(frames, lambda name: nodes_in(name, known))

    def _profile(self, provider: Provider, frame: Frame, frames: int) -> list[dict[str, Any]]:
        """Profile events of all nodes, in the order in which they ran."""
        with tempfile.TemporaryDirectory() as directory:
            session = self._open(provider, enable_profiling=True, profile_file_prefix=str(Path(directory) / "profile"))
            for _ in range(frames):
                session.run(None, {self.artifact.manifest.input.name: frame})
            events = json.loads(Path(session.end_profiling()).read_text())
        return [event for event in events if event.get("cat") == "Node" and event["name"].endswith(_KERNEL)]

    def optimised(self) -> bytes:
        """The graph as ONNX Runtime rewrote it for this provider and CPU."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "optimised.onnx"
            self._open(self._provider, optimized_model_filepath=str(path))
            return path.read_bytes()

    def _graph(self, provider: Provider) -> Path | bytes:
        """What ONNX Runtime loads.

        Without its size check: sessions extend frames, and ONNX Runtime always computes with sizes on the CPU,
        which is what may not happen to any other node. TensorRT takes whole graphs, and the CPU everything.
        """
        if provider.name in (CPU, TENSORRT):
            return self.artifact.path
        model = read_model(self.artifact.path)
        released = without_size_check(model)
        content: bytes = released.SerializeToString()
        return self.artifact.path if released is model else content

    def _open(self, provider: Provider, **settings: Any) -> Any:
        """An InferenceSession on the provider. `settings`: attributes of `onnxruntime.SessionOptions`.

        Raises:
            Unavailable: ONNX Runtime refused the model, or would run a node of it on another provider.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        options.log_severity_level = 4
        if provider.name != CPU:
            # Otherwise nodes that a GPU provider cannot take would run on the CPU with only a line in the log.
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        for name, value in settings.items():
            setattr(options, name, value)
        name = self.artifact.manifest.name
        try:
            session = self._create(self._graph(provider), provider, options)
        except Exception as error:  # ONNX Runtime has one class per status code
            reason = str(error).strip().splitlines()[0]
            raise Unavailable(f"ONNX Runtime cannot run {name} on {provider.name}: {reason}") from error
        if session.get_providers()[0] != provider.name:
            raise Unavailable(f"ONNX Runtime chose {session.get_providers()[0]} instead of {provider.name}")
        if strays := _nodes_elsewhere(session, provider):
            more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""
            raise Unavailable(f"ONNX Runtime does not run all of {name} on {provider.name}: {strays[0]}{more}")
        return session

    def _create(self, model: Path | bytes, provider: Provider, options: Any) -> Any:
        """An InferenceSession on a provider that this onnxruntime has built in."""
        import onnxruntime

        providers = [(provider.name, provider.options)]
        return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)


def _node_name(event: dict[str, Any]) -> str:
    return str(event["args"].get("node_name") or event["name"].removesuffix(_KERNEL))


def _nodes_elsewhere(session: Any, provider: Provider) -> list[str]:
    """Nodes that were assigned to another provider, each with that provider."""
    if provider.name == CPU or not hasattr(session, "get_provider_graph_assignment_info"):
        return []  # before 1.24 there is no such information, only the option that forbids the CPU
    return [
        f"{node.name} is on {part.ep_name}"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != provider.name
        for node in part.get_nodes()
    ]


def _element_type(event: dict[str, Any]) -> str:
    """The type that a node computed in: int8 for integer convolutions, else the type of its output."""
    operator = event.get("op_name", "")
    if operator in {"QLinearConv", "ConvInteger"}:
        return "int8"
    if operator.startswith(_FUSED):
        return "unknown"
    outputs = event.get("output_type_shape") or [{"unknown": []}]
    return short_precision(next(iter(outputs[0])))
