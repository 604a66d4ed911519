"""The inputs on which two affine maps of an image are compared, and how far they may be apart (see `proof.py`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_BOUND = 1e-12
"""Relative to the block's largest response, in float64. A right merge differs by rounding errors of float64, about
1e-15; a wrong one by at least a unit in the last place of a float32 weight, about 1e-8 of it."""

ROUNDING_BOUND = 2.0**-24
"""Relative: half a unit in the last place of float32, the largest error of one rounding to nearest. The exported
weights are the float64 merge, rounded once, so none may be further from it."""

_BATCH = 256


def zero_and_impulses(channels: int, height: int, width: int) -> Iterator[NDArray[np.float64]]:
    """Zero, then one impulse per channel and position, as images (N, C, H, W).

    In batches, because all at once need quadratic memory.
    """
    size = channels * height * width
    yield np.zeros((1, channels, height, width))
    for start in range(0, size, _BATCH):
        count = min(_BATCH, size - start)
        impulses = np.zeros((count, size))
        impulses[range(count), range(start, start + count)] = 1
        yield impulses.reshape(-1, channels, height, width)
