"""Parts of a graph whose precision can be chosen, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from toolkit.errors import InputError

_SIDE = 64
"""Pixels of the frame that costs are counted for; only their proportions matter."""

_ELEMENTWISE = 1.0
"""Operations per element of a node that is no convolution."""


_MOVES = {"DepthToSpace", "Transpose", "Identity"}
"""Operators that compute nothing: they stay in the type of what they move, or it would be rounded for nothing."""


@dataclass(frozen=True)
class Unit:
    """A node, or all nodes of a norm or attention, under one name.

    Attributes:
        name: of the node, or the group.
        cost: in multiply-adds or elements.
        moves: names of the nodes behind it that only move its result.
    """

    name: str
    cost: float
    moves: tuple[str, ...] = ()


def units(model: onnx.ModelProto, *, convolutions_only: bool) -> list[Unit]:
    """What can be kept in float32, in graph order.

    Args:
        model: an fp32 artifact's graph.
        convolutions_only: for int8, which lowers nothing else.
    """
    costs: dict[str, float] = {}
    moves: dict[str, list[str]] = {}
    shapes = _shapes(model)
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    origins: dict[str, str] = {}
    for node in model.graph.node:
        elements = float(np.prod(shapes.get(node.output[0], (1,))))
        name = node.name if node.op_type == "Conv" else _group(node.name)
        if node.op_type == "Conv":
            costs[name] = elements * float(np.prod(weights[node.input[1]][1:]))
        elif node.op_type in _MOVES:
            name = origins.get(node.input[0], "")
            moves.setdefault(name, []).append(node.name)
        elif not convolutions_only and node.op_type != "Cast":
            costs[name] = costs.get(name, 0.0) + _ELEMENTWISE * elements
        origins[node.output[0]] = name
    return [Unit(name, cost, tuple(moves.get(name, ()))) for name, cost in costs.items()]


def _group(name: str) -> str:
    """`body.0.norm` for `body.0.norm.mean`; other nodes are groups of their own."""
    for part in (".norm.", ".attention."):
        if part in name:
            return name.partition(part)[0] + part.rstrip(".")
    return name


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor for a small frame."""
    static = onnx.ModelProto()
    static.CopyFrom(model)
    dims = static.graph.input[0].type.tensor_type.shape.dim
    sizes = [dim for dim in dims if not dim.HasField("dim_value")]
    for dim in sizes:
        dim.dim_value = _SIDE
    for dim in static.graph.output[0].type.tensor_type.shape.dim:
        if not dim.HasField("dim_value"):
            dim.Clear()
    inferred = onnx.shape_inference.infer_shapes(static, data_prop=True)
    found = {
        item.name: tuple(dim.dim_value for dim in item.type.tensor_type.shape.dim)
        for item in (*inferred.graph.value_info, *inferred.graph.output)
    }
    if not found:
        raise InputError("the shapes inside this graph cannot be inferred", "Export it again.")
    return found
