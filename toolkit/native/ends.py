"""The end of a graph: from the last features to the frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from toolkit.graph.matching import constant, consumers, ints
from toolkit.native.program import Unsupported
from toolkit.native.values import clip_limits, unsupported


@dataclass
class OutputEnd:
    """What lies between the last features and the output.

    Attributes:
        value: the features, RGB times factor².
        factor: of the pixel shuffle; 1: there is none.
        limits: of the clamp, if there is one.
        rounded: whether values are rounded to whole ones.
        nodes: that this stands for, the last one first.
    """

    value: ir.Value
    factor: int = 1
    limits: tuple[float, float] | None = None
    rounded: bool = False
    nodes: list[ir.Node] = field(default_factory=list)


def find_output(model: ir.Model) -> OutputEnd:
    """Pixel shuffle, clamp, rounding, crop, layout and type at the end of a graph, in whatever order.

    Raises:
        Unsupported: it ends otherwise, or in bytes that were not clamped and rounded.
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
        raise Unsupported("the output is uint8, and its values are not clamped to 0..255 and rounded first")
    if end.rounded and not bytes_out:
        raise Unsupported("the output is rounded, and not uint8")
    return end


def _absorb(end: OutputEnd, node: ir.Node) -> bool:
    """Note what a node does to the output; False: it belongs to the network proper."""
    if node.op_type == "DepthToSpace" and end.factor == 1:
        mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "DCR"
        if mode != "CRD":
            raise unsupported(node, f"orders channels as {mode}: pixel shuffle is CRD")
        end.factor = node.attributes["blocksize"].as_int()
    elif node.op_type == "Clip" and end.limits is None:
        end.limits = clip_limits(node)
    elif node.op_type == "Round":
        end.rounded = True
    elif node.op_type == "Transpose" and ints(node, "perm", ()) != (0, 2, 3, 1):
        raise unsupported(node, "moves axes of the output, and not to NHWC")
    elif node.op_type == "Slice":
        starts = constant(node.inputs[1])
        if starts is None or np.any(starts):
            raise unsupported(node, "cuts rows or columns off the output's beginning")
    else:
        return node.op_type in ("Cast", "Identity", "Transpose")
    return True
