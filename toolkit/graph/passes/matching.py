"""Small questions a pass asks of a graph, and the base class of all passes."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass


class GraphPass(ir.passes.InPlacePass):
    """A rewrite of the graph, in place.

    `requires` and `ensures` (onnx-ir's contract) state what must hold before and after.

    Attributes:
        title: what reports call it.
        refusals: for each place that looked like a match and was left alone: where and why.
    """

    title = ""

    def __init__(self) -> None:
        self.refusals: list[str] = []


def constant(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The array of an initializer or Constant node, or None when the value is computed."""
    if value is None:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def consumers(value: ir.Value) -> list[ir.Node]:
    """Nodes that read `value`, once each."""
    return list(dict.fromkeys(use.node for use in value.uses()))


def read_only_by(value: ir.Value, nodes: Collection[ir.Node]) -> bool:
    """Whether exactly these nodes read `value`, and it is no output of the graph."""
    return not value.is_graph_output() and set(consumers(value)) == set(nodes)


def per_channel(node: ir.Node) -> tuple[ir.Value, int, NDArray[np.float64]] | None:
    """Of a Mul or Add with a constant per channel, in either order: the tensor, the constant's index, and it (C,)."""
    for index, other in ((1, 0), (0, 1)):
        array, tensor = constant(node.inputs[index]), node.inputs[other]
        if array is None or tensor is None or constant(tensor) is not None:
            continue
        if array.ndim >= 3 and array.shape[-2:] == (1, 1) and array.size == array.shape[-3] > 1:
            return tensor, index, array.astype(np.float64).reshape(-1)
    return None


def producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node that computes `value`, if it is of this type."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == op_type else None


def ints(node: ir.Node, attribute: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """An integer-list attribute."""
    return tuple(node.attributes[attribute].as_ints()) if attribute in node.attributes else default


def replace_initializer(model: ir.Model, node: ir.Node, index: int, array: NDArray[np.generic], name: str) -> None:
    """Give `node` a new constant as input `index`; others that read the old one keep it."""
    value = _constant_value(name, array)
    old = node.inputs[index]
    node.replace_input_with(index, value)
    if old is not None and old.is_initializer() and not old.uses() and old.name:
        del model.graph.initializers[old.name]
    model.graph.register_initializer(value)


def add_constant(model: ir.Model, name: str, array: np.generic | NDArray[np.generic]) -> ir.Value:
    """A new initializer."""
    value = _constant_value(name, array)
    model.graph.register_initializer(value)
    return value


def _constant_value(name: str, array: np.generic | NDArray[np.generic]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.type, value.shape = ir.TensorType(ir.DataType.from_numpy(array.dtype)), ir.Shape(array.shape)
    return value


def pixel_convs(model: ir.Model) -> list[ir.Node]:
    """Convolutions that turn the image, or its high frequencies, into features.

    They have a bias; filters, which only split off high frequencies, have none.
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


def scale_weights(model: ir.Model, convs: Collection[ir.Node], factor: float, *, bias: bool = False) -> None:
    """Multiply constant weights of convolutions, and biases if asked, in float64; what they share stays shared."""
    for index, leaf in ((1, "weight"), (2, "bias"))[: 2 if bias else 1]:
        readers: dict[ir.Value | None, list[ir.Node]] = {}
        for conv in convs:
            readers.setdefault(conv.inputs[index], []).append(conv)
        for value, nodes in readers.items():
            array = constant(value)
            if value is None or array is None:
                raise ir.passes.PreconditionError(f"the {leaf} of {nodes[0].name} is not constant")
            scaled = (array.astype(np.float64) * factor).astype(array.dtype)
            if set(consumers(value)) <= set(nodes) and value.is_initializer():
                value.const_value = ir.tensor(scaled, name=value.name)
                continue
            for node in nodes:
                replace_initializer(model, node, index, scaled, f"{node.name}.{leaf}")


def reads_whole_frame(node: ir.Node) -> bool:
    """Whether it is a mean over height and width (of an attention)."""
    axes = constant(node.inputs[1]) if node.op_type == "ReduceMean" and len(node.inputs) > 1 else None
    return node.op_type == "GlobalAveragePool" or (axes is not None and {2, 3} <= set(axes.tolist()))


def operators(model: ir.Model) -> set[str]:
    """Operator types in the graph."""
    return {node.op_type for node in model.graph}


def remove_unused_nodes(model: ir.Model) -> None:
    """Drop nodes and constants that no output depends on."""
    RemoveUnusedNodesPass()(model)
