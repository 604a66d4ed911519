"""Questions about a graph: constants, producers and consumers, and the patterns that several rewrites look for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def constant(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The array of an initializer or Constant node, or None when the value is computed."""
    if value is None:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def consumers(value: ir.Value) -> list[ir.Node]:
    """Nodes that read `value`, once each."""
    return list(dict.fromkeys(use.node for use in value.uses()))


def producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node that computes `value`, if it is of this type."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == op_type else None


def read_only_by(value: ir.Value, nodes: Collection[ir.Node]) -> bool:
    """Whether exactly these nodes read `value`, and it is not an output of the graph."""
    return not value.is_graph_output() and set(consumers(value)) == set(nodes)


def operators(model: ir.Model) -> set[str]:
    """Operator types in the graph."""
    return {node.op_type for node in model.graph}


def ints(node: ir.Node, attribute: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """An attribute that is a list of integers."""
    return tuple(node.attributes[attribute].as_ints()) if attribute in node.attributes else default


@dataclass(frozen=True)
class PerChannel:
    """A Mul or Add of a tensor and a constant that has one value per channel.

    Attributes:
        tensor: the operand that is computed.
        index: which input of the node the constant is.
        values: the constant, float64 (C,).
    """

    tensor: ir.Value
    index: int
    values: NDArray[np.float64]


def per_channel(node: ir.Node) -> PerChannel | None:
    """The operands of such a Mul or Add, in whichever order it has them; None for any other node."""
    for index, other in ((1, 0), (0, 1)):
        array, tensor = constant(node.inputs[index]), node.inputs[other]
        if array is None or tensor is None or constant(tensor) is not None:
            continue
        if array.ndim >= 3 and array.shape[-2:] == (1, 1) and array.size == array.shape[-3] > 1:
            return PerChannel(tensor, index, array.astype(np.float64).reshape(-1))
    return None


def pixel_convs(model: ir.Model) -> list[ir.Node]:
    """Convolutions that turn the image, or its high frequencies, into features.

    They have a bias; filters, which only separate high frequencies, have none.
    """
    found: dict[ir.Node, None] = {}
    seen: set[ir.Node] = set()
    pending = [node for value in model.graph.inputs for node in consumers(value)]
    while pending:
        node = pending.pop(0)
        if node in seen:
            continue
        seen.add(node)
        if node.op_type == "Conv" and len(node.inputs) > 2:
            found[node] = None
        else:
            pending += [reader for output in node.outputs for reader in consumers(output)]
    return list(found)


def pixel_end(model: ir.Model) -> tuple[ir.Node, ir.Node] | None:
    """The convolution that computes the output's pixels and the DepthToSpace that arranges them, if these are the end.

    After them, the picture may be cropped.
    """
    shuffle = model.graph.outputs[0].producer()
    while shuffle is not None and shuffle.op_type == "Slice":
        shuffle = shuffle.inputs[0].producer() if shuffle.inputs[0] is not None else None
    if shuffle is None or shuffle.op_type != "DepthToSpace":
        return None
    conv = producer(shuffle.inputs[0], "Conv")
    return None if conv is None or not read_only_by(conv.outputs[0], [shuffle]) else (conv, shuffle)


def reads_whole_frame(node: ir.Node) -> bool:
    """Whether it is a mean over height and width, as attention computes it."""
    axes = constant(node.inputs[1]) if node.op_type == "ReduceMean" and len(node.inputs) > 1 else None
    return node.op_type == "GlobalAveragePool" or (axes is not None and {2, 3} <= set(axes.tolist()))


def is_channel_mean(node: ir.Node) -> bool:
    """Whether it is a mean over the channels of NCHW tensors that keeps their axis; graphs take one image, so that the
    mean may be over the batch too."""
    if node.op_type != "ReduceMean" or node.attributes.get_int("keepdims", 1) != 1:
        return False
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = ints(node, "axes", ()) if given is None else given.reshape(-1).tolist()
    return {axis % 4 for axis in axes} in ({1}, {0, 1})
