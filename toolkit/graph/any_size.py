"""The graph of an artifact without what holds it to certain sizes."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from toolkit.artifact import Manifest
from toolkit.graph.editing import copied, without
from toolkit.graph.matching import constant, producer


def sizeless(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """A copy of an artifact's graph that takes any size that is a multiple as required, and does not check that.

    A static graph of such a size mentions it only in its input and output: FixShape adds no nodes to it.
    """
    free = copied(without_size_check(model))
    if manifest.shape is not None:
        for end, port in ((free.graph.input[0], manifest.input), (free.graph.output[0], manifest.output)):
            dims = end.type.tensor_type.shape.dim
            for index, name in zip(port.spatial_axes, ("h", "w"), strict=True):
                dims[index].dim_param = f"{end.name}_{name}"
    return free


def without_size_check(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph without the nodes of `CheckSize`, or the graph itself where there are none.

    For what analyses a graph, or extends images before they enter it: to them, reading the input's size would only
    make the graph look as if it depended on the whole frame.
    """
    return without(model, size_check)


def size_check(model: ir.Model) -> ir.Node | None:
    """The Reshape of `CheckSize`, which ends the graph but for a conversion to bytes; None if there is none."""
    output = model.graph.outputs[0]
    cast = producer(output, "Cast")
    reshape = producer(output if cast is None else cast.inputs[0], "Reshape")
    size = None if reshape is None else producer(reshape.inputs[1], "Mul")
    given = None if size is None else producer(size.inputs[0], "Shape")
    if size is None or given is None or given.inputs[0] is not model.graph.inputs[0]:
        return None
    return None if constant(size.inputs[1]) is None else reshape
