"""Bicubic resizing equal to MATLAB's imresize, with which low-resolution images of super-resolution are created."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputError
from toolkit.workloads import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SUPPORT = 4.0
"""Width of the cubic kernel in pixels of the image being read; of the smaller one when downscaling (antialiasing)."""


def resize_bicubic(pixels: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Bicubic (a = -0.5), antialiased when it gets smaller, borders repeated: MATLAB's `imresize(x, "bicubic")`.

    Equal to the published low-resolution images of Set5 and Set14 in every value, which requires MATLAB's rounding
    between the two dimensions.

    Args:
        pixels: uint8 (..., H, W, C).
        shape: of the result.

    Returns:
        uint8 (..., height, width, C).
    """
    import numpy as np

    result: NDArray[Any] = pixels.astype(np.float64)
    # MATLAB starts with the dimension that shrinks most; on equal scales with the height.
    axes = sorted((-3, -2), key=lambda axis: shape.sides[axis + 3] / pixels.shape[axis])
    for axis in axes:
        result = np.floor(np.clip(_along(result, axis, shape.sides[axis + 3]), 0, 255) + 0.5)
    return result.astype(np.uint8)


def interpolated(values: NDArray[np.floating], shape: Shape) -> NDArray[np.float64]:
    """The same of values (..., H, W, C) in float64, neither rounded nor limited."""
    import numpy as np

    result = values.astype(np.float64)
    for axis in (-3, -2):
        result = _along(result, axis, shape.sides[axis + 3])
    return result


def downscaled(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The low-resolution image of a high-resolution one (..., H, W, C) whose sides are multiples of `factor`.

    Raises:
        InputError: a side is not a multiple.
    """
    height, width = pixels.shape[-3:-1]
    if height % factor or width % factor or not height or not width:
        raise InputError(
            f"{width}x{height} cannot be downscaled {factor} times: its sides are not multiples of {factor}",
            "Crop it first.",
        )
    return resize_bicubic(pixels, Shape(height // factor, width // factor))


def _along(values: NDArray[Any], axis: int, size: int) -> NDArray[Any]:
    import numpy as np

    indices, weights = _taps(values.shape[axis], size)
    moved = np.moveaxis(values, axis, 0)
    result = np.zeros((size, *moved.shape[1:]))
    for index, weight in zip(indices.T, weights.T, strict=True):
        result += weight.reshape(-1, *[1] * (moved.ndim - 1)) * moved[index]
    return np.moveaxis(result, 0, axis)


@lru_cache(maxsize=64)
def _taps(length: int, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """For each position of the result, the indices of the input pixels and their weights, whose sum is 1."""
    import numpy as np

    scale = size / length
    shrink = min(scale, 1.0)
    width = _SUPPORT / shrink
    centre = (np.arange(size) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2 + 1e-9)
    positions = first[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = _cubic((centre[:, None] - positions) * shrink)
    weights /= weights.sum(axis=1, keepdims=True)
    indices = np.clip(positions, 0, length - 1).astype(np.int64)
    used = np.any(weights != 0, axis=0)
    return indices[:, used], weights[:, used]


def _cubic(x: NDArray[Any]) -> NDArray[Any]:
    """Keys' cubic convolution kernel, a = -0.5 (IEEE ASSP 1981)."""
    import numpy as np

    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    result: NDArray[Any] = np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
    return result
