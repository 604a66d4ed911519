"""What a program of the native engine computes, in numpy: whole images, one operation after the other, with each sum in
the order of the engine. So the results are the same bits, without line buffers, bands, tiles and packed weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import toolkit
from toolkit.native.program import (
    CHANNELS_PER_LANE,
    Activation,
    Affine,
    Buffer,
    Combine,
    Convolution,
    Copy,
    Depthwise,
    Join,
    Multiply,
    Norm,
    Operation,
    PRelu,
    Program,
    Quantise,
    ReadFrame,
    Repeat,
    Shuffle,
    Source,
    Stage,
    Store,
    Unshuffle,
    WinogradConvolution,
    WriteFrame,
)
from toolkit.native.winograd import transformed

Floats = NDArray[np.float32]
TILE_ROWS = 16
"""Lanes of pairs of bf16 that one tile operation adds."""
SMALLEST = np.finfo(np.float32).tiny


def fma(a: Floats, b: Floats, c: Floats) -> Floats:
    """a * b + c, rounded once.

    The product is exact in float64. A sum that is not is rounded to odd: with the 29 bits that float64 has more, the
    second rounding then is that of the exact value.
    """
    product, addend = np.broadcast_arrays(np.float64(a) * np.float64(b), np.float64(c))
    total = product + addend
    back = total - product
    error = (product - (total - back)) + (addend - back)
    bits = total.view(np.int64)
    inexact = (error != 0) & (bits & 1 == 0)
    away = (error > 0) == (total > 0)
    return np.where(inexact, bits + np.where(away, 1, -1), bits).view(np.float64).astype(np.float32)


def flushed(values: Floats) -> Floats:
    """Denormals as zeros of the same sign."""
    return np.where(np.abs(values) < SMALLEST, np.copysign(np.float32(0), values), values)


def bf16(values: Floats) -> Floats:
    """Rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def tile_product(sums: Floats, a: Floats, b: Floats) -> Floats:
    """TDPBF16PS: `sums` (M, N) plus `a` (M, K, 2) times `b` (K, N, 2).

    The even and the odd elements of the pairs are added in two chains from zero, these to each other and to the sum.
    """
    chains = np.zeros((2, *sums.shape), np.float32)
    for k in range(a.shape[1]):
        for half in range(2):
            chains[half] = flushed(fma(flushed(a[:, k, half, None]), flushed(b[None, k, :, half]), chains[half]))
    return flushed(flushed(sums) + flushed(chains[0] + chains[1]))


class Reference:
    """A program, computed stage by stage.

    Args:
        program: what is computed.
        tiles: whether bf16 convolutions are sums of tile operations.
    """

    def __init__(self, program: Program, *, tiles: bool = False) -> None:
        self._program, self._tiles = program, tiles
        self._buffers: dict[int, Floats] = {}

    def run(self, frame: NDArray[np.generic]) -> NDArray[np.generic]:
        """The output frame of an input frame (1, C, H, W) or (1, H, W, C)."""
        image = frame[0] if self._program.input.layout == "NCHW" else frame[0].transpose(2, 0, 1)
        output = None
        for stage in self._program.stages:
            values = self._origin(stage, image.astype(np.float32))
            for operation in stage.operations:
                if isinstance(operation, Store):
                    self._buffers[operation.buffer] = _stored(values, self._program.buffers[operation.buffer])
                elif isinstance(operation, WriteFrame):
                    output = _shuffled(values, operation.factor)
                else:
                    values = self._applied(operation, values, stage)
        assert output is not None
        if self._program.output.dtype == "uint8":
            output = np.rint(output).clip(0, 255).astype(np.uint8)
        return (output if self._program.output.layout == "NCHW" else output.transpose(1, 2, 0))[None]

    def _origin(self, stage: Stage, image: Floats) -> Floats:
        origin = stage.origin
        if isinstance(origin, ReadFrame):
            return _unshuffled(image, origin.factor)
        if isinstance(origin, Join):
            return np.concatenate([self._buffers[source.buffer] for source in origin.sources])
        values = self._buffers[origin.source.buffer]
        if isinstance(origin, Copy):
            return values
        if isinstance(origin, Unshuffle):
            return _unshuffled(values, origin.factor)
        if isinstance(origin, Repeat):
            return values.repeat(origin.factor, 1).repeat(origin.factor, 2)
        if isinstance(origin, Shuffle):
            return _shuffled(values, origin.factor)
        if isinstance(origin, WinogradConvolution):
            return _winograd(origin, values, stage.phase)
        taps = self._taps(origin.source, origin.weight.shape[2:], getattr(origin, "stride", 1))
        if isinstance(origin, Depthwise):
            return _depthwise(origin, taps)
        return _convolved(origin, taps, tiles=self._tiles)

    def _taps(self, source: Source, kernel: tuple[int, ...], stride: int) -> Floats:
        """The pixels that a convolution multiplies, (channels, KY, KX, H, W)."""
        buffer = self._program.buffers[source.buffer]
        values = self._buffers[source.buffer]
        sides = [(-first, last) for first, last in (source.rows, source.columns)]
        padded = np.pad(values, [(0, 0), *sides], mode="reflect" if buffer.reflect else "constant")
        height, width = (side // stride for side in values.shape[1:])
        return np.stack(
            [
                padded[:, y : y + stride * (height - 1) + 1 : stride, x : x + stride * (width - 1) + 1 : stride]
                for y in range(kernel[0])
                for x in range(kernel[1])
            ],
            1,
        ).reshape(len(values), *kernel, height, width)

    def _applied(self, operation: Operation, x: Floats, stage: Stage) -> Floats:
        if isinstance(operation, Activation):
            origin = stage.origin
            low = self._tiles and isinstance(origin, Convolution) and origin.format == "bf16"
            return activated(operation, x, coarse=low and operation is stage.operations[0])
        if isinstance(operation, PRelu):
            return fma(np.minimum(x, 0), _column(operation.slope), np.maximum(x, 0))
        if isinstance(operation, Affine):
            return fma(x, _column(operation.scale), _column(operation.shift))
        if isinstance(operation, Norm):
            return _normalised(operation, x)
        if isinstance(operation, Quantise):
            return np.rint(x * np.float32(operation.steps)).clip(-128, 127)
        if isinstance(operation, Multiply):
            return x * self._buffers[operation.source.buffer]
        assert isinstance(operation, Combine)
        other = self._buffers[operation.source.buffer]
        if operation.channels is not None:
            other = other[list(operation.channels)]
        return fma(x, np.float32(operation.own), other * np.float32(operation.other))


def _column(values: Floats) -> Floats:
    return values.astype(np.float32).reshape(-1, 1, 1)


def _stored(values: Floats, buffer: Buffer) -> Floats:
    if buffer.format == "bf16":
        return bf16(values)
    if buffer.format == "int8":
        return np.rint(values * np.float32(buffer.steps)).clip(-128, 127)
    return values


def _unshuffled(values: Floats, factor: int) -> Floats:
    channels, height, width = values.shape
    parts = values.reshape(channels, height // factor, factor, width // factor, factor)
    return parts.transpose(0, 2, 4, 1, 3).reshape(channels * factor**2, height // factor, width // factor)


def _shuffled(values: Floats, factor: int) -> Floats:
    channels, height, width = values.shape
    parts = values.reshape(channels // factor**2, factor, factor, height, width)
    return parts.transpose(0, 3, 1, 4, 2).reshape(channels // factor**2, height * factor, width * factor)


def _convolved(convolution: Convolution, taps: Floats, *, tiles: bool) -> Floats:
    """Sums over [input lane][ky][kx], and in a lane over its channels; with tiles in groups of 16 lanes."""
    per_lane = CHANNELS_PER_LANE[convolution.format]
    outputs = len(convolution.weight)
    pixels = _lanes(taps.reshape(*taps.shape[:3], -1), per_lane)  # (K, pixels, channels of a lane)
    weights = _lanes(np.moveaxis(convolution.weight.astype(np.float32), 0, 3), per_lane).swapaxes(0, 1)
    bias = convolution.bias.reshape(-1, 1)
    if convolution.format == "int8":
        assert convolution.scale is not None
        exact = np.einsum("okc,kpc->op", weights.astype(np.int64), pixels.astype(np.int64))
        sums = fma(exact.astype(np.float32), convolution.scale.reshape(-1, 1), bias)
    elif convolution.format == "bf16" and tiles:
        short = -len(pixels) % TILE_ROWS
        pixels, weights = np.pad(pixels, [(0, short), (0, 0), (0, 0)]), np.pad(weights, [(0, 0), (0, short), (0, 0)])
        sums = np.zeros((outputs, pixels.shape[1]), np.float32)
        for first in range(0, len(pixels), TILE_ROWS):
            group = slice(first, first + TILE_ROWS)
            sums = tile_product(sums, weights[:, group], pixels[group])
        sums = sums + bias
    else:
        sums = np.broadcast_to(bias, (outputs, pixels.shape[1]))
        for k in range(len(pixels)):
            for channel in reversed(range(per_lane)):
                sums = fma(weights[:, k, channel, None], pixels[None, k, :, channel], sums)
    return sums.reshape(outputs, *taps.shape[3:])


def _winograd(convolution: WinogradConvolution, values: Floats, above: int) -> Floats:
    """Blocks of 2x2 pixels, each from 4x4: transformed, multiplied, summed over the channels, and transformed back.

    The first block begins `above` rows above the image.
    """
    height, width = values.shape[1:]
    rows, columns = -(-(height + above) // 2), -(-width // 2)
    padded = np.pad(values, [(0, 0), (1 + above, 2 * rows - height - above + 1), (1, 2 * columns - width + 1)])
    pixels = np.array([[padded[:, y::2, x::2][:, :rows, :columns] for x in range(4)] for y in range(4)])
    inputs = _differences(_differences(pixels.swapaxes(0, 1)).swapaxes(0, 1))
    weights = transformed(convolution.weight)
    products = np.zeros((4, 4, len(convolution.bias), rows, columns), np.float32)
    for channel in range(len(values)):
        products = fma(weights[..., channel, None, None], inputs[:, :, None, channel], products)
    m0, m1, m2, m3 = products.swapaxes(0, 1)
    sides = np.array([(m0 + m1) + m2, (m1 - m2) - m3])
    bias = _column(convolution.bias)
    s0, s1, s2, s3 = sides.swapaxes(0, 1)
    blocks = np.array([((bias + s0) + s1) + s2, ((bias + s1) - s2) - s3])  # (row, column, output, rows, columns)
    return blocks.transpose(2, 3, 0, 4, 1).reshape(-1, 2 * rows, 2 * columns)[:, above : above + height, :width]


def _differences(d: Floats) -> Floats:
    """B^T d along the first axis, of length 4."""
    return np.array([d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]])


def _lanes(values: Floats, channels: int) -> Floats:
    """(C, KY, KX, N) to (lanes * KY * KX, N, channels of a lane)."""
    padded = np.pad(values, [(0, -len(values) % channels), *[(0, 0)] * 3])
    grouped = padded.reshape(-1, channels, *values.shape[1:]).transpose(0, 2, 3, 4, 1)
    return grouped.reshape(-1, *grouped.shape[3:])


def _depthwise(convolution: Depthwise, taps: Floats) -> Floats:
    sums = np.broadcast_to(_column(convolution.bias), (len(taps), *taps.shape[3:]))
    for ky in range(taps.shape[1]):
        for kx in range(taps.shape[2]):
            sums = fma(taps[:, ky, kx], _column(convolution.weight[:, 0, ky, kx]), sums)
    return sums


def _normalised(norm: Norm, x: Floats) -> Floats:
    share = np.float32(1) / np.float32(len(x))
    mean = share * _in_strands([*x], lambda value, total: total + value) if norm.centre else np.float32(0)
    square = _in_strands([*(x - mean)], lambda value, total: fma(value, value, total))
    inverse = np.float32(1) / np.sqrt(fma(square, share, np.float32(norm.epsilon)))
    factor = inverse * _column(norm.scale) if (norm.scale != 1).any() else inverse
    return fma(x - mean, factor, _column(norm.shift))


def _in_strands(terms: list[Floats], add: Callable[[Floats, Floats], Floats]) -> Floats:
    """The sum over channels, in four partial sums."""
    strands = [np.zeros_like(terms[0]) for _ in range(4)]
    for index, term in enumerate(terms):
        strands[index % 4] = add(term, strands[index % 4])
    return (strands[0] + strands[1]) + (strands[2] + strands[3])


def activated(operation: Activation, x: Floats, *, coarse: bool) -> Floats:
    """`coarse`: with the shorter GELU of targets with tiles, which directly follows a bf16 convolution."""
    kind, zero = operation.kind, np.float32(0)
    if kind == "relu":
        return np.maximum(x, zero)
    if kind == "leaky-relu":
        return fma(np.minimum(x, zero), np.float32(operation.slope), np.maximum(x, zero))
    if kind == "clip":
        return x.clip(*map(np.float32, operation.limits))
    names = {"gelu": "kCoarseErfGelu" if coarse else "kErfGelu", "gelu-tanh": "kTanhGelu"}
    first, *rest = reversed(_coefficients(names[kind]))
    a = np.minimum(np.abs(x), np.float32(_constant("kGeluLimit")))
    power = np.full_like(x, first)
    for coefficient in rest:
        power = fma(power, a, coefficient)
    for _ in range(3):
        power = power * power
    return np.maximum(x, zero) - a * power


def _coefficients(name: str) -> list[np.float32]:
    found = re.search(rf"{name}\[\] = {{(.*?)}}", _POINTWISE, re.DOTALL)
    assert found is not None
    return [np.float32(float.fromhex(text.strip().rstrip("f"))) for text in found[1].split(",")]


def _constant(name: str) -> float:
    found = re.search(rf"{name} = ([0-9.]+)f", _POINTWISE)
    assert found is not None
    return float(found[1])


_POINTWISE = (Path(toolkit.__file__).parent / "native" / "headers" / "pointwise.h").read_text()
