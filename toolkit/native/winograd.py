"""Winograd's minimal filtering F(2x2, 3x3): which convolutions are computed so, and their weights.

Blocks of 2x2 output pixels take 16 multiplications per input and output channel instead of 36, for some additions per
input and per output channel (`headers/winograd.h`). So it pays where there are many of both.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from toolkit.native.program import Floats, Program, WinogradConvolution
from toolkit.workloads import Shape

FEWEST_CHANNELS = 16
"""Of the input and of the output, for which it is faster."""

KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
"""G: a kernel g becomes G g G^T."""


def pays(weight: NDArray[np.generic]) -> bool:
    """Whether a convolution with these weights (O, I, KY, KX) and stride 1 is faster so."""
    return weight.shape[2:] == (3, 3) and min(weight.shape[:2]) >= FEWEST_CHANNELS


def avoided_multiply_adds(program: Program, shape: Shape) -> int:
    """Multiply-adds that a program does without for a frame of `shape`: per pixel, 5 of 9 of these convolutions."""
    pixels, avoided = shape.height * shape.width, Fraction(0)
    for stage in program.stages:
        if isinstance(stage.origin, WinogradConvolution):
            avoided += 5 * stage.origin.weight[..., 0, 0].size * pixels * stage.size**2
    return int(avoided)


def transformed(weight: Floats) -> Floats:
    """Weights (O, I, 3, 3) as (4, 4, O, I), computed in float64 and rounded once."""
    made: NDArray[np.float64] = np.einsum("ak,oikl,bl->aboi", KERNEL, weight.astype(np.float64), KERNEL)
    return made.astype(np.float32)
