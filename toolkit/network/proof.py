"""Proof that a block and its merged form are the same function.

Both are affine maps of an image (N, I, H, W): linear in the image, plus a constant. Two affine maps are equal when they
agree on zero and on a basis of the space of images, and the unit impulses (1 at one position of one channel, 0
elsewhere) are one. So on an image of a given size, comparing them on zero and on every impulse is a proof and not a
sample, up to the rounding of float64.

That leaves the sizes. Both maps compute an output pixel from the k x k pixels around it, and treat a pixel differently
only by which of these lie outside the image. For k = 3 there are nine cases: four corners, four edges, and the
interior. An image of 5x5 pixels contains each of them with its whole neighbourhood, so agreement there is agreement at
every pixel of every larger image. In images of fewer than k rows or columns opposite borders meet, which makes further
cases: 1x1, 1x5 and 5x1 contain them.

That the block is affine is not taken for granted: `affinity` measures it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.network.fusion import as_convolution, mergeable_blocks, merged_kernel
from toolkit.network.impulses import zero_and_impulses
from toolkit.network.module import MergeableBlock, NetworkModule


@dataclass(frozen=True)
class BlockProof:
    """How far a block and its merged form are apart, as a share of the block's largest response.

    Attributes:
        name: of the block in the network.
        impulses: how many inputs were compared: zero, and one impulse per channel and position of each patch.
        error: largest over zero and all impulses.
        affinity: how far the block is from affine, f(a) + f(b) = f(a + b) + f(0) on random images. Agreement on
            impulses would prove nothing for a block that is not affine.
        rounding: largest relative distance of an exported weight or bias from the float64 merge.
    """

    name: str
    impulses: int
    error: float
    affinity: float
    rounding: float

    @property
    def measured(self) -> float:
        """What must stay below `BLOCK_BOUND`; NaN if either part is."""
        return float(np.maximum(self.error, self.affinity))


def prove_block(name: str, block: MergeableBlock, weight: Tensor, bias: Tensor, shipped: nn.Conv2d) -> BlockProof:
    """Compare a block with its merged form, and that with the exported one. See the module's docstring.

    Args:
        name: of the block, for the result.
        block: in its own dtype; it is compared in float64.
        weight, bias: of the merged convolution, float64.
        shipped: the convolution that is exported.
    """
    exact = copy.deepcopy(block).double().eval()
    merged = as_convolution(weight, bias)
    channels = weight.shape[1]
    errors, affinities, count = [], [], 0
    with torch.inference_mode():
        for height, width in patches(weight.shape[-1]):
            distances, largest = [], []
            for inputs in map(torch.from_numpy, zero_and_impulses(channels, height, width)):
                response = exact(inputs)
                distances.append((response - merged(inputs)).abs().max())
                largest.append(response.abs().max())
                count += len(inputs)
            errors.append(torch.stack(distances).max() / torch.stack(largest).max())
            affinities.append(_affinity(exact, (channels, height, width)))
    stored = shipped.state_dict()
    rounding = torch.stack([_relative(stored["weight"], weight), _relative(stored["bias"], bias)]).max()
    # torch's max, unlike Python's, does not lose a NaN.
    error, affinity = (float(torch.stack(values).max()) for values in (errors, affinities))
    return BlockProof(name, count, error, affinity, float(rounding))


def prove_blocks(network: NetworkModule, fused: NetworkModule) -> list[BlockProof]:
    """A proof for every mergeable block of `network` and its place in `fused`; empty when it is fused already."""
    return [
        prove_block(name, block, *merged_kernel(block), fused.get_submodule(name))  # type: ignore[arg-type]
        for name, block in mergeable_blocks(network).items()
    ]


def patches(kernel: int) -> tuple[tuple[int, int], ...]:
    """Image sizes (height, width) that contain every border case of a kernel of this many pixels squared.

    The first has 2·kernel - 1 rows and columns: at its centre the whole neighbourhood of an interior pixel, and around
    it the neighbourhoods of pixels at every distance from each border. In the others, opposite borders meet.
    """
    side = 2 * kernel - 1
    return (side, side), (1, 1), (1, side), (side, 1)


def _relative(stored: Tensor, exact: Tensor) -> Tensor:
    """Largest distance of stored values from exact ones, relative to each (or to the smallest normal float32)."""
    return ((stored.double() - exact).abs() / exact.abs().clamp_min(torch.finfo(torch.float32).tiny)).max()


def _affinity(block: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """How far f(a) + f(b) is from f(a + b) + f(0), relative to it. Zero, up to rounding, exactly for affine maps."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(1, *shape, dtype=torch.float64, generator=generator) for _ in range(2))
    left, right = block(a) + block(b), block(a + b) + block(torch.zeros_like(a))
    difference: Tensor = (left - right).abs().max() / left.abs().max()
    return difference
