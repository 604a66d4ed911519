"""Proof that a block and its merged form are the same function."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.network.architectures.rt4ksr.blocks import ReparameterizableBlock
from toolkit.network.architectures.rt4ksr.model import RT4KSR
from toolkit.network.fusion import merged_kernel, reparameterizable_blocks

ROUNDING_BOUND = 2.0**-24
"""Half a unit in the last place: float64 weights stored as float32."""

BLOCK_BOUND = 1e-12
"""Relative to the block's largest response, in float64."""

_BATCH = 256

PATCHES = ((5, 5), (1, 1), (1, 5), (5, 1))
"""5x5 holds all nine border cases of a 3x3 stencil around a true interior; the thin ones, where borders meet."""


@dataclass(frozen=True)
class BlockProof:
    """How far a block and its merged form are apart, as a share of the block's largest response.

    Attributes:
        name: of the block in the network.
        impulses: how many inputs were compared: zero, and one impulse per channel and position of each patch.
        error: over all impulses and zero.
        affinity: how far the block is from affine, f(a) + f(b) = f(a + b) + f(0); without that, agreement on impulses
            would prove nothing.
        rounding: largest relative distance of a weight or bias that ships from the float64 merge.
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


def prove_block(
    name: str, block: ReparameterizableBlock, weight: Tensor, bias: Tensor, shipped: nn.Conv2d
) -> BlockProof:
    """Compare `block` with the zero-padded 3x3 convolution (`weight`, `bias`), float64, and that with what ships.

    A block is an affine map with a 3x3 stencil: it equals its merged form for every input of every size exactly if both
    agree on zero and on every impulse, in the interior and in each border case.
    """
    exact = copy.deepcopy(block).double().eval()
    channels = weight.shape[1]
    merged = nn.Conv2d(channels, weight.shape[0], 3, padding=1, dtype=torch.float64)
    merged.load_state_dict({"weight": weight, "bias": bias})
    errors, affinities, count = [], [], 0
    with torch.inference_mode():
        for height, width in PATCHES:
            distances, largest = [], []
            for inputs in _zero_and_impulses(channels, height, width):
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


def prove_blocks(network: RT4KSR, fused: RT4KSR) -> list[BlockProof]:
    """A proof for every mergeable block of `network` and its place in `fused`; empty when it is fused already."""
    return [
        prove_block(name, block, *merged_kernel(block), fused.get_submodule(name))  # type: ignore[arg-type]
        for name, block in reparameterizable_blocks(network).items()
    ]


def _zero_and_impulses(channels: int, height: int, width: int) -> Iterator[Tensor]:
    """Zero, then one impulse per channel and position, in batches: all at once would be quadratic in memory."""
    size = channels * height * width
    yield torch.zeros(1, channels, height, width, dtype=torch.float64)
    for start in range(0, size, _BATCH):
        count = min(_BATCH, size - start)
        impulses = torch.zeros(count, size, dtype=torch.float64)
        impulses[range(count), range(start, start + count)] = 1
        yield impulses.reshape(-1, channels, height, width)


def _relative(stored: Tensor, exact: Tensor) -> Tensor:
    """Largest distance of stored values from exact ones, relative to each (or to the smallest normal float32)."""
    return ((stored.double() - exact).abs() / exact.abs().clamp_min(torch.finfo(torch.float32).tiny)).max()


def _affinity(block: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(1, *shape, dtype=torch.float64, generator=generator) for _ in range(2))
    left, right = block(a) + block(b), block(a + b) + block(torch.zeros_like(a))
    difference: Tensor = (left - right).abs().max() / left.abs().max()
    return difference
