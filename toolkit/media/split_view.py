"""Comparison pictures: the input on the left, the network's result on the right."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from toolkit.media.upscaler import Planes
from toolkit.workloads import Shape

_LINE = 960
"""Width of a frame for which the dividing line is one pixel wide."""

_ROOM = Shape(240, 320)
"""Smaller frames have no labels: these would hide what is compared."""

BEFORE, AFTER = "input, bicubic", "upscaled"
"""What the halves are labelled with."""


def split_view(before: Planes, after: Planes, white: int) -> Planes:
    """The left half of `before`, enlarged by bicubic interpolation, and the right half of `after`, with a line between.

    The halves are labelled at their tops, `BEFORE` and `AFTER`, in frames of at least 320x240.

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
    if shape.height >= _ROOM.height and shape.width >= _ROOM.width:
        for text, start in ((BEFORE, 0), (AFTER, middle + line)):
            _label(result[:, :, start:], text, white)
    return result


def _label(planes: Planes, text: str, white: int) -> None:
    """Write white text on darkened ground at the top left; the ground is opaque where there is transparency."""
    size = max(12, planes.shape[1] // 45)
    font = ImageFont.load_default(size)
    _, _, right, bottom = (int(side) for side in font.getbbox(text))
    gap = size // 2
    mask = Image.new("L", (right + 2 * gap, bottom + 2 * gap))
    ImageDraw.Draw(mask).text((gap, gap), text, fill=255, font=font)
    share = np.asarray(mask, np.float32) / 255
    ground = planes[:, gap : gap + mask.height, gap : gap + mask.width]
    share = share[: ground.shape[1], : ground.shape[2]]
    colours = colour_planes(ground)
    colours[:] = np.rint(colours * (0.35 * (1 - share)) + white * share)
    ground[len(colours) :] = white


def colour_planes(planes: Planes) -> Planes:
    """Planes without transparency, which is the last of two or four."""
    result: Planes = planes[: len(planes) - (len(planes) in (2, 4))]
    return result


def enlarged(planes: Planes, shape: Shape, white: int, kernel: Image.Resampling = Image.Resampling.BICUBIC) -> Planes:
    """Planes (C, H, W), uint8 or uint16 up to `white`, interpolated by Pillow to (C, height, width)."""
    size = shape.width, shape.height
    if planes.dtype == np.uint8 and len(planes) > 1:
        image = Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
        return np.asarray(image.resize(size, kernel)).transpose(2, 0, 1)
    resized = [np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, kernel)) for plane in planes]
    result: Planes = np.rint(np.clip(np.stack(resized), 0, white)).astype(planes.dtype)
    return result
