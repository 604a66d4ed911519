"""Makes a graph take and return uint8 images, with scaling, clamping and rounding inside the graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.graph.editing import add_constant, extend_output, insert_between, named_node, scale_weights
from toolkit.graph.matching import pixel_convs, pixel_end
from toolkit.graph.passes.base import GraphPass
from toolkit.port import Layout, rgb_port

_KEEPING_A_FACTOR = frozenset(
    {
        *(
            "Add",
            "AveragePool",
            "Cast",
            "Concat",
            "Conv",
            "DepthToSpace",
            "Gather",
            "Identity",
            "MaxPool",
            "Pad",
            "Relu",
        ),
        *("Reshape", "Resize", "Slice", "SpaceToDepth", "Sub", "Transpose"),
    }
)
"""Operators of which a multiple of the input gives the same multiple of the output, where the factor is positive."""


class Uint8IO(GraphPass):
    """The graph takes and returns uint8 instead of float 0..1: a quarter of the memory traffic at the boundary.

    Where only convolutions read the image, 1/255 goes into their weights, and where a convolution and a DepthToSpace
    end the graph, 255 goes into that convolution. Elsewhere, as where a mean is subtracted from the image or the image
    is added to the result, both are nodes. Rounding is to nearest, ties to even (ONNX Round, as numpy.rint).

    Ensures: input and output are uint8.
    """

    title = "uint8 input and output"

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout, self.port = layout, rgb_port("uint8", layout)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        floating = model.graph.inputs[0].dtype or ir.DataType.FLOAT
        convs, end = pixel_convs(model), pixel_end(model)
        folded = bool(convs) and _only_convolutions_read_the_image(model)
        if folded:
            scale_weights(model, convs, 1 / 255)
        self._take_bytes(model, floating, scaled=not folded)
        if end is not None:
            conv, shuffle = end
            scale_weights(model, [conv], 255.0, bias=True)
            # Before the shuffle, where rows are contiguous and there are fewer of them than after it.
            nodes = _clamp_and_round(model, conv.outputs[0], floating)
            shuffle.replace_input_with(0, nodes[-1].outputs[0])
            model.graph.insert_before(shuffle, nodes)
        self._return_bytes(model, floating, scaled=end is None)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        ends = [model.graph.inputs[0], model.graph.outputs[0]]
        if any(end.dtype != ir.DataType.UINT8 for end in ends):
            raise ir.passes.PostconditionError("input or output is not uint8")

    def _take_bytes(self, model: ir.Model, floating: ir.DataType, *, scaled: bool) -> None:
        image = model.graph.inputs[0]
        chain = [named_node("Cast", [image], "input.to_float", {"to": floating})]
        if self.layout == "NHWC":
            order = {"perm": [0, 3, 1, 2]}
            chain.append(named_node("Transpose", [chain[0].outputs[0]], "input.to_nchw", order))
        if scaled:
            white = add_constant(model, "input.white", np.array(255, floating.numpy()))
            chain.append(named_node("Div", [chain[-1].outputs[0], white], "input.to_unit"))
        insert_between(model, image, chain)
        image.dtype = ir.DataType.UINT8
        image.shape = _laid_out(image.shape, self.layout)

    def _return_bytes(self, model: ir.Model, floating: ir.DataType, *, scaled: bool) -> None:
        shape = model.graph.outputs[0].shape

        def chain(result: ir.Value) -> list[ir.Node]:
            nodes = _scaled_and_clamped(model, result, floating) if scaled else []
            return nodes + self._bytes_of(nodes[-1].outputs[0] if nodes else result)

        result = extend_output(model, chain)
        result.shape, result.type = _laid_out(shape, self.layout), ir.TensorType(ir.DataType.UINT8)

    def _bytes_of(self, result: ir.Value) -> list[ir.Node]:
        chain = []
        if self.layout == "NHWC":
            chain.append(named_node("Transpose", [result], "output.to_nhwc", {"perm": [0, 2, 3, 1]}))
            result = chain[0].outputs[0]
        # TensorRT takes uint8 only at the network's ends, so the cast comes last.
        return [*chain, named_node("Cast", [result], "output.to_uint8", {"to": ir.DataType.UINT8})]


def _clamp_and_round(model: ir.Model, value: ir.Value, floating: ir.DataType) -> list[ir.Node]:
    """Clip and Round of values 0..255, not in the graph yet."""
    limits = (("lowest", 0), ("highest", 255))
    low, high = (add_constant(model, f"output.{name}", np.array(limit, floating.numpy())) for name, limit in limits)
    clamp = named_node("Clip", [value, low, high], "output.clamp")
    return [clamp, named_node("Round", [clamp.outputs[0]], "output.round")]


def _scaled_and_clamped(model: ir.Model, value: ir.Value, floating: ir.DataType) -> list[ir.Node]:
    """Values 0..1 as levels 0..255, not in the graph yet."""
    white = add_constant(model, "output.white", np.array(255, floating.numpy()))
    scale = named_node("Mul", [value, white], "output.to_levels")
    return [scale, *_clamp_and_round(model, scale.outputs[0], floating)]


def _only_convolutions_read_the_image(model: ir.Model) -> bool:
    """Whether the image reaches nothing but convolutions, and on the way there only nodes that keep a factor.

    A node of its parts and of them alone does, such as SpaceToDepth, padding, a filter without bias, or the difference
    of the image and its blur. One that also reads features or constants to add does not.
    """
    convs = set(pixel_convs(model))
    scaled = set(model.graph.inputs)
    for node in model.graph:
        if node in convs or node.op_type == "Shape" or not scaled & set(node.inputs):
            continue
        operands = node.inputs if node.op_type in ("Add", "Sub", "Concat") else node.inputs[:1]
        if node.op_type not in _KEEPING_A_FACTOR or not scaled.issuperset(operands):
            return False
        scaled |= set(node.outputs)
    return not scaled & set(model.graph.outputs)


def _laid_out(shape: ir.Shape | None, layout: Layout) -> ir.Shape | None:
    if shape is None or layout == "NCHW":
        return shape
    n, c, h, w = shape.dims
    return ir.Shape([n, h, w, c])
