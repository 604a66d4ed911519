"""Weights in the order in which convolutions use them, in lanes of 32 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.native.program import CHANNELS_A_LANE, Convolution

Lanes = NDArray[np.float32] | NDArray[np.uint32]


def blocks(outputs: int, largest: int) -> list[int]:
    """Output channels in register tiles: as few as possible, and as equal as possible."""
    count = -(-outputs // largest)
    return [outputs // count + (index < outputs % count) for index in range(count)]


def packed(convolution: Convolution, sizes: list[int]) -> Lanes:
    """Weights [block][input lane][ky][kx][output in block]; lanes of several channels as integers."""
    weight = convolution.weight
    channels = CHANNELS_A_LANE[convolution.format]
    full = np.zeros((weight.shape[0], -(-weight.shape[1] // channels) * channels, *weight.shape[2:]), weight.dtype)
    full[:, : weight.shape[1]] = weight
    lanes = _lanes(full, channels, convolution.format)
    parts = np.split(lanes, np.cumsum(sizes)[:-1])
    return np.concatenate([part.transpose(1, 2, 3, 0).reshape(-1) for part in parts])


def offsets(convolution: Convolution) -> NDArray[np.int32]:
    """What int8 sums begin with: less 128 times all weights, because 128 was added to every pixel."""
    sums: NDArray[np.int64] = convolution.weight.astype(np.int64).sum((1, 2, 3))
    return (-128 * sums).astype(np.int32)


def bf16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Upper halves of float32 values that are bf16 already."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    if (bits & 0xFFFF).any():
        raise ValueError("these weights are not bf16")
    return (bits >> 16).astype(np.uint16)


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
