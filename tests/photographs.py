"""Pictures for tests that train."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Something with edges and gradients, uint8 (height, width, 3)."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
