"""ONNX Runtime on its CPU execution provider."""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from toolkit.artifact import Artifact, Precision
from toolkit.errors import Unavailable
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

_PROVIDER = "CPUExecutionProvider"
_PACKAGES = ("onnxruntime-gpu", "onnxruntime")
_SMALL = Shape(16, 16)


class OrtSession(Session):
    """InferenceSession with input and output bound to host memory; nothing is allocated between frames."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        super().__init__(artifact)
        self._threads = threads
        self._session = _inference_session(artifact, threads)
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
        """Provider and element type of every node of the optimised graph, from ONNX Runtime's own profile."""
        manifest = self.artifact.manifest
        shape = _SMALL if manifest.shape is None else Shape(*manifest.shape)
        with tempfile.TemporaryDirectory() as directory:
            session = _inference_session(self.artifact, self._threads, str(Path(directory) / "profile"))
            port = manifest.input
            session.run(None, {port.name: np.zeros(frame_shape(shape, port.layout), port.dtype)})
            events = json.loads(Path(session.end_profiling()).read_text())
        return {
            event["args"].get("node_name") or event["name"].removesuffix("_kernel_time"): Executed(
                _element_type(event["args"]), event["args"]["provider"]
            )
            for event in events
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        }


class OrtCpuRuntime(Runtime):
    """ONNX Runtime, CPU."""

    name: ClassVar[str] = "ort-cpu"
    description: ClassVar[str] = "ONNX Runtime, CPU execution provider"

    def probe(self) -> Availability:
        try:
            import onnxruntime
        except ImportError as error:
            return Availability(False, f"onnxruntime cannot be imported: {error}", 'pip install "rt4ksr-toolkit[cpu]"')
        if _PROVIDER not in onnxruntime.get_available_providers():
            return Availability(False, f"this onnxruntime has no {_PROVIDER}", 'pip install "rt4ksr-toolkit[cpu]"')
        return Availability(True, version=f"{onnxruntime.__version__} ({_package()})")

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return OrtSession(artifact, options.resolved_threads())


def _inference_session(artifact: Artifact, threads: int, profile_prefix: str | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile_prefix
    try:
        session = onnxruntime.InferenceSession(artifact.path, options, providers=[_PROVIDER], enable_fallback=0)
    except Exception as error:  # ONNX Runtime has a class of its own for every status code
        reason = str(error).strip().splitlines()[0]
        raise Unavailable(f"ONNX Runtime cannot load {artifact.manifest.name}: {reason}") from error
    if session.get_providers()[0] != _PROVIDER:
        raise Unavailable(f"ONNX Runtime chose {session.get_providers()[0]} instead of {_PROVIDER}")
    return session


def _element_type(event: dict[str, Any]) -> str:
    """The type a node computed in: int8 for the integer convolutions, whatever they return; else its output's."""
    if event.get("op_name") in {"QLinearConv", "ConvInteger"}:
        return "int8"
    outputs = event.get("output_type_shape") or [{"unknown": []}]
    return short_precision(next(iter(outputs[0])))


def _package() -> str:
    """Which of the two distributions of the same module is installed."""
    for package in _PACKAGES:
        try:
            version(package)
        except PackageNotFoundError:
            continue
        return package
    return "built from source"
