"""Plans convolutions: dense and depthwise ones, with or without stride, in float32, bf16 or int8.

A dense convolution with stride b equals a pixel unshuffle by b followed by a convolution with stride 1, so the engine
needs code for stride 1 only (`unshuffled_kernel`). This covers the first layer, whose unshuffle the export merged into
a convolution with stride 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.matching import constant, ints
from toolkit.native import winograd
from toolkit.native.builder import ProgramBuilder
from toolkit.native.program import (
    Affine,
    Convolution,
    Copy,
    Depthwise,
    Floats,
    Format,
    Quantise,
    Source,
    WinogradConvolution,
)
from toolkit.native.values import Image, Padded, Quantised, Tensor, unsupported
from toolkit.precisions import Precision

PRECISIONS: dict[Format, Precision] = {"float": "fp32", "bf16": "bf16", "int8": "int8"}
"""What convolutions compute in, by the format of the line buffer that they read."""


@dataclass(frozen=True)
class _Weights:
    """Weights of a convolution (O, I, KY, KX) and bias (O,).

    For int8, `weight` holds integers, and `scale` (O,) is the product of the input's and the weight's quantisation
    scale.
    """

    format: Format
    weight: NDArray[np.generic]
    bias: Floats
    scale: Floats | None = None


@dataclass(frozen=True)
class _Geometry:
    """Kernel size (rows, columns), stride, and padding `before` (top, left), by reflection if `reflect`, else by
    zeros.
    """

    kernel: tuple[int, int]
    stride: int
    before: tuple[int, int]
    reflect: bool


def convolution(builder: ProgramBuilder, node: ir.Node) -> Tensor:
    """Add a stage for a Conv node.

    Raises:
        Unsupported: it is neither dense nor depthwise, or the size of its output is not that of its input divided by
            the stride.
    """
    known = builder.resampled(builder.known(node.inputs[0], node))
    step = 0.0  # quantisation scale of the input; 0: not quantised
    if isinstance(known, Quantised):
        step, known = known.step, known.tensor
    weights = _weights(node, step)
    builder.executed[str(node.name)] = PRECISIONS[weights.format]
    pads, reflect = ints(node, "pads", (0, 0, 0, 0)), False
    if isinstance(known, Padded):
        pads, reflect = _sum_of_pads(node, pads, known), known.reflect
        known = known.tensor
    if not isinstance(known, Tensor | Image):
        raise unsupported(node, "reads a value that cannot be represented as a tensor")
    geometry = _geometry(node, weights.weight.shape[2:], pads, reflect)
    group = node.attributes["group"].as_int() if "group" in node.attributes else 1
    if group == 1:
        made = _dense(builder, node, known, step, weights, geometry)
    elif group == len(weights.weight) and weights.weight.shape[1] == 1:
        made = _depthwise(builder, node, known, step, weights, geometry)
    else:
        raise unsupported(node, f"has {group} groups; only dense and depthwise convolutions are supported")
    builder.stages[made.stage].nodes.append(str(node.name))
    return made


def _dense(
    builder: ProgramBuilder, node: ir.Node, known: Tensor | Image, step: float, weights: _Weights, geometry: _Geometry
) -> Tensor:
    """A dense convolution; one with a stride reads an unshuffled tensor, with its kernel and padding divided by it."""
    weight, (top, left) = weights.weight, geometry.before
    if geometry.stride > 1:
        if geometry.reflect:
            raise unsupported(node, "has a stride and padding by reflection")
        tensor = builder.unshuffled(known, geometry.stride, node)
        weight, top, left = _aligned(weight, geometry)
        weight = unshuffled_kernel(weight, geometry.stride)
    else:
        tensor = builder.image(known, 1) if isinstance(known, Image) else known
    stage = builder.stages[tensor.stage]
    if weight.shape[1] != stage.channels:
        raise unsupported(node, f"has weights for {weight.shape[1]} channels but an input of {stage.channels}")
    buffer = builder.buffer(tensor, weights.format, 1 / step if step else 1.0, geometry.reflect)
    height, width = weight.shape[2:]
    if weights.format == "float" and winograd.pays(weight) and (top, left) == (1, 1) and not geometry.reflect:
        return _winograd(builder, node, buffer, weight.astype(np.float32), weights.bias)
    source = Source(buffer, rows=(-top, height - 1 - top), columns=(-left, width - 1 - left))
    made = Convolution(source, weights.format, weight, weights.bias, weights.scale)
    return builder.begin(made, len(weight), stage.size)


def _winograd(builder: ProgramBuilder, node: ir.Node, buffer: int, weight: Floats, bias: Floats) -> Tensor:
    """A convolution that computes two rows and two columns at once, and a stage for operations on its rows."""
    reach, size = (-1, 2), builder.stages[builder.buffers[buffer].stage].size
    made = builder.begin(
        WinogradConvolution(Source(buffer, rows=reach, columns=reach), weight, bias), len(weight), size
    )
    builder.stages[made.stage].nodes.append(str(node.name))
    return builder.begin(Copy(Source(builder.buffer(made, "float"))), len(weight), size)


def _depthwise(
    builder: ProgramBuilder, node: ir.Node, known: Tensor | Image, step: float, weights: _Weights, geometry: _Geometry
) -> Tensor:
    """A depthwise convolution, always in float32: its sums have few terms, so dot-product instructions gain nothing.

    For int8, input and weights are integers in float32. Their sum is exact, because it stays far below 2**24, so the
    result is that of an int8 convolution; scale and bias are applied after it.
    """
    tensor = builder.image(known, 1) if isinstance(known, Image) else known
    builder.executed[str(node.name)] = "fp32"
    if step:
        tensor = builder.append(tensor, Quantise(1 / step), node)
    stage, (top, left) = builder.stages[tensor.stage], geometry.before
    if len(weights.weight) != stage.channels:
        raise unsupported(node, f"has weights for {len(weights.weight)} channels but an input of {stage.channels}")
    if geometry.stride > 1 and ((top, left) != (0, 0) or geometry.kernel != (geometry.stride,) * 2):
        raise unsupported(node, "is a depthwise convolution whose stride is not its kernel size")
    buffer = builder.buffer(tensor, "float", reflect=geometry.reflect)
    (height, width), rate = geometry.kernel, geometry.stride
    source = Source(buffer, Fraction(rate), (-top, height - 1 - top), (-left, width - 1 - left))
    weight = weights.weight.astype(np.float32)
    if weights.scale is None:
        return builder.begin(Depthwise(source, weight, weights.bias, rate), stage.channels, stage.size / rate)
    made = builder.begin(Depthwise(source, weight, 0 * weights.bias, rate), stage.channels, stage.size / rate)
    return builder.append(made, Affine(weights.scale, weights.bias), None)


def unshuffled_kernel(weight: NDArray[np.generic], block: int) -> NDArray[np.generic]:
    """Weights (O, C, k*b, k*b) of a convolution with stride b as (O, C*b*b, k, k) over unshuffled pixels, stride 1.

    Row ky of the kernel reads row b*y + ky = b*(y + ky // b) + ky % b of the image. In the unshuffled image this is row
    y + ky // b of the channel with offset dy = ky % b. So each kernel axis is split into (position, offset), and the
    offsets become channels, ordered (c, dy, dx) as pixel unshuffle orders them. It is the inverse of `strided_kernel`.
    """
    out, channels, rows, columns = weight.shape
    parts = weight.reshape(out, channels, rows // block, block, columns // block, block)
    return np.ascontiguousarray(
        parts.transpose(0, 1, 3, 5, 2, 4).reshape(out, channels * block**2, rows // block, columns // block)
    )


def _weights(node: ir.Node, step: float) -> _Weights:
    """Weights of a Conv node whose input has the quantisation scale `step` (0: not quantised)."""
    weight = constant(node.inputs[1])
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    if len(node.inputs) > 2 and node.inputs[2] is not None and bias is None:
        raise unsupported(node, "has a bias that is not constant")
    dequantise = None if node.inputs[1] is None else node.inputs[1].producer()
    if step:
        return _quantised_weights(node, dequantise, bias, step)
    if weight is None:
        raise unsupported(node, "has weights that are not constant, or int8 weights with an input that is not int8")
    name = weight.dtype.name
    if name not in ("float32", "bfloat16"):
        raise unsupported(node, f"computes in {name}; float32, bfloat16 and int8 are supported")
    return _Weights("bf16" if name == "bfloat16" else "float", weight.astype(np.float32), _bias(bias, len(weight)))


def _quantised_weights(
    node: ir.Node, dequantise: ir.Node | None, bias: NDArray[np.generic] | None, step: float
) -> _Weights:
    """int8 weights as stored, before their DequantizeLinear: the engine computes with the integers themselves."""
    if dequantise is None or dequantise.op_type != "DequantizeLinear":
        raise unsupported(node, "has an int8 input but weights that are not int8")
    stored, scale = constant(dequantise.inputs[0]), constant(dequantise.inputs[1])
    zero = constant(dequantise.inputs[2]) if len(dequantise.inputs) > 2 else None
    if stored is None or stored.dtype != np.int8 or scale is None or (zero is not None and np.any(zero)):
        raise unsupported(node, "has weights that are not constant and symmetric int8")
    axis = dequantise.attributes["axis"].as_int() if "axis" in dequantise.attributes else 1
    if scale.size not in (1, len(stored)) or (scale.size > 1 and axis != 0):
        raise unsupported(node, "has weights whose scales are not per tensor or per output channel")
    steps = np.broadcast_to(scale.reshape(-1).astype(np.float64) * step, (len(stored),)).astype(np.float32)
    return _Weights("int8", stored, _bias(bias, len(stored)), steps)


def _bias(bias: NDArray[np.generic] | None, channels: int) -> Floats:
    return np.zeros(channels, np.float32) if bias is None else bias.astype(np.float32).reshape(-1)


def _sum_of_pads(node: ir.Node, pads: tuple[int, ...], padded: Padded) -> tuple[int, ...]:
    if any(pads) and padded.reflect:
        raise unsupported(node, "pads with zeros after a padding by reflection")
    return tuple(own + other for own, other in zip(pads, padded.pads, strict=True))


def _geometry(node: ir.Node, kernel: tuple[int, ...], pads: tuple[int, ...], reflect: bool) -> _Geometry:
    automatic = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    strides = ints(node, "strides", (1, 1))
    if automatic != "NOTSET" or ints(node, "dilations", (1, 1)) != (1, 1) or strides[0] != strides[1]:
        raise unsupported(node, "has dilations, auto_pad, or different strides for rows and columns")
    stride = strides[0]
    (height, width), (top, left, bottom, right) = kernel, pads
    # An input of n * s rows gives n rows if n * s + pads - k lies in (n - 1) * s .. n * s - 1.
    if not all(-stride <= padded - side < 0 for padded, side in ((top + bottom, height), (left + right, width))):
        raise unsupported(
            node,
            f"with kernel {height}x{width}, stride {stride}, padding {pads} changes the size other than by the stride",
        )
    return _Geometry((height, width), stride, (top, left), reflect)


def _aligned(weight: NDArray[np.generic], geometry: _Geometry) -> tuple[NDArray[np.generic], int, int]:
    """Weights and padding (top, left) as multiples of the stride, as the unshuffled convolution needs them: zeros
    before and after the kernel, which read more of the padding, or more pixels, to no effect.
    """
    grown, sides = [(0, 0), (0, 0)], []
    for side, before in zip(geometry.kernel, geometry.before, strict=True):
        first = -before % geometry.stride
        grown.append((first, -(side + first) % geometry.stride))
        sides.append((before + first) // geometry.stride)
    return np.pad(weight, grown), sides[0], sides[1]
