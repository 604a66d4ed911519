"""One upscaled image against its high-resolution original."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from toolkit.quality.data import Pixels
from toolkit.quality.metrics import luma, psnr, squared_error, ssim

BEST_PSNR = 100.0
"""What images without any difference count as: infinity would make a mean useless."""

PATCH = 64
"""Side of the patches that are looked at one by one."""


class Metrics(msgspec.Struct, frozen=True):
    """Quality of an image, or the mean over several. PSNR in dB, SSIM at most 1."""

    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    ssim_rgb: float


@dataclass(frozen=True)
class Measurement:
    """Metrics of an image, and the mean squared error of luma in each of its patches."""

    metrics: Metrics
    patches: NDArray[np.float64]


def measure(image: Pixels, original: Pixels, border: int) -> Measurement:
    """Compare `image` with `original` (H, W, 3), leaving out `border` pixels at each edge.

    Raises:
        InputError: less than SSIM's window is left of them.
    """
    inner = slice(border, -border or None)
    image, original = image[inner, inner], original[inner, inner]
    y, y_original = luma(image), luma(original)
    squared = (y - y_original) ** 2
    metrics = Metrics(
        psnr_y=min(psnr(float(squared.mean())), BEST_PSNR),
        psnr_rgb=min(psnr(squared_error(image, original)), BEST_PSNR),
        ssim_y=ssim(y, y_original),
        ssim_rgb=float(np.mean([ssim(image[..., channel], original[..., channel]) for channel in range(3)])),
    )
    return Measurement(metrics, _patch_means(squared))


def patch_differences(image: Pixels, other: Pixels, border: int) -> NDArray[np.float64]:
    """Root mean square difference of luma in each patch, in grey levels."""
    inner = slice(border, -border or None)
    return np.sqrt(_patch_means((luma(image[inner, inner]) - luma(other[inner, inner])) ** 2))


def mean_of(metrics: list[Metrics]) -> Metrics:
    """Field by field."""
    names = Metrics.__struct_fields__
    return Metrics(*(float(np.mean([getattr(one, name) for one in metrics])) for name in names))


def _patch_means(squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole patches, from the top left; an image smaller than one is a patch."""
    height, width = squared.shape
    rows, columns = max(height // PATCH, 1), max(width // PATCH, 1)
    tall, wide = min(height, PATCH), min(width, PATCH)
    parts = squared[: rows * tall, : columns * wide].reshape(rows, tall, columns, wide)
    means: NDArray[np.float64] = parts.mean(axis=(1, 3))
    return means
