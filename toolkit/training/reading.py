"""Reading a photograph for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.images import read_rgb

Pixels = NDArray[np.uint8]

CONVERSION = 2
"""Raised when the same file gives different pixels than before, so that older caches are not used."""


def read_photo(path: Path) -> Pixels:
    """A photograph as uint8 (H, W, 3), as a viewer would show it: see `read_rgb`. Colour profiles are ignored: the
    network is to learn how values go together, in whatever space.

    Raises:
        InputError: not an image, damaged, or of a kind that has no plain meaning in RGB (floating-point, 32-bit).
        Unavailable: reading it needs the extra `images`.
    """
    return read_rgb(path)
