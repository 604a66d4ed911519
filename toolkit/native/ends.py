"""The end of a graph: from the last features to the frame."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from toolkit.graph.passes.matching import consumers, ints
from toolkit.native.program import Unsupported
from toolkit.native.values import clip_limits, unsupported


@dataclass(frozen=True)
class OutputEnd:
    """What lies between the last features and the output.

    Attributes:
        value: the features, RGB times factor².
        factor: of the pixel shuffle; 1: there is none.
        limits: of the clamp, if there is one.
        nodes: that this stands for.
    """

    value: ir.Value
    factor: int
    limits: tuple[float, float] | None
    nodes: list[ir.Node]


def find_output(model: ir.Model) -> OutputEnd:
    """Pixel shuffle, clamp, rounding, layout and type at the end of a graph, in whatever order.

    Raises:
        Unsupported: it ends otherwise, or in bytes that were not clamped and rounded.
    """
    value, factor = model.graph.outputs[0], 1
    limits: tuple[float, float] | None = None
    rounded = False
    nodes: list[ir.Node] = []
    while (node := value.producer()) is not None and node.inputs[0] is not None:
        if nodes and consumers(value) != [nodes[-1]]:
            break
        if node.op_type == "DepthToSpace" and factor == 1:
            mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "DCR"
            if mode != "CRD":
                raise unsupported(node, f"orders channels as {mode}: pixel shuffle is CRD")
            factor = node.attributes["blocksize"].as_int()
        elif node.op_type == "Clip" and limits is None:
            limits = clip_limits(node)
        elif node.op_type == "Round":
            rounded = True
        elif node.op_type == "Transpose":
            if ints(node, "perm", ()) != (0, 2, 3, 1):
                raise unsupported(node, "moves axes of the output, and not to NHWC")
        elif node.op_type not in ("Cast", "Identity"):
            break
        nodes.append(node)
        value = node.inputs[0]
    bytes_out = model.graph.outputs[0].dtype == ir.DataType.UINT8
    if bytes_out and (limits != (0.0, 255.0) or not rounded):
        raise Unsupported("the output is uint8, and its values are not clamped to 0..255 and rounded first")
    if rounded and not bytes_out:
        raise Unsupported("the output is rounded, and not uint8")
    return OutputEnd(value, factor, limits, nodes)
