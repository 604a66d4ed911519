"""An exported graph computed in float64: what its stored constants mean, without any machine's float32."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.port import Frame
from toolkit.sizes import reflected_indices


class ExactGraph:
    """The graph of an fp32 artifact in float64, by ONNX's reference implementation: exact, and slow."""

    def __init__(self, artifact: Artifact) -> None:
        self._manifest = artifact.manifest
        self._function = float64_function(in_float64(onnx.load(artifact.path)))

    def run(self, frame: Frame) -> NDArray[np.float64]:
        """Upscale a frame of any size that the artifact takes.

        Args:
            frame: as the input port has it, but float64 where that is a floating-point port.

        Returns:
            What the output port holds, as float64.
        """
        manifest = self._manifest
        shape = manifest.input.size_of(frame)
        if manifest.shape is None:  # a graph of fixed size extends odd ones itself
            rows, columns = (reflected_indices(side, manifest.sizes.padded(side)) for side in shape.sides)
            frame = manifest.input.taken(frame, rows, columns)
        result = self._function(frame).astype(np.float64)
        target = shape.upscaled(manifest.network.scale)
        return manifest.output.region(result, slice(target.height), slice(target.width))
