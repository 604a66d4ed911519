"""PSNR and SSIM of planes by NumPy and scikit-image, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity


def ssim_of(one: NDArray[Any], other: NDArray[Any], most: float) -> float:
    """Where the window lies completely inside."""
    found = structural_similarity(
        *(plane.astype(np.float64) for plane in (one, other)),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=most,
        full=True,
    )[1]
    return float(found[5:-5, 5:-5].mean())


def psnr_of(one: NDArray[Any], other: NDArray[Any], most: float) -> float:
    return float(10 * np.log10(most**2 / np.mean((one.astype(np.float64) - other) ** 2)))
