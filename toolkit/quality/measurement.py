"""Quality metrics of one upscaled image against its high-resolution original."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from toolkit.quality.data import Pixels
from toolkit.quality.metrics import luma, psnr, squared_error, ssim

BEST_PSNR = 100.0
"""PSNR assigned to identical images, because the mean over images must stay finite."""

PATCH = 64
"""Height and width of the patch with the largest error, in pixels."""


class Metrics(msgspec.Struct, frozen=True):
    """Metrics of an image, or their mean over several. PSNR in dB, SSIM at most 1."""

    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    ssim_rgb: float


@dataclass(frozen=True)
class Patch:
    """The `PATCH` x `PATCH` square in which two images differ most, at any position; smaller images are one patch.

    Attributes:
        corner: (row, column) of its top-left pixel.
        difference: root mean square difference of luma in the patch, in grey levels.
    """

    corner: tuple[int, int]
    difference: float


@dataclass(frozen=True)
class Measurement:
    """Metrics of an image, and its patch with the largest error."""

    metrics: Metrics
    worst: Patch


def measure(image: Pixels, original: Pixels, border: int) -> Measurement:
    """Compare `image` with `original`, uint8 (H, W, 3), ignoring `border` pixels at each edge.

    Raises:
        InputError: what remains is smaller than the SSIM window.
    """
    inner = slice(border, -border or None)
    image, original = image[inner, inner], original[inner, inner]
    y, y_original = luma(image), luma(original)
    squared = _squared(y, y_original)
    metrics = Metrics(
        psnr_y=min(psnr(float(squared.mean())), BEST_PSNR),
        psnr_rgb=min(psnr(squared_error(image, original)), BEST_PSNR),
        ssim_y=ssim(y, y_original),
        ssim_rgb=float(np.mean([ssim(image[..., channel], original[..., channel]) for channel in range(3)])),
    )
    return Measurement(metrics, _worst(squared, border))


def worst_patch(image: Pixels, other: Pixels, border: int) -> Patch:
    """The patch in which two images (H, W, 3) differ most, ignoring `border` pixels at each edge."""
    inner = slice(border, -border or None)
    return _worst(_squared(luma(image[inner, inner]), luma(other[inner, inner])), border)


def mean_of(metrics: list[Metrics]) -> Metrics:
    """Mean of each field."""
    names = Metrics.__struct_fields__
    return Metrics(*(float(np.mean([getattr(one, name) for one in metrics])) for name in names))


def _squared(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = one - other
    squared *= squared
    return squared


def _worst(squared: NDArray[np.float64], border: int) -> Patch:
    height, width = (min(side, PATCH) for side in squared.shape)
    # Summed-area table: sums[i, j] is the sum of squared[:i, :j], and the sum of any rectangle is four of its entries.
    sums = np.zeros((squared.shape[0] + 1, squared.shape[1] + 1))
    squared.cumsum(axis=0, out=sums[1:, 1:])
    sums[1:, 1:].cumsum(axis=1, out=sums[1:, 1:])
    of_columns = sums[height:] - sums[:-height]
    of_patches = of_columns[:, width:] - of_columns[:, :-width]
    top, left = (int(place) for place in np.unravel_index(int(np.argmax(of_patches)), of_patches.shape))
    mean = float(squared[top : top + height, left : left + width].mean())
    return Patch((top + border, left + border), math.sqrt(mean))
