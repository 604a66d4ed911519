"""Colour for networks of luma: their result is joined with the chroma of the image, which is interpolated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.images.resizing import interpolated
from toolkit.port import Frame, Port, luma, white_of
from toolkit.workloads import Shape

SUPPORT = 2
"""Input pixels to each side that bicubic interpolation depends on."""


def coloured_image(
    port: Port, frame: Frame, image: NDArray[Any], *, white: float | None = None, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """What a network returned as a picture of the type and channels of `image`: see `Port.to_image`.

    From a port of one channel it is the luma L' of the result in the colours of the image: upscaled(RGB - L) + L', with
    L the image's luma. This changes Y of YCbCr and leaves Cb and Cr, because all three are linear in RGB.

    Args:
        port: of the output.
        frame: that it returned.
        image: (H, W, 3), or (H, W, 1) without chroma, of which the frame is the upscaled form.
        white: the value that stands for white; default: as in `Port.to_image`.
        out: where to write the picture, (sH, sW, C).

    Returns:
        `out`, or a new array. Integers are limited to black..white and rounded to nearest, ties to even.
    """
    if port.order != "Y" or image.shape[2] == 1:
        return port.to_image(frame, image.dtype, white=white, out=out)
    most = white_of(image.dtype) if white is None else float(white)
    result = port.to_image(frame, np.float64, white=most)
    chroma = image - luma(image)
    coloured = interpolated(chroma, Shape(*result.shape[:2])) + result
    if np.issubdtype(image.dtype, np.integer):
        coloured = np.rint(np.clip(coloured, 0, most))
    target = np.empty(coloured.shape, image.dtype) if out is None else out
    target[...] = coloured
    return target
