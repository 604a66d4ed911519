"""Limits a floating-point output to 0..1, black to white."""

from __future__ import annotations

import msgspec
import numpy as np
import onnx
import onnx_ir as ir

from toolkit.graph.any_size import size_check
from toolkit.graph.editing import add_constant, extend_output, named_node, without
from toolkit.graph.matching import constant, pixel_end, producer
from toolkit.graph.passes.base import GraphPass
from toolkit.port import PLANAR


class LimitOutput(GraphPass):
    """The output cannot leave 0..1. Networks overshoot at edges, and programs that convert the result to integers
    without limiting it first turn slightly more than white into black.

    Where a convolution and a DepthToSpace end the graph, the limit stands between them, where runtimes compute it
    together with the convolution. A graph that ends with this limit already is not changed.

    Requires: a floating-point output with black 0 and white 1.
    Ensures: a Clip to 0..1 with nothing after it that computes values.
    """

    title = "output limited to 0..1"

    def __init__(self) -> None:
        super().__init__()
        self.returned = msgspec.structs.replace(PLANAR, clamped=True)

    def requires(self, model: ir.Model) -> None:
        if model.graph.outputs[0].dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
            raise ir.passes.PreconditionError("the output is not floating point")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        if _limit(model) is not None:
            return ir.passes.PassResult(model, modified=False)
        floating = (model.graph.outputs[0].dtype or ir.DataType.FLOAT).numpy()
        low, high = (
            add_constant(model, f"output.{name}", np.array(limit, floating))
            for name, limit in (("lowest", 0), ("highest", 1))
        )
        if (end := pixel_end(model)) is None:
            former = model.graph.outputs[0]
            result = extend_output(model, lambda value: [named_node("Clip", [value, low, high], "output.clamp")])
            result.shape, result.type, former.shape = former.shape, former.type, None
        else:
            conv, shuffle = end
            clamp = named_node("Clip", [conv.outputs[0], low, high], "output.clamp")
            shuffle.replace_input_with(0, clamp.outputs[0])
            model.graph.insert_before(shuffle, [clamp])
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        if _limit(model) is None:
            raise ir.passes.PostconditionError("the output is not limited to 0..1")


def without_limit(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph that does not limit its output to 0..1, or the graph itself where it does not do so."""
    return without(model, _limit)


def _limit(model: ir.Model) -> ir.Node | None:
    """The Clip to 0..1 that is the last node that computes values, if there is one."""
    check = size_check(model)
    value = model.graph.outputs[0] if check is None else check.inputs[0]
    while (node := producer(value, "Slice") or producer(value, "DepthToSpace")) is not None:
        value = node.inputs[0]
    clip = producer(value, "Clip")
    if clip is None or len(clip.inputs) != 3:
        return None
    return clip if [constant(limit) for limit in clip.inputs[1:]] == [0, 1] else None
