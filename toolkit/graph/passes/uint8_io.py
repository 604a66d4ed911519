"""Makes a graph take and return uint8 images, with scaling, clamping and rounding inside the graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.graph.editing import add_constant, extend_output, insert_between, named_node, scale_weights
from toolkit.graph.matching import pixel_convs, producer
from toolkit.graph.passes.base import GraphPass
from toolkit.port import Layout, rgb_port


class Uint8IO(GraphPass):
    """The graph takes and returns uint8 instead of float 0..1: a quarter of the memory traffic at the boundary.

    1/255 goes into the weights that read the input, 255 into the last convolution; rounding is to nearest, ties to
    even (ONNX Round, as numpy.rint).

    Requires: one DepthToSpace, fed by a convolution; convolutions of the image itself.
    Ensures: input and output are uint8.
    """

    title = "uint8 input and output"

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout, self.port = layout, rgb_port("uint8", layout)

    def requires(self, model: ir.Model) -> None:
        _last_conv(model)
        if not pixel_convs(model):
            raise ir.passes.PreconditionError("no convolution of the image itself was found")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        floating = model.graph.inputs[0].dtype or ir.DataType.FLOAT
        scale_weights(model, pixel_convs(model), 1 / 255)
        conv, shuffle = _last_conv(model)
        scale_weights(model, [conv], 255.0, bias=True)
        self._take_bytes(model, floating)
        _clamp_and_round(model, shuffle, floating)
        self._return_bytes(model)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        ends = [model.graph.inputs[0], model.graph.outputs[0]]
        if any(end.dtype != ir.DataType.UINT8 for end in ends):
            raise ir.passes.PostconditionError("input or output is not uint8")

    def _take_bytes(self, model: ir.Model, floating: ir.DataType) -> None:
        image = model.graph.inputs[0]
        chain = [named_node("Cast", [image], "input.to_float", {"to": floating})]
        if self.layout == "NHWC":
            order = {"perm": [0, 3, 1, 2]}
            chain.append(named_node("Transpose", [chain[0].outputs[0]], "input.to_nchw", order))
        insert_between(model, image, chain)
        image.dtype = ir.DataType.UINT8
        image.shape = _laid_out(image.shape, self.layout)

    def _return_bytes(self, model: ir.Model) -> None:
        shape = model.graph.outputs[0].shape
        result = extend_output(model, self._bytes_of)
        result.shape, result.type = _laid_out(shape, self.layout), ir.TensorType(ir.DataType.UINT8)

    def _bytes_of(self, result: ir.Value) -> list[ir.Node]:
        chain = []
        if self.layout == "NHWC":
            chain.append(named_node("Transpose", [result], "output.to_nhwc", {"perm": [0, 2, 3, 1]}))
            result = chain[0].outputs[0]
        # TensorRT takes uint8 only at the network's ends, so the cast comes last.
        return [*chain, named_node("Cast", [result], "output.to_uint8", {"to": ir.DataType.UINT8})]


def _clamp_and_round(model: ir.Model, shuffle: ir.Node, floating: ir.DataType) -> None:
    """Insert Clip and Round before the shuffle, where rows are contiguous and there are fewer of them than after it."""
    limits = (("lowest", 0), ("highest", 255))
    low, high = (add_constant(model, f"output.{name}", np.array(limit, floating.numpy())) for name, limit in limits)
    clamp = named_node("Clip", [shuffle.inputs[0], low, high], "output.clamp")
    rounding = named_node("Round", [clamp.outputs[0]], "output.round")
    shuffle.replace_input_with(0, rounding.outputs[0])
    model.graph.insert_before(shuffle, [clamp, rounding])


def _last_conv(model: ir.Model) -> tuple[ir.Node, ir.Node]:
    """The convolution that computes the output's pixels, and the DepthToSpace that arranges them."""
    shuffles = [node for node in model.graph if node.op_type == "DepthToSpace"]
    conv = producer(shuffles[0].inputs[0], "Conv") if len(shuffles) == 1 else None
    if conv is None:
        raise ir.passes.PreconditionError(f"{len(shuffles)} DepthToSpace nodes, or one not fed by a convolution")
    return conv, shuffles[0]


def _laid_out(shape: ir.Shape | None, layout: Layout) -> ir.Shape | None:
    if shape is None or layout == "NCHW":
        return shape
    n, c, h, w = shape.dims
    return ir.Shape([n, h, w, c])
