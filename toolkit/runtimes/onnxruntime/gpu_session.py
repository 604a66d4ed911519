"""ONNX Runtime sessions on an NVIDIA GPU: bound device memory, one CUDA stream."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.runtimes.cuda.driver import Cuda
from toolkit.runtimes.cuda.session import CudaSession
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.onnxruntime.provider import CACHES, ENGINE_CACHE, TENSORRT, Provider
from toolkit.runtimes.onnxruntime.session import OrtSession
from toolkit.workloads import Shape


class OrtGpuSession(CudaSession, OrtSession):
    """An InferenceSession with input and output bound to device memory. A frame is upload, run, download on one stream.

    Binding a size allocates all memory, selects kernels and, where the provider does so, captures a CUDA graph.
    """

    def __init__(self, artifact: Artifact, provider: Provider, threads: int) -> None:
        self._use(Cuda())
        super().__init__(artifact, provider.on_stream(self._cuda.stream), threads)
        self._run_options: Any = None
        self._bound = 0

    def _bind(self, shape: Shape) -> None:
        self._frames = None  # frees its memory; the graph of the previous size is not replayed any more
        self._stages_known = False
        manifest, frames = self.artifact.manifest, self._new_frames(shape)
        if self._bound and self._provider.captures_graphs and self._provider.name == TENSORRT:
            # This provider keeps only one graph, and would replay it on the memory of the previous size.
            self._session = self._open(self._provider)
        self._binding = self._session.io_binding()
        for port, bind, sides, address in (
            (manifest.input, self._binding.bind_input, frames.given.shape, frames.input_address),
            (manifest.output, self._binding.bind_output, frames.returned.shape, frames.output_address),
        ):
            bind(port.name, "cuda", 0, port.dtype, sides, address)
        self._bound += 1
        self._run_options = _run_options(self._bound)
        try:
            self._launch()
            self._cuda.synchronise()
        except Exception as error:  # ONNX Runtime has one class per status code
            reason = str(error).strip().splitlines()[0]
            raise Unavailable(f"{self._provider.name} cannot run {manifest.name} at {shape}: {reason}") from error
        self._frames = frames

    def _launch(self) -> None:
        self._session.run_with_iobinding(self._binding, self._run_options)


class OrtEngineCacheSession(OrtGpuSession):
    """A session that uses the caches of a bundle, copied to a private directory: the provider writes to its caches."""

    def __init__(self, engine: Engine, model: str, provider: Provider, threads: int) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="ort-tensorrt-")
        directory = Path(self._place.name)
        for name in engine.info.files:
            if name == model or name.endswith(CACHES):
                shutil.copyfile(engine.file(name), directory / name)
        self._bundle, self._copied = engine, _engine_files(directory)
        super().__init__(Artifact(directory / model, engine.manifest), provider.caching_in(directory), threads)

    def _bind(self, shape: Shape) -> None:
        super()._bind(shape)
        if _engine_files(Path(self._place.name)) != self._copied:
            # It silently builds again where it cannot use an engine or a size is out of its range.
            raise Unavailable(
                f"{self._provider.name} did not take the engine of {self._bundle.path} for {shape}",
                f"Build it again: {self._bundle.rebuild_command}",
            )


def _engine_files(directory: Path) -> dict[str, int]:
    """Names of engines, and their modification times."""
    return {path.name: path.stat().st_mtime_ns for path in directory.glob(f"*{ENGINE_CACHE}")}


def _run_options(graph: int) -> Any:
    """Run options for one bound size: its own CUDA graph, as a graph holds sizes and addresses; no synchronisation."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options
