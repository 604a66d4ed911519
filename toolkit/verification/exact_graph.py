"""Runs an exported graph in float64: the function that its stored constants define, without float32 arithmetic."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.port import Frame
from toolkit.sizes import reflected_indices


class ExactGraph:
    """The graph of an fp32 artifact in float64, run by ONNX's reference implementation; exact, but slow."""

    def __init__(self, artifact: Artifact) -> None:
        self._manifest = artifact.manifest
        self._function = float64_function(in_float64(onnx.load(artifact.path)))

    def run(self, frame: Frame) -> NDArray[np.float64]:
        """Upscale a frame of any size that the artifact supports.

        Args:
            frame: as described by the input port; float64 for a floating-point port.

        Returns:
            The frame of the output port, as float64.
        """
        manifest = self._manifest
        shape = manifest.input.size_of(frame)
        if manifest.shape is None:  # graphs of fixed size extend odd sizes themselves
            rows, columns = (reflected_indices(side, manifest.sizes.padded(side)) for side in shape.sides)
            frame = manifest.input.taken(frame, rows, columns)
        result = self._function(frame).astype(np.float64)
        target = shape.upscaled(manifest.network.scale)
        return manifest.output.region(result, slice(target.height), slice(target.width))
