"""Low-resolution patches from high-resolution ones, fast enough to be computed during training."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def degrade(high: Pixels, scale: int, jpeg_quality: int | None = None) -> Pixels:
    """Antialiased bicubic (as `images.resizing.downscaled`, but in float32 and several times faster), then optional
    JPEG.

    Args:
        high: uint8 (N, scale * H, scale * W, 3).
        scale: whole number.
        jpeg_quality: 1..100, or None: no compression.

    Returns:
        uint8 (N, H, W, 3).
    """
    # Rows, then columns, rounded to uint8 in between: as MATLAB, whose results are the reference of the field.
    rows = _reduce(high, 1, scale)
    low = np.ascontiguousarray(_reduce(rows, 2, scale))
    if jpeg_quality is not None:
        for index, image in enumerate(low):
            low[index] = _compressed(image, jpeg_quality)
    return low


def _reduce(pixels: Pixels, axis: int, scale: int) -> Pixels:
    """Reduce one dimension by `scale`. For whole numbers every output pixel has the same weights."""
    weights = _weights(scale)
    before = (len(weights) - scale) // 2
    widths = [(0, 0)] * pixels.ndim
    widths[axis] = (before, len(weights) - scale - before)
    padded = np.pad(pixels, widths, mode="edge")
    size = pixels.shape[axis] // scale
    total = np.full((*pixels.shape[:axis], size, *pixels.shape[axis + 1 :]), 0.5, np.float32)
    for tap, weight in enumerate(weights):
        part = [slice(None)] * pixels.ndim
        part[axis] = slice(tap, tap + scale * (size - 1) + 1, scale)
        total += padded[tuple(part)] * weight
    return np.clip(np.floor(total, out=total), 0, 255, out=total).astype(np.uint8)


@lru_cache
def _weights(scale: int) -> tuple[np.float32, ...]:
    """Keys' cubic kernel (a = -0.5) stretched by `scale`, sampled at pixels around the centre of an output pixel; sum
    1."""
    reach = 2 * scale
    count = 2 * reach if scale % 2 == 0 else 2 * reach - 1
    x = np.abs(np.arange(count) - (count - 1) / 2) / scale
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x <= 1, near, far)
    return tuple((weights / weights.sum()).astype(np.float32))


def _compressed(image: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as compressed:
        return np.asarray(compressed)
