"""Comparison pictures: the input on the left, the network's result on the right."""

from __future__ import annotations

import numpy as np
from PIL import Image

from toolkit.media.upscaler import Planes

_LINE = 960
"""Width of a frame for which the dividing line is one pixel wide."""


def split_view(before: Planes, after: Planes, white: int) -> Planes:
    """The left half of `before`, enlarged by bicubic interpolation, and the right half of `after`, with a line between.

    Args:
        before: the input, (C, H, W), uint8 or uint16.
        after: the network's result, (C, scale*H, scale*W) or resized.
        white: the value of white.
    """
    height, width = after.shape[1:]
    if before.dtype == np.uint8:
        image = Image.fromarray(np.ascontiguousarray(before.transpose(1, 2, 0)))
        left = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    else:
        planes = [Image.fromarray(plane.astype(np.float32)) for plane in before]
        made = [np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes]
        left = np.rint(np.clip(np.stack(made), 0, white)).astype(before.dtype)
    middle, line = width // 2, max(1, width // _LINE)
    result: Planes = np.concatenate([left[:, :, :middle], after[:, :, middle:]], axis=2)
    result[:, :, middle - line // 2 : middle - line // 2 + line] = white
    return result
