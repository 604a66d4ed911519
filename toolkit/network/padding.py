"""Sizes a network with PixelUnshuffle(2) cannot take as they are: odd ones, and images of a pixel or two.

Both the PyTorch model and every runtime session extend such an image by the same rule, so they stay comparable.
"""

from __future__ import annotations


def padded_size(size: int, minimum: int) -> int:
    """The smallest even size >= max(size, minimum)."""
    return max(size + size % 2, minimum)


def reflected_indices(size: int, target: int) -> list[int]:
    """Source index of each of `target` positions when `size` samples are extended at the end by reflection.

    The edge sample is not repeated, and the reflection bounces when `target` exceeds 2*size-1 (as numpy.pad's
    "reflect" does). A single sample can only repeat itself.
    """
    if size == 1:
        return [0] * target
    period = 2 * (size - 1)
    return [min(i % period, period - i % period) for i in range(target)]
