"""Plans operations on single values: activations, scales and shifts, and sums and products of two tensors.

They commute with a pixel shuffle. So on a value with a pending shuffle, such as the output before its last addition,
they are done before the shuffle, where a tile holds all its pixels; see `values.Shuffled`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx_ir as ir

from toolkit.graph.matching import constant
from toolkit.native.builder import ProgramBuilder, affine
from toolkit.native.program import Activation, Combine, Floats, Multiply, Operation, PRelu, Source
from toolkit.native.values import (
    Enlarged,
    Image,
    Known,
    Shuffled,
    Tensor,
    clip_limits,
    per_channel,
    unsupported,
)


def activation(builder: ProgramBuilder, node: ir.Node) -> Known:
    """An elementwise activation."""
    return _applied(builder, node, 0, lambda channels, each: _operation(node, channels, each))


def sum_or_difference(builder: ProgramBuilder, node: ir.Node) -> Known:
    """An Add or Sub of a tensor and a constant, or of two tensors."""
    sign = -1.0 if node.op_type == "Sub" else 1.0
    # With a constant operand: own * tensor + other * constant, where Sub negates its second operand.
    for index, factor in ((1, (1.0, sign)), (0, (sign, 1.0))):
        array = constant(node.inputs[index])
        if array is not None:
            return _shifted(builder, node, array, 1 - index, factor)
    first, second = (builder.known(value, node) for value in node.inputs)
    for one, other, factors in ((first, second, (1.0, sign)), (second, first, (sign, 1.0))):
        if isinstance(one, Shuffled) and isinstance(other, Enlarged):
            made = _with_enlarged(builder, node, one, other, factors)
            if made is not None:
                return made
    if isinstance(first, Shuffled) and isinstance(second, Shuffled) and first.factor == second.factor:
        return Shuffled(_sum(builder, node, first.tensor, second.tensor, sign), first.factor)
    return _sum(builder, node, builder.tensor(node), builder.tensor(node, 1), sign)


def product_or_quotient(builder: ProgramBuilder, node: ir.Node) -> Known:
    """A Mul or Div by a constant, or a Mul of two tensors."""
    index = 1 if constant(node.inputs[1]) is not None else 0
    array = constant(node.inputs[index])
    if array is None and node.op_type == "Mul":
        return _product(builder, node, builder.tensor(node), builder.tensor(node, 1))
    if array is None or (index == 0 and node.op_type == "Div"):
        raise unsupported(node, "divides by a tensor; the divisor must be constant")
    values = array.astype(np.float64)
    known = builder.known(node.inputs[1 - index], node)
    if node.op_type == "Div":
        values = 1 / values  # in float64, so that the product differs from the division by one rounding only
    if isinstance(known, Image) and values.size == 1:  # normalisation of the input, such as / 255
        return Image(known.factor * float(values.item()))
    return _applied(
        builder,
        node,
        1 - index,
        lambda channels, each: affine(channels * each, scale=_values(node, values, channels, each)),
    )


def _operation(node: ir.Node, channels: int, each: int) -> Operation:
    """The operation of an activation node."""
    if node.op_type == "Gelu":
        tanh = "approximate" in node.attributes and node.attributes["approximate"].as_string() == "tanh"
        return Activation("gelu-tanh" if tanh else "gelu")
    if node.op_type == "LeakyRelu":
        return Activation("leaky-relu", node.attributes["alpha"].as_float() if "alpha" in node.attributes else 0.01)
    if node.op_type == "Clip":
        return Activation("clip", limits=clip_limits(node))
    if node.op_type == "PRelu":
        slope = constant(node.inputs[1])
        if slope is None:
            raise unsupported(node, "has a slope that is not constant")
        return PRelu(_values(node, slope, channels, each))
    if node.op_type == "Relu":
        return Activation("relu")
    return Activation("sigmoid" if node.op_type == "Sigmoid" else "tanh")


def _applied(builder: ProgramBuilder, node: ir.Node, index: int, make: Callable[[int, int], Operation]) -> Known:
    """An operation on an operand, before its shuffle if it has a pending one.

    Args:
        builder: of the program.
        node: the graph node.
        index: of the operand.
        make: the operation, from the number of channels of the operand, and the number of channels of the tile that
            each of them becomes.
    """
    known = builder.known(node.inputs[index], node)
    if isinstance(known, Shuffled):
        each = known.factor**2
        operation = make(builder.channels(known.tensor) // each, each)
        return Shuffled(builder.append(known.tensor, operation, node), known.factor)
    tensor = builder.tensor(node, index)
    return builder.append(tensor, make(builder.channels(tensor), 1), node)


def _values(node: ir.Node, array: np.ndarray, channels: int, each: int) -> Floats:
    return np.repeat(per_channel(node, array, channels), each)


def _shifted(
    builder: ProgramBuilder, node: ir.Node, array: np.ndarray, index: int, factors: tuple[float, float]
) -> Known:
    own, other = factors

    def make(channels: int, each: int) -> Operation:
        return affine(channels * each, scale=own, shift=other * _values(node, array, channels, each))

    return _applied(builder, node, index, make)


def _sum(builder: ProgramBuilder, node: ir.Node, first: Tensor, second: Tensor, sign: float) -> Tensor:
    _same_size(builder, node, first, second, "adds")
    # The operand of the later stage is in the tile; the other one is read from a line buffer.
    if first.stage >= second.stage:
        source = Source(builder.buffer(second, "float"))
        return builder.append(first, Combine(source, 1.0, sign), node, after=second.stage)
    source = Source(builder.buffer(first, "float"))
    return builder.append(second, Combine(source, sign, 1.0), node, after=first.stage)


def _product(builder: ProgramBuilder, node: ir.Node, first: Tensor, second: Tensor) -> Tensor:
    _same_size(builder, node, first, second, "multiplies")
    later, earlier = (first, second) if first.stage >= second.stage else (second, first)
    return builder.append(later, Multiply(Source(builder.buffer(earlier, "float"))), node, after=earlier.stage)


def _same_size(builder: ProgramBuilder, node: ir.Node, first: Tensor, second: Tensor, verb: str) -> None:
    sizes = [(builder.channels(tensor), builder.size(tensor)) for tensor in (first, second)]
    if sizes[0] != sizes[1]:
        raise unsupported(node, f"{verb} tensors of different sizes")


def _with_enlarged(
    builder: ProgramBuilder, node: ir.Node, shuffled: Shuffled, enlarged: Enlarged, factors: tuple[float, float]
) -> Shuffled | None:
    """own * shuffled + other * enlarged, before the shuffle; None: their resolutions or channels do not fit.

    A pixel of the shuffled tensor becomes `factor` x `factor` pixels, which the enlarged one copies from `block` x
    `block` of its own. After an unshuffle by `block` they are channels of one pixel: channel (c, dy, dx) before the
    shuffle gets channel (c, dy // enlarged.factor, dx // enlarged.factor).
    """
    tensor, factor = shuffled.tensor, shuffled.factor
    given = enlarged.tensor
    source = builder.image(given, 1) if isinstance(given, Image) else given
    block: Fraction = builder.size(source) / builder.size(tensor)
    colours = builder.channels(source)
    if block.denominator != 1 or block * enlarged.factor != factor or builder.channels(tensor) != colours * factor**2:
        return None
    step = int(block)
    if step > 1:
        source = builder.unshuffled(given, step, node)
    offsets = [(dy // enlarged.factor) * step + dx // enlarged.factor for dy in range(factor) for dx in range(factor)]
    channels = tuple(colour * step**2 + offset for colour in range(colours) for offset in offsets)
    combine = Combine(Source(builder.buffer(source, "float")), *factors, channels)
    return Shuffled(builder.append(tensor, combine, node, after=source.stage), factor)
