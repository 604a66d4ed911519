"""Packs weights of convolutions in the order of their use, in 32-bit lanes.

The innermost loop of a convolution (`headers/convolution.h`) loads one vector of pixels and multiplies it with one
broadcast weight for each output channel of its register tile. With the weights of a tile next to each other, the loop
reads them sequentially.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.native.program import CHANNELS_PER_LANE, Convolution, Floats, WinogradConvolution
from toolkit.native.winograd import transformed

Lanes = NDArray[np.float32] | NDArray[np.uint32]

TILE = 16
"""Rows of a tile register, and 32-bit lanes of a row."""


def blocks(outputs: int, largest: int) -> list[int]:
    """Sizes of register tiles for `outputs` channels: the smallest number of tiles of at most `largest`
    channels, with sizes as equal as possible.
    """
    count = -(-outputs // largest)
    return [outputs // count + (index < outputs % count) for index in range(count)]


def packed(convolution: Convolution, sizes: list[int]) -> Lanes:
    """Weights as [tile][input lane][ky][kx][output in tile]; lanes of several channels as uint32.

    Input channels are padded with zeros to whole lanes.
    """
    parts = np.split(_padded_lanes(convolution), np.cumsum(sizes)[:-1])
    return np.concatenate([part.transpose(1, 2, 3, 0).reshape(-1) for part in parts])


def packed_winograd(convolution: WinogradConvolution, sizes: list[int]) -> Floats:
    """Transformed weights as [tile][position][input][output in tile]; positions are rows x columns of a block."""
    outputs, inputs = convolution.weight.shape[:2]
    parts = np.split(transformed(convolution.weight).reshape(-1, outputs, inputs), np.cumsum(sizes)[:-1], axis=1)
    return np.concatenate([part.swapaxes(1, 2).reshape(-1) for part in parts])


def packed_tiles(convolution: Convolution) -> Lanes:
    """Weights for `headers/tile_convolution.h`, as [two blocks][group of taps][block][output in block][tap in group].

    The taps of an output are [input lane][ky][kx]. The last group and the last block are padded with zeros.
    """
    lanes = _padded_lanes(convolution)
    taps = lanes.reshape(len(lanes), -1)
    count, groups = -(-len(taps) // TILE), -(-taps.shape[1] // TILE)
    block = blocks(len(taps), TILE)[0]
    full = np.zeros((count * block, groups * TILE), taps.dtype)
    full[: len(taps), : taps.shape[1]] = taps
    tiles = full.reshape(count, block, groups, TILE).transpose(0, 2, 1, 3)
    return np.concatenate([tiles[first : first + 2].swapaxes(0, 1).reshape(-1) for first in range(0, count, 2)])


def offsets(convolution: Convolution) -> NDArray[np.int32]:
    """Initial values of int8 sums, (O,).

    `vpdpbusd` multiplies unsigned by signed bytes, so pixels are stored with 128 added: sum((x + 128) * w) exceeds the
    wanted sum(x * w) by 128 * sum(w), which is subtracted at the start.
    """
    sums: NDArray[np.int64] = convolution.weight.astype(np.int64).sum((1, 2, 3))
    return (-128 * sums).astype(np.int32)


def bf16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """bf16 bit patterns of float32 values that are representable in bf16: their upper 16 bits."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    if (bits & 0xFFFF).any():
        raise ValueError("these weights are not bf16")
    return (bits >> 16).astype(np.uint16)


def _padded_lanes(convolution: Convolution) -> Lanes:
    """(O, lanes, KY, KX), input channels padded with zeros to whole lanes."""
    weight = convolution.weight
    channels = CHANNELS_PER_LANE[convolution.format]
    full = np.zeros((weight.shape[0], -(-weight.shape[1] // channels) * channels, *weight.shape[2:]), weight.dtype)
    full[:, : weight.shape[1]] = weight
    return _lanes(full, channels, convolution.format)


def _lanes(weight: NDArray[np.generic], channels: int, form: str) -> Lanes:
    """(O, I, KY, KX) to (O, I / channels, KY, KX), the first channel in the lowest bits."""
    if channels == 1:
        return weight.astype(np.float32)
    narrow: NDArray[np.unsignedinteger] = (
        bf16_bits(weight.astype(np.float32)) if form == "bf16" else weight.astype(np.int8).view(np.uint8)
    )
    out, inputs, height, width = narrow.shape
    grouped = narrow.reshape(out, inputs // channels, channels, height, width).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(grouped).view(np.uint32)[..., 0]
