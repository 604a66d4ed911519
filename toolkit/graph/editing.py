"""Edits of a graph. onnx-ir models are changed in place; ONNX protos are copied first where a function says so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from toolkit.graph.matching import constant, consumers

# Constants


def add_constant(model: ir.Model, name: str, array: np.generic | NDArray[np.generic]) -> ir.Value:
    """A new initializer of this name, or of a similar one that is free: in graphs from elsewhere it may be taken."""
    value = _constant_value(_free_name(model, name), array)
    model.graph.register_initializer(value)
    return value


def replace_constant(model: ir.Model, node: ir.Node, index: int, array: NDArray[np.generic], name: str) -> None:
    """Give `node` a new constant as input `index`, named as by `add_constant`; others that read the old one keep it."""
    old = node.inputs[index]
    node.replace_input_with(index, None)
    if old is not None and old.is_initializer() and not old.uses() and old.name:
        del model.graph.initializers[old.name]  # before the new one is registered, which may have its name
    node.replace_input_with(index, add_constant(model, name, array))


def _free_name(model: ir.Model, name: str) -> str:
    names = chain([name], (f"{name}_{number}" for number in count(1)))
    return next(free for free in names if free not in model.graph.initializers)


def scale_weights(model: ir.Model, convs: Collection[ir.Node], factor: float, *, bias: bool = False) -> None:
    """Multiply the weights of convolutions in float64; constants that several of them share stay shared.

    Args:
        model: the graph.
        convs: convolutions with constant weights.
        factor: to multiply with.
        bias: multiply their biases too.

    Raises:
        PreconditionError: a weight or bias is not constant.
    """
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
                replace_constant(model, node, index, scaled, f"{node.name}.{leaf}")


def _constant_value(name: str, array: np.generic | NDArray[np.generic]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.type, value.shape = ir.TensorType(ir.DataType.from_numpy(array.dtype)), ir.Shape(array.shape)
    return value


# Nodes


def named_node(
    operator: str, inputs: Sequence[ir.Value | None], name: str, attributes: Mapping[str, Any] | None = None
) -> ir.Node:
    """A node that is not in a graph yet. Its output has its name."""
    node = ir.node(operator, inputs, attributes, name=name)
    node.outputs[0].name = name
    return node


def insert_between(model: ir.Model, value: ir.Value, chain: Sequence[ir.Node]) -> ir.Value:
    """Let everything that reads `value` read the last node of `chain` instead, which starts by reading `value`.

    The chain stands right after the node that computes `value`; for an input, at the beginning of the graph.
    """
    result = chain[-1].outputs[0]
    for use in list(value.uses()):
        if use.node not in chain:
            use.node.replace_input_with(use.idx, result)
    insert_after(model, value, chain)
    return result


def insert_after(model: ir.Model, value: ir.Value, chain: Sequence[ir.Node]) -> None:
    """Place nodes right after the one that computes `value`; for an input, at the beginning of the graph."""
    before = value.producer()
    if before is None:
        model.graph.insert_before(next(iter(model.graph)), chain)
    else:
        model.graph.insert_after(before, chain)


def extend_output(model: ir.Model, chain_from: Callable[[ir.Value], Sequence[ir.Node]], index: int = 0) -> ir.Value:
    """Add nodes at the end of the graph, and return the new output, which takes the name of the old one.

    Args:
        model: the graph.
        chain_from: makes the nodes that follow, from the value that the output was. That value is renamed after the
            node that computes it. Its type and shape are the caller's to correct, as are those of the new output.
        index: which output.

    Raises:
        PreconditionError: no node computes the output.
    """
    former = model.graph.outputs[index]
    last = former.producer()
    if last is None:
        raise ir.passes.PreconditionError("the output is not computed")
    name, former.name = former.name, last.name
    chain = chain_from(former)
    result = chain[-1].outputs[0]
    result.name = name
    model.graph.insert_after(last, chain)
    model.graph.outputs[index] = result
    return result


def shorten_output(model: ir.Model, value: ir.Value, index: int = 0) -> None:
    """Let `value` be an output of the graph, with its name, type and shape, and drop the nodes that computed it from
    `value`."""
    former = model.graph.outputs[index]
    name = former.name
    former.name, value.name = f"{name}.former", name
    value.shape, value.type = former.shape, former.type
    model.graph.outputs[index] = value
    remove_unused_nodes(model)


def bypass(model: ir.Model, node: ir.Node) -> None:
    """Drop a node that has an input: whatever took its only output takes its first input."""
    taken: ir.Value = node.inputs[0]  # type: ignore[assignment]  # as required
    if node.outputs[0].is_graph_output():
        shorten_output(model, taken)
    else:
        node.outputs[0].replace_all_uses_with(taken)
        remove_unused_nodes(model)


def remove_unused_nodes(model: ir.Model) -> None:
    """Drop nodes and constants that no output depends on."""
    RemoveUnusedNodesPass()(model)


# ONNX protos


def without(model: onnx.ModelProto, find: Callable[[ir.Model], ir.Node | None]) -> onnx.ModelProto:
    """A copy of a graph without the node that `find` finds; see `bypass`. The graph itself if there is no such node."""
    graph = ir.from_proto(model)
    if (node := find(graph)) is None:
        return model
    bypass(graph, node)
    return ir.to_proto(graph)


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that shares nothing with `model`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Give the graph these nodes, in place; they may be its own in another order, or changed."""
    # Clearing the field frees the messages that `nodes` may refer to, so they are copied before.
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
