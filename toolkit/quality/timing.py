"""Measures the run time of several graphs on a runtime, side by side."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.registry import find_runtime
from toolkit.system.progress import Progress, ProgressCallback
from toolkit.workloads import Shape

_SHAPE = Shape(540, 960)
"""A quarter of 1080p: about a dozen graphs are loaded together and measured many times in turns."""

_WARM_UP = 2
_ROUNDS = 15


@dataclass(frozen=True)
class Stopwatch:
    """Times graphs of one network on a runtime.

    Attributes:
        artifact: fp32.
        precision: of the other graphs.
        runtime: a name from the registry.
        threads: CPU threads; 0: all CPUs available to this process.
    """

    artifact: Artifact
    precision: Precision
    runtime: str
    threads: int = 0

    @property
    def shape(self) -> Shape:
        fixed = self.artifact.manifest.shape
        return _SHAPE if fixed is None else Shape(*fixed)

    def require(self, lowered: onnx.ModelProto) -> None:
        """Make sure that the runtime computes in the precision whose time is measured.

        Raises:
            Unavailable: it computes in another precision, or is not available.
        """
        with tempfile.TemporaryDirectory() as directory:
            executed = self._load(Path(directory), lowered, self.precision).executed()
        ran = {node.precision for node in executed.values()}
        if self.precision not in ran:
            computed = "+".join(sorted(ran - {"uint8"}))
            raise Unavailable(
                f"{self.runtime} computes {self.precision} graphs in {computed} here: its times would not apply",
                "Measure time on another runtime, or use multiply-adds as the cost.",
            )

    def shares(
        self, graphs: Mapping[str, onnx.ModelProto], activity: str, progress: ProgressCallback
    ) -> dict[str, float]:
        """Time of each graph relative to the fp32 graph: median over rounds, in each of which all graphs run once.

        Raises:
            Unavailable: the runtime is not available, or does not support a graph.
        """
        with tempfile.TemporaryDirectory() as directory:
            base = find_runtime(self.runtime).load(self.artifact, SessionOptions(self.threads), FULL_PRECISION)
            sessions = [base, *(self._load(Path(directory), graph, self.precision) for graph in graphs.values())]
            seconds = self._rounds(sessions, activity, progress)
        ratios = np.median(seconds[:, 1:] / seconds[:, :1], axis=0)
        return dict(zip(graphs, (float(ratio) for ratio in ratios), strict=True))

    def _load(self, directory: Path, graph: onnx.ModelProto, precision: Precision) -> Session:
        path = directory / f"{len(list(directory.iterdir()))}.onnx"
        onnx.save(graph, path)
        manifest = msgspec.structs.replace(self.artifact.manifest, precision=precision)
        return find_runtime(self.runtime).load(Artifact(path, manifest), SessionOptions(self.threads))

    def _rounds(self, sessions: list[Session], activity: str, progress: ProgressCallback) -> NDArray[np.float64]:
        frame = self.artifact.manifest.input.noise(self.shape, np.random.default_rng(0))
        for session in sessions:
            session.bind(self.shape)
            for _ in range(_WARM_UP):
                session.run(frame)
        seconds = np.empty((_ROUNDS, len(sessions)))
        for row in range(_ROUNDS):
            progress(Progress(activity, row / _ROUNDS))
            for column, session in enumerate(sessions):
                begin = time.perf_counter()
                session.run(frame)
                seconds[row, column] = time.perf_counter() - begin
        return seconds
