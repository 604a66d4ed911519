"""An exported graph computed in float64: what its stored constants mean, without any machine's float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.network.padding import padded_size, reflected_indices


class ExactGraph:
    """The graph of an fp32 artifact in float64, by ONNX's reference implementation: exact, and slow."""

    def __init__(self, artifact: Artifact) -> None:
        self._manifest = artifact.manifest
        self._function = float64_function(in_float64(onnx.load(artifact.path)))

    def run(self, frame: NDArray[Any]) -> NDArray[np.float64]:
        """(1, 3, H, W) to (1, 3, sH, sW), any size that the artifact takes.

        Args:
            frame: float64 in 0..1, or uint8 if that is what the artifact takes, in which case grey levels return.
        """
        manifest = self._manifest
        height, width = (side * manifest.network.scale for side in frame.shape[2:])
        if manifest.shape is None:  # a graph of fixed size extends odd ones itself
            rows, columns = (reflected_indices(side, padded_size(side, manifest.smallest)) for side in frame.shape[2:])
            frame = frame[..., rows, :][..., columns]
        nhwc = manifest.input.layout == "NHWC"
        result = self._function(frame.transpose(0, 2, 3, 1) if nhwc else frame)
        result = result.transpose(0, 3, 1, 2) if nhwc else result
        return result[..., :height, :width].astype(np.float64)
