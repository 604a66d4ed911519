"""Units of a graph whose precision can be chosen separately, and their costs."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from toolkit.errors import InputError
from toolkit.graph.analysis.shapes import inferred_tensors, small_frame
from toolkit.graph.analysis.work import multiply_adds
from toolkit.graph.any_size import without_size_check

_SIDE = 64
"""Height and width of the frame that costs are counted for; only their ratios matter."""

_ELEMENTWISE = 1.0
"""Operations per element of a node that is not a convolution."""

_MOVES = {"Clip", "DepthToSpace", "Identity", "Transpose"}
"""Operators that only move data or limit it. They keep the type of their input; another would round without benefit."""


@dataclass(frozen=True)
class Unit:
    """A node, or all nodes of a norm or an attention.

    Attributes:
        name: of the node or group.
        cost: in multiply-adds; for elementwise operators in elements.
        moves: names of the following nodes that only move its result.
    """

    name: str
    cost: float
    moves: tuple[str, ...] = ()


def units(model: onnx.ModelProto, *, convolutions_only: bool) -> list[Unit]:
    """Units that can be kept in float32, in graph order.

    Args:
        model: the graph of an fp32 artifact.
        convolutions_only: for precisions that only lower convolutions.

    Raises:
        InputError: the shapes inside the graph cannot be inferred.
    """
    model = without_size_check(model)
    costs: dict[str, float] = {}
    moves: dict[str, list[str]] = {}
    tensors = inferred_tensors(model, small_frame(model, _SIDE))
    if not any(node.output[0] in tensors for node in model.graph.node):
        raise InputError("the shapes inside this graph cannot be inferred", "Export it again.")
    origins: dict[str, str] = {}
    for node in model.graph.node:
        name = node.name if node.op_type == "Conv" else _group(node.name)
        if node.op_type == "Conv":
            costs[name] = float(multiply_adds(node, tensors))
        elif node.op_type in _MOVES:
            name = origins.get(node.input[0], "")
            moves.setdefault(name, []).append(node.name)
        elif not convolutions_only and node.op_type != "Cast":
            made = tensors.get(node.output[0])
            costs[name] = costs.get(name, 0.0) + _ELEMENTWISE * ((made and made.elements) or 1)
        origins[node.output[0]] = name
    if convolutions_only:
        return [Unit(name, cost) for name, cost in costs.items()]
    return [Unit(name, cost, tuple(moves.get(name, ()))) for name, cost in costs.items()]


def _group(name: str) -> str:
    """Name of the unit of a node: `body.0.norm` for `body.0.norm.mean`; most nodes are units of their own."""
    for part in (".norm.", ".attention."):
        if part in name:
            return name.partition(part)[0] + part.rstrip(".")
    return name
