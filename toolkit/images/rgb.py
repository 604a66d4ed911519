"""Conversion of a picture of any mode to 8-bit RGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.images.picture import Picture, Samples


def as_rgb(picture: Picture) -> NDArray[np.uint8]:
    """uint8 (H, W, 3): grey repeated, transparency composited on white, CMYK converted by Pillow, 16 bits rounded."""
    samples = to_8_bits(picture.samples)
    if picture.mode == "CMYK":
        return np.asarray(Image.fromarray(np.ascontiguousarray(samples), "CMYK").convert("RGB"))
    if picture.mode in ("LA", "RGBA"):
        samples = on_white(samples)
    return np.ascontiguousarray(np.broadcast_to(samples, (*samples.shape[:2], 3)))


def to_8_bits(samples: Samples) -> NDArray[np.uint8]:
    """uint16 rounded to uint8; uint8 unchanged."""
    if samples.dtype == np.uint8:
        return samples
    rounded: NDArray[np.uint8] = np.rint(samples / np.float32(257)).astype(np.uint8)
    return rounded


def on_white(samples: Samples) -> NDArray[np.uint8]:
    """uint8 (H, W, C) whose last channel is transparency, composited on white: (H, W, C - 1)."""
    alpha = samples[..., -1:].astype(np.float32) / 255
    colour: NDArray[np.uint8] = np.rint(samples[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return colour
