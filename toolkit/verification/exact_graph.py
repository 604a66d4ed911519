"""Runs an exported graph in float64: the function that its stored constants define, without float32 arithmetic."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.graph.analysis.extending import for_any_size
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.port import Frame


class ExactGraph:
    """The graph of an fp32 artifact in float64, run by ONNX's reference implementation; exact, but slow."""

    def __init__(self, artifact: Artifact) -> None:
        manifest = artifact.manifest
        function = float64_function(in_float64(onnx.load(artifact.path)))
        if manifest.shape is None:  # graphs of fixed size extend odd sizes themselves
            function = for_any_size(function, manifest.input, manifest.output, manifest.network.scale, manifest.sizes)
        self._function = function

    def run(self, frame: Frame) -> NDArray[np.float64]:
        """Upscale a frame of any size that the artifact supports.

        Args:
            frame: as described by the input port; float64 for a floating-point port.

        Returns:
            The frame of the output port, as float64.
        """
        return self._function(frame).astype(np.float64)
