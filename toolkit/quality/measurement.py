"""One upscaled image against its high-resolution original."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from toolkit.quality.data import Pixels
from toolkit.quality.metrics import luma, psnr, squared_error, ssim

BEST_PSNR = 100.0
"""What images without any difference count as: infinity would make a mean useless."""

PATCH = 64
"""Side of the patch that is looked for."""


class Metrics(msgspec.Struct, frozen=True):
    """Quality of an image, or the mean over several. PSNR in dB, SSIM at most 1."""

    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    ssim_rgb: float


@dataclass(frozen=True)
class Patch:
    """The square of `PATCH` pixels where two images differ most, wherever it lies; an image smaller than that is one.

    Attributes:
        corner: its top left, (row, column).
        difference: root mean square difference of luma in it, in grey levels.
    """

    corner: tuple[int, int]
    difference: float


@dataclass(frozen=True)
class Measurement:
    """Metrics of an image, and the patch of it that is furthest from the original."""

    metrics: Metrics
    worst: Patch


def measure(image: Pixels, original: Pixels, border: int) -> Measurement:
    """Compare `image` with `original` (H, W, 3), leaving out `border` pixels at each edge.

    Raises:
        InputError: less than SSIM's window is left of them.
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
    """Where two images (H, W, 3) differ most, `border` pixels at each edge left out."""
    inner = slice(border, -border or None)
    return _worst(_squared(luma(image[inner, inner]), luma(other[inner, inner])), border)


def mean_of(metrics: list[Metrics]) -> Metrics:
    """Field by field."""
    names = Metrics.__struct_fields__
    return Metrics(*(float(np.mean([getattr(one, name) for one in metrics])) for name in names))


def _squared(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = one - other
    squared *= squared
    return squared


def _worst(squared: NDArray[np.float64], border: int) -> Patch:
    height, width = (min(side, PATCH) for side in squared.shape)
    # Sums of all rectangles that begin at the top left; four of them are the sum of any.
    sums = np.zeros((squared.shape[0] + 1, squared.shape[1] + 1))
    squared.cumsum(axis=0, out=sums[1:, 1:])
    sums[1:, 1:].cumsum(axis=1, out=sums[1:, 1:])
    of_columns = sums[height:] - sums[:-height]
    of_patches = of_columns[:, width:] - of_columns[:, :-width]
    top, left = (int(place) for place in np.unravel_index(int(np.argmax(of_patches)), of_patches.shape))
    mean = float(squared[top : top + height, left : left + width].mean())
    return Patch((top + border, left + border), math.sqrt(mean))
