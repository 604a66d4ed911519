"""How the planner represents values of a graph, and helpers that read constants of nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.graph.matching import constant
from toolkit.native.program import Floats, Operation, Unsupported


@dataclass(frozen=True)
class Tensor:
    """A value that stage number `stage` computes: its row after the operation `after` (None: directly after its
    origin).
    """

    stage: int
    after: Operation | None


@dataclass(frozen=True)
class Image:
    """The input frame times a factor, before it is read by a stage.

    Layout changes and the division by 255 at the start of a graph do not need a stage: the first convolution reads the
    frame directly, and the factor becomes part of that stage.
    """

    factor: float


@dataclass(frozen=True)
class Padded:
    """A tensor extended by reflection or zeros, by (top, left, bottom, right) rows and columns.

    Line buffers provide the border, so a Pad node is merged into the convolution that reads it.
    """

    tensor: Tensor | Image
    pads: tuple[int, int, int, int]
    reflect: bool


@dataclass(frozen=True)
class Quantised:
    """A tensor after QuantizeLinear, or after the DequantizeLinear that undoes it; `step` is the ONNX scale."""

    tensor: Tensor | Image | Padded
    step: float


@dataclass(frozen=True)
class Shuffled:
    """A tensor with a pending pixel shuffle (DepthToSpace, CRD).

    The write of the output does the shuffle, and operations on single values are done before it, on a value per channel
    of `tensor`. Only what reads neighbours needs a stage for it.
    """

    tensor: Tensor
    factor: int


@dataclass(frozen=True)
class Enlarged:
    """A tensor with a pending nearest-neighbour upsampling.

    Added to a pixel shuffle, it is read at the resolution before both (see `sums.py`).
    """

    tensor: Tensor | Image
    factor: int


Known = Tensor | Image | Quantised | Padded | Shuffled | Enlarged


def unsupported(node: ir.Node | None, reason: str) -> Unsupported:
    """The error that a node is not supported."""
    return Unsupported(reason if node is None else f"node {node.name} ({node.op_type}) {reason}")


def per_channel(node: ir.Node, array: np.ndarray, channels: int) -> Floats:
    """A constant with one value, or one per channel, as (channels,).

    Raises:
        Unsupported: it has another shape.
    """
    fits = array.size == 1 or (array.ndim >= 3 and array.shape[-2:] == (1, 1) and array.size == channels)
    if not fits:
        raise unsupported(node, f"has a constant of shape {array.shape}; one value or one per channel is supported")
    return np.broadcast_to(array.astype(np.float32).reshape(-1), (channels,)).astype(np.float32)


def quantisation_step(node: ir.Node) -> float:
    """The scale of a QuantizeLinear or DequantizeLinear, which must be symmetric int8 per tensor."""
    scale, zero = constant(node.inputs[1]), constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1, np.int8)
    if scale is None or scale.size != 1 or zero is None or zero.dtype != np.int8 or np.any(zero):
        raise unsupported(node, "is not symmetric int8 with one scale")
    return float(scale.item())


def clip_limits(node: ir.Node) -> tuple[float, float]:
    """Lower and upper limit of a Clip node."""
    found = [constant(value) for value in node.inputs[1:3]]
    if len(found) != 2 or any(value is None or value.size != 1 for value in found):
        raise unsupported(node, "does not have two constant limits")
    low, high = (float(np.asarray(value, np.float64).item()) for value in found)
    return low, high
