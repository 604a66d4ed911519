"""Merges PixelUnshuffle(b) and the 3x3 convolution that reads it into one convolution of 3b x 3b with stride b.

The unshuffle moves the pixel (b·y + dy, b·x + dx) of channel c to channel c·b² + b·dy + dx at (y, x). A kernel position
(ky, kx) over the unshuffled channel therefore reads the pixel (b·ky + dy, b·kx + dx) relative to the block: weights
only change their places. Padding by one unshuffled pixel is padding by b pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.editing import remove_unused_nodes, replace_constant
from toolkit.graph.matching import constant, ints, operators
from toolkit.graph.passes.base import GraphPass

# What exporters build a pixel unshuffle from: moving data, and arithmetic on sizes.
_MOVES = {"Reshape", "Transpose", "Identity", "Squeeze", "Unsqueeze"}
_SIZES = {"Shape", "Concat", "Div", "Mul", "Gather", "Slice", "Constant", "Size"}
_PROBE_SIZES = ((8, 12), (12, 4))


class MergeUnshuffle(GraphPass):
    """Replace unshuffle + conv by a strided conv; removes the only nodes that depend on the image's size.

    The chain before the convolution is not matched by its form, which changes with every version of the exporter. It is
    run on index arrays of several sizes, and is an unshuffle if the indices come out where PixelUnshuffle puts them.

    Requires: convolutions have constant weights.
    Ensures: no node reads a shape, unless the graph is from elsewhere: then other parts of it may.
    """

    title = "unshuffle + conv as one 6x6 conv"

    def __init__(self, *, foreign: bool = False) -> None:
        super().__init__()
        self._foreign = foreign

    def requires(self, model: ir.Model) -> None:
        for node in model.graph:
            if node.op_type == "Conv" and constant(node.inputs[1]) is None:
                raise ir.passes.PreconditionError(f"the weight of {node.name} is not constant")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        merged = [node for node in list(model.graph) if node.op_type == "Conv" and self._merge(model, node)]
        if merged:
            remove_unused_nodes(model)
        return ir.passes.PassResult(model, modified=bool(merged))

    def ensures(self, model: ir.Model) -> None:
        left = operators(model) & {"Shape", "Reshape", "Gather"}
        if left and not self._foreign:
            raise ir.passes.PostconditionError(f"{sorted(left)} left in the graph: {self.refusals}")

    def _merge(self, model: ir.Model, conv: ir.Node) -> bool:
        unshuffled, weight = conv.inputs[0], constant(conv.inputs[1])
        chain, data, others = _chain_before(unshuffled)
        if not chain or unshuffled is None or data is unshuffled or data is None or weight is None:
            return False
        channels = _channels(data)
        block = math.isqrt(weight.shape[1] // channels)
        if block < 2 or weight.shape[1] != channels * block**2:
            return False  # something else than an unshuffle
        geometry = ints(conv, "kernel_shape", ()), ints(conv, "strides", (1, 1)), ints(conv, "pads", (0,) * 4)
        if geometry != ((3, 3), (1, 1), (1, 1, 1, 1)) or ints(conv, "dilations", (1, 1)) != (1, 1):
            self.refuse(conv, f"kernel, stride, padding {geometry} is not a plain 3x3")
            return False
        if not _is_unshuffle(model, chain, unshuffled, [data, *others], channels, block):
            self.refuse(conv, f"what precedes it is not PixelUnshuffle({block})")
            return False
        conv.replace_input_with(0, data)
        replace_constant(model, conv, 1, strided_kernel(weight, block), f"{conv.name}.weight")
        conv.attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", [3 * block] * 2)
        conv.attributes["strides"] = ir.AttrInt64s("strides", [block] * 2)
        conv.attributes["pads"] = ir.AttrInt64s("pads", [block] * 4)
        return True


def strided_kernel(weight: NDArray[np.generic], block: int) -> NDArray[np.generic]:
    """(O, C·b², k, k) over unshuffled pixels as (O, C, k·b, k·b) over the pixels themselves."""
    out, channels, size, _ = weight.shape
    parts = weight.reshape(out, channels // block**2, block, block, size, size)
    return np.ascontiguousarray(parts.transpose(0, 1, 4, 2, 5, 3).reshape(out, -1, size * block, size * block))


def pixel_unshuffle(x: NDArray[np.generic], block: int) -> NDArray[np.generic]:
    """torch.nn.PixelUnshuffle on (N, C, H, W)."""
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block)
    return parts.transpose(0, 1, 3, 5, 2, 4).reshape(n, c * block**2, h // block, w // block)


def _channels(value: ir.Value) -> int:
    """Of an image in the graph: 3 where the graph does not say."""
    known = None if value.shape is None or len(value.shape) != 4 else value.shape[1]
    return known if isinstance(known, int) else 3


def _chain_before(value: ir.Value | None) -> tuple[list[ir.Node], ir.Value | None, list[ir.Value]]:
    """Nodes that only move data or compute sizes and lead to `value`, the value whose data they move, and other values
    whose size they read."""
    chain: dict[ir.Node, None] = {}
    ends: dict[ir.Value, None] = {}
    pending = [] if value is None else [value]
    while pending:
        current = pending.pop()
        node = current.producer()
        if node is not None and node.op_type in _MOVES | _SIZES:
            chain[node] = None
            pending += [item for item in node.inputs if item is not None]
        elif constant(current) is None:
            ends[current] = None
    data = value
    while data is not None and (node := data.producer()) is not None and node.op_type in _MOVES:
        data = node.inputs[0]
    return list(chain), data, [end for end in ends if end is not data]


def _is_unshuffle(
    model: ir.Model, chain: Iterable[ir.Node], result: ir.Value, ends: list[ir.Value], channels: int, block: int
) -> bool:
    """Whether a chain computes PixelUnshuffle(block) of an image of that many channels, which is its first end."""
    from onnx.reference import ReferenceEvaluator

    in_chain = set(chain)
    nodes = [node for node in model.graph if node in in_chain]
    used = {value.name for node in nodes for value in node.inputs if value is not None}
    proto = ir.to_proto(model)
    keep = {node.name for node in nodes}
    graph = proto.graph
    selected = [node for node in graph.node if node.name in keep]
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(selected)
    graph.initializer.extend(constants)
    names = [str(end.name) for end in ends]
    for name in names:
        graph.input.add().name = name
    graph.output.add().name = result.name
    evaluator = ReferenceEvaluator(proto)
    for height, width in _PROBE_SIZES:
        # Fractions, so that a chain that casts to integers and back is not mistaken for one that only moves data.
        shape = (1, channels, height * block // 2, width * block // 2)
        index = 0.5 + np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
        (moved,) = evaluator.run(None, dict.fromkeys(names, index))
        if not np.array_equal(moved, pixel_unshuffle(index, block)):
            return False
    return True
