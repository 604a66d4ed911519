"""The picture that the page computes when it is opened, and what ONNX Runtime makes of it on the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.graph.precision.calibration import calibration_images
from toolkit.media.image_upscaler import Upscaler

RUNTIME = "ort-cpu"
_HEIGHT, _WIDTH = 37, 45
"""Odd, so that the extension to the sizes that a network takes is compared too; small, for slow devices."""

Pixels = NDArray[np.uint8]


def reference_tile(artifact: Artifact) -> tuple[Pixels, Pixels]:
    """A detail of a photograph, and the same upscaled: uint8 (H, W, 3) RGB, and (sH, sW, 3).

    Raises:
        Unavailable: ONNX Runtime is not installed.
        ToolkitError: it does not run the artifact.
    """
    photograph = calibration_images()[0]
    top, left = (photograph.shape[0] - _HEIGHT) // 2, (photograph.shape[1] - _WIDTH) // 2
    picture = np.ascontiguousarray(photograph[top : top + _HEIGHT, left : left + _WIDTH])
    with Upscaler(artifact, runtime=RUNTIME) as upscale:
        return picture, upscale(picture)
