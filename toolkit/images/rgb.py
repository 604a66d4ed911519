"""A picture of any kind as 8-bit RGB, as a viewer shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.images.picture import Picture, Samples


def as_rgb(picture: Picture) -> NDArray[np.uint8]:
    """uint8 (H, W, 3): grey repeated, transparency put on white, CMYK as Pillow converts it, 16 bits rounded to 8."""
    samples = to_8_bits(picture.samples)
    if picture.mode == "CMYK":
        return np.asarray(Image.fromarray(np.ascontiguousarray(samples), "CMYK").convert("RGB"))
    if picture.mode in ("LA", "RGBA"):
        samples = on_white(samples)
    return np.ascontiguousarray(np.broadcast_to(samples, (*samples.shape[:2], 3)))


def to_8_bits(samples: Samples) -> NDArray[np.uint8]:
    """uint16 rounded to uint8; uint8 as it is."""
    if samples.dtype == np.uint8:
        return samples
    rounded: NDArray[np.uint8] = np.rint(samples / np.float32(257)).astype(np.uint8)
    return rounded


def on_white(samples: Samples) -> NDArray[np.uint8]:
    """uint8 (H, W, C) whose last channel is transparency, as (H, W, C - 1) on white paper."""
    alpha = samples[..., -1:].astype(np.float32) / 255
    colour: NDArray[np.uint8] = np.rint(samples[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return colour
