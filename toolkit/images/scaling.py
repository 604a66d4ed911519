"""Conversion of samples to full range, upright orientation, and straight transparency."""

from __future__ import annotations

import numpy as np

from toolkit.images.picture import Samples

_TRANSPOSED = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""The transformation for each orientation of EXIF and TIFF."""


def upright(samples: Samples, orientation: int) -> Samples:
    """Samples (H, W, C) with an EXIF orientation of 1 to 8, made upright."""
    turn = _TRANSPOSED.get(orientation)
    return samples if turn is None else np.ascontiguousarray(turn(samples))


def to_full_range(values: Samples, bits: int) -> Samples:
    """Integers 0..2**bits - 1 scaled to uint8 for up to 8 bits, otherwise to uint16, and rounded to the nearest."""
    white, kind = (255, np.uint8) if bits <= 8 else (65535, np.uint16)
    most = (1 << bits) - 1
    if most == white:
        return values.astype(kind)
    scaled: Samples = ((values.astype(np.uint32) * white + most // 2) // most).astype(kind)
    return scaled


def straight(colour: Samples, alpha: Samples) -> Samples:
    """Premultiplied colour divided by its transparency; 0 for fully transparent pixels."""
    white = np.iinfo(colour.dtype).max
    divisor = np.maximum(alpha, 1).astype(np.uint64)
    result: Samples = np.minimum((colour.astype(np.uint64) * white + divisor // 2) // divisor, white)
    return (result * (alpha > 0)).astype(colour.dtype)
