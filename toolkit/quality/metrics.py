"""PSNR and SSIM of uint8 images, computed as in super-resolution papers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError

PEAK = 255.0

_LUMA = np.array([65.481, 128.553, 24.966]) / 255
_LUMA_OFFSET = 16.0

# Wang et al., IEEE TIP 2004.
WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
_ROWS = 256
"""Rows computed at a time: limits memory for a 4K image to megabytes."""


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Luma Y of RGB (..., 3) as in MATLAB's rgb2ycbcr: 16..235 (ITU-R BT.601), not rounded.

    The "PSNR(Y)" of the reference code applies a formula for BGR to RGB images, which is wrong by up to 0.2 dB.
    """
    y: NDArray[np.float64] = np.full(pixels.shape[:-1], _LUMA_OFFSET)
    for channel, weight in enumerate(_LUMA):  # one at a time: a 4K image in float64 has 200 MB
        y += weight * pixels[..., channel]
    return y


def psnr(squared_error: float) -> float:
    """PSNR in dB for a mean squared error of values 0..255; infinite for 0."""
    return math.inf if squared_error == 0 else 10 * math.log10(PEAK**2 / squared_error)


def squared_error(image: NDArray[Any], reference: NDArray[Any]) -> float:
    """Mean squared difference of two images or planes (H, W, ...)."""
    total = 0.0
    for top in range(0, len(image), _ROWS):
        rows = slice(top, top + _ROWS)
        difference = np.subtract(image[rows], reference[rows], dtype=np.float64)
        total += float(np.vdot(difference, difference))
    return total / image.size


def ssim(image: NDArray[Any], reference: NDArray[Any]) -> float:
    """Structural similarity of two planes (H, W) of values 0..255 (Wang et al. 2004).

    The window is an 11x11 Gaussian with sigma 1.5, at all positions where it lies completely inside the plane.

    Raises:
        InputError: a plane is smaller than the window.
    """
    height, width = image.shape
    if min(height, width) < WINDOW:
        raise InputError(f"SSIM needs at least {WINDOW}x{WINDOW} pixels, the image has {width}x{height}")
    total, rows = 0.0, height - WINDOW + 1
    for top in range(0, rows, _ROWS):
        part = slice(top, min(top + _ROWS, rows) + WINDOW - 1)
        total += float(_ssim_map(image[part].astype(np.float64), reference[part].astype(np.float64)).sum())
    return total / float(rows * (width - WINDOW + 1))


def _ssim_map(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure: NDArray[np.float64] = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return luminance * structure


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    taps = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / _SIGMA) ** 2)
    taps /= taps.sum()
    height, width = (side - WINDOW + 1 for side in plane.shape)
    columns = sum(tap * plane[:, index : index + width] for index, tap in enumerate(taps))
    result: NDArray[np.float64] = sum(tap * columns[index : index + height] for index, tap in enumerate(taps))
    return result
