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


@dataclass(frozen=True)
class Unit:
    """A node, or all nodes of a norm or attention, under one name; its cost in multiply-adds or elements."""

    name: str
    cost: float


def units(model: onnx.ModelProto, *, convolutions_only: bool) -> list[Unit]:
    """What can be kept in float32, in graph order.

    Args:
        model: an fp32 artifact's graph.
        convolutions_only: for int8, which lowers nothing else.
    """
    costs: dict[str, float] = {}
    shapes = _shapes(model)
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    for node in model.graph.node:
        elements = float(np.prod(shapes.get(node.output[0], (1,))))
        if node.op_type == "Conv":
            costs[node.name] = elements * float(np.prod(weights[node.input[1]][1:]))
        elif not convolutions_only and node.op_type not in {"DepthToSpace", "Cast", "Transpose", "Identity"}:
            name = _group(node.name)
            costs[name] = costs.get(name, 0.0) + _ELEMENTWISE * elements
    return [Unit(name, cost) for name, cost in costs.items()]


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
