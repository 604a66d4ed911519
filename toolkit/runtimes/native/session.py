"""Sessions of the native CPU engine."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.native.library import Library, LoadedEngine
from toolkit.native.targets import Target
from toolkit.native.yuv420 import Yuv420
from toolkit.port import Frame
from toolkit.runtimes.protocol import ArtifactSession
from toolkit.runtimes.reported import Executed
from toolkit.workloads import Shape


class NativeSession(ArtifactSession):
    """A shared object, and its engine for the bound size."""

    extends_fixed_sizes: ClassVar[bool] = False

    def __init__(self, artifact: Artifact, library: Path, target: Target, threads: int) -> None:
        super().__init__(artifact)
        self._library = Library(library, artifact.manifest.name)
        self._target, self._threads = target, threads
        self._engine: LoadedEngine | None = None
        self._output: Frame = np.empty(0)

    def _bind(self, shape: Shape) -> None:
        self._engine = self._library.engine(shape.height, shape.width, self._threads)
        self._output = self.output_frame(shape)

    def _run(self, frame: Frame) -> Frame:
        if self._engine is None:
            raise InputError("this session has no size yet", "Call bind(shape) first.")
        self._engine.run(frame, self._output)
        return self._output

    def run_yuv420(self, frame: Yuv420, output: Yuv420, rows: tuple[int, int] | None = None) -> None:
        if self._engine is None:
            raise InputError("this session has no size yet", "Call bind(shape) first.")
        self._engine.run_yuv420(frame, output, rows)

    @property
    def working_bytes(self) -> int:
        """Bytes of line buffers per thread: all the memory that a frame needs besides input and output."""
        return 0 if self._engine is None else self._engine.working_bytes

    def executed(self) -> dict[str, Executed]:
        """As the shared object reports; the device names the instructions that it was compiled for."""
        device = f"CPU, {self._target.name}"
        return {node: Executed(precision, device) for node, precision in self._library.executed().items()}
