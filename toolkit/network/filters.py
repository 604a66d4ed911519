"""Fixed filters: what splits off the high frequencies of an image, and what enlarges it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

GAUSSIAN_RADIUS = 2
"""Of the kernel in pixels: an image needs at least 3 rows and columns to be extended by as many by reflection."""


def gaussian_kernel() -> Tensor:
    """A Gaussian blur of 5x5 pixels, sigma 1, for each of 3 channels: (3, 1, 5, 5) in the default type.

    It is torchvision's `GaussianBlur(5, sigma=1)`, without torchvision.
    """
    taps = torch.exp(-0.5 * torch.arange(-GAUSSIAN_RADIUS, GAUSSIAN_RADIUS + 1, dtype=torch.float64) ** 2)
    taps /= taps.sum()
    return torch.outer(taps, taps).to(torch.get_default_dtype()).expand(3, 1, 5, 5).contiguous()


def without_blur(x: Tensor, kernel: Tensor) -> Tensor:
    """`x` minus its Gaussian blur, (N, 3, H, W) to the same; reflected at the border, H, W >= 3."""
    padded = functional.pad(x, (GAUSSIAN_RADIUS,) * 4, mode="reflect")
    return x - functional.conv2d(padded, kernel, groups=3)


def repeated(x: Tensor, scale: int) -> Tensor:
    """Every pixel repeated: (N, C, H, W) to (N, C, scale·H, scale·W)."""
    return x if scale == 1 else functional.interpolate(x, scale_factor=scale)
