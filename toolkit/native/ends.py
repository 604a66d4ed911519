"""Recognises the end of a graph: the operations between the last features and the output frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from toolkit.graph.matching import constant, consumers, ints
from toolkit.native.program import Unsupported
from toolkit.native.values import clip_limits, unsupported


@dataclass
class OutputEnd:
    """The operations between the last features and the output, which the last stage does while it writes the frame.

    Attributes:
        value: the features, with 3 * factor**2 channels.
        factor: of the pixel shuffle; 1: none.
        limits: of the clamp, if any.
        rounded: whether values are rounded to integers.
        nodes: the nodes that are covered, the last one first.
    """

    value: ir.Value
    factor: int = 1
    limits: tuple[float, float] | None = None
    rounded: bool = False
    nodes: list[ir.Node] = field(default_factory=list)


def find_output(model: ir.Model) -> OutputEnd:
    """Find pixel shuffle, clamp, rounding, crop, transpose and cast at the end of a graph, in any order.

    The search goes backwards from the output until a node that is none of these, or whose result is read elsewhere too.

    Raises:
        Unsupported: one of them has an unsupported form, or a uint8 output is not clamped and rounded.
    """
    end = OutputEnd(model.graph.outputs[0])
    while (node := end.value.producer()) is not None and node.inputs[0] is not None:
        if end.nodes and consumers(end.value) != [end.nodes[-1]]:
            break
        if not _absorb(end, node):
            break
        end.nodes.append(node)
        end.value = node.inputs[0]
    bytes_out = model.graph.outputs[0].dtype == ir.DataType.UINT8
    if bytes_out and (end.limits != (0.0, 255.0) or not end.rounded):
        raise Unsupported("the output is uint8, but its values are not clamped to 0..255 and rounded before the cast")
    if end.rounded and not bytes_out:
        raise Unsupported("the output is rounded, but not uint8")
    return end


def _absorb(end: OutputEnd, node: ir.Node) -> bool:
    """Record what a node does to the output. False: it is not part of the end of the graph."""
    if node.op_type == "DepthToSpace" and end.factor == 1:
        mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "DCR"
        if mode != "CRD":
            raise unsupported(node, f"has mode {mode}; only CRD (pixel shuffle) is supported")
        end.factor = node.attributes["blocksize"].as_int()
    elif node.op_type == "Clip" and end.limits is None:
        end.limits = clip_limits(node)
    elif node.op_type == "Round":
        end.rounded = True
    elif node.op_type == "Transpose" and ints(node, "perm", ()) != (0, 2, 3, 1):
        raise unsupported(node, "transposes the output to another layout than NHWC")
    elif node.op_type == "Slice":
        starts = constant(node.inputs[1])
        if starts is None or np.any(starts):
            raise unsupported(node, "crops the output at the top or left")
    else:
        return node.op_type in ("Cast", "Identity", "Transpose")
    return True
