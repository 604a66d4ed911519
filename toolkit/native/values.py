"""What values of a graph are to the planner, and small questions it asks of nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.graph.matching import constant
from toolkit.native.program import Operation, Unsupported


@dataclass(frozen=True)
class Tensor:
    """A value of the graph: what a stage's row is after `after` (None: as its origin made it)."""

    stage: int
    after: Operation | None


@dataclass(frozen=True)
class Image:
    """The input times a factor, however laid out."""

    factor: float


@dataclass(frozen=True)
class Padded:
    """A tensor mirrored or extended by zeros: (top, left) and (bottom, right) rows and columns."""

    tensor: Tensor | Image
    pads: tuple[int, int, int, int]
    reflect: bool


@dataclass(frozen=True)
class Quantised:
    """A tensor between QuantizeLinear and DequantizeLinear. `step`: what 1 stands for."""

    tensor: Tensor | Image | Padded
    step: float


Known = Tensor | Image | Quantised | Padded


def unsupported(node: ir.Node | None, reason: str) -> Unsupported:
    """The refusal of a node."""
    return Unsupported(reason if node is None else f"node {node.name} ({node.op_type}) {reason}")


def quantisation_step(node: ir.Node) -> float:
    """The one scale of a QuantizeLinear or DequantizeLinear."""
    scale, zero = constant(node.inputs[1]), constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1, np.int8)
    if scale is None or scale.size != 1 or zero is None or zero.dtype != np.int8 or np.any(zero):
        raise unsupported(node, "is not symmetric int8 with one scale")
    return float(scale.item())


def clip_limits(node: ir.Node) -> tuple[float, float]:
    """Lowest and highest value of a Clip."""
    found = [constant(value) for value in node.inputs[1:3]]
    if len(found) != 2 or any(value is None or value.size != 1 for value in found):
        raise unsupported(node, "has no two constant limits")
    low, high = (float(np.asarray(value, np.float64).item()) for value in found)
    return low, high
