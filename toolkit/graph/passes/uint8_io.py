"""Images in, images out: uint8 at both ends, with scaling, clamping and rounding inside the graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.artifact import Layout
from toolkit.graph.passes.matching import GraphPass, add_constant, pixel_convs, producer, scale_weights


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
        self.layout = layout

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
        readers = [(use.node, use.idx) for use in image.uses()]
        cast = ir.node("Cast", [image], {"to": floating}, name="input.to_float")
        chain = [cast]
        if self.layout == "NHWC":
            chain.append(ir.node("Transpose", [cast.outputs[0]], {"perm": [0, 3, 1, 2]}, name="input.to_nchw"))
        for node in chain:
            node.outputs[0].name = node.name
        for node, index in readers:
            node.replace_input_with(index, chain[-1].outputs[0])
        model.graph.insert_before(next(iter(model.graph)), chain)
        image.dtype = ir.DataType.UINT8
        image.shape = _laid_out(image.shape, self.layout)

    def _return_bytes(self, model: ir.Model) -> None:
        result = model.graph.outputs[0]
        last = result.producer()
        if last is None:
            raise ir.passes.PreconditionError("the output is not computed")
        image = ir.Value(
            name=result.name, shape=_laid_out(result.shape, self.layout), type=ir.TensorType(ir.DataType.UINT8)
        )
        result.name = last.name
        chain = []
        if self.layout == "NHWC":
            chain.append(ir.node("Transpose", [result], {"perm": [0, 2, 3, 1]}, name="output.to_nhwc"))
            result = chain[0].outputs[0]
            result.name = chain[0].name
        # TensorRT takes uint8 only at the network's ends, so the cast comes last.
        chain.append(ir.node("Cast", [result], {"to": ir.DataType.UINT8}, name="output.to_uint8", outputs=[image]))
        model.graph.insert_after(last, chain)
        model.graph.outputs[0] = image


def _clamp_and_round(model: ir.Model, shuffle: ir.Node, floating: ir.DataType) -> None:
    """Before the shuffle: there the rows are contiguous, after it they are four or six times as many."""
    limits = (("lowest", 0), ("highest", 255))
    low, high = (add_constant(model, f"output.{name}", np.array(limit, floating.numpy())) for name, limit in limits)
    clamp = ir.node("Clip", [shuffle.inputs[0], low, high], name="output.clamp")
    rounding = ir.node("Round", [clamp.outputs[0]], name="output.round")
    for node in (clamp, rounding):
        node.outputs[0].name = node.name
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
