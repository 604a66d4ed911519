"""Comparison pictures: the input on the left, the network's result on the right."""

from __future__ import annotations

import numpy as np
from PIL import Image

from toolkit.media.upscaler import Planes
from toolkit.workloads import Shape

_LINE = 960
"""Width of a frame for which the dividing line is one pixel wide."""


def split_view(before: Planes, after: Planes, white: int) -> Planes:
    """The left half of `before`, enlarged by bicubic interpolation, and the right half of `after`, with a line between.

    Args:
        before: the input, (C, H, W), uint8 or uint16.
        after: the network's result, (C, scale*H, scale*W) or resized.
        white: the value of white.
    """
    shape = Shape(*after.shape[1:])
    left, width = enlarged(before, shape, white), shape.width
    middle, line = width // 2, max(1, width // _LINE)
    result: Planes = np.concatenate([left[:, :, :middle], after[:, :, middle:]], axis=2)
    result[:, :, middle - line // 2 : middle - line // 2 + line] = white
    return result


def enlarged(planes: Planes, shape: Shape, white: int, kernel: Image.Resampling = Image.Resampling.BICUBIC) -> Planes:
    """Planes (C, H, W), uint8 or uint16 up to `white`, interpolated by Pillow to (C, height, width)."""
    size = shape.width, shape.height
    if planes.dtype == np.uint8:
        image = Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
        return np.asarray(image.resize(size, kernel)).transpose(2, 0, 1)
    resized = [np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, kernel)) for plane in planes]
    result: Planes = np.rint(np.clip(np.stack(resized), 0, white)).astype(planes.dtype)
    return result
