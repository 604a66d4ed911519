"""Makes a dynamic graph refuse images whose size it does not take."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.graph.any_size import size_check
from toolkit.graph.editing import add_constant, extend_output, insert_between, named_node
from toolkit.graph.matching import producer
from toolkit.graph.passes.base import GraphPass
from toolkit.port import Port


class CheckSize(GraphPass):
    """The graph fails for an image that is no multiple of what the network takes, instead of losing rows or columns.

    A strided convolution drops the rows and columns that are left over, so that the result is smaller than the image
    times the scale, and nothing says so. ONNX has no assertion. But a Reshape fails in every runtime if the number of
    values differs, and copies nothing if it does not: the output is reshaped to the size of the input times the scale.

    Requires: dynamic height and width; input and output of the same layout.
    Ensures: a Reshape computes the output, up to its conversion to bytes. `without_size_check` removes it again.
    """

    title = "size check"

    def __init__(self, scale: int, port: Port) -> None:
        super().__init__()
        self._factors = np.array([scale if axis in port.spatial_axes else 1 for axis in range(4)], np.int64)

    def requires(self, model: ir.Model) -> None:
        shape = model.graph.inputs[0].shape
        if shape is None or all(isinstance(side, int) for side in shape.dims):
            raise ir.passes.PreconditionError("the size of the input is fixed")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        image, former = model.graph.inputs[0], model.graph.outputs[0]
        factors = add_constant(model, "output.size.factors", self._factors)
        given = named_node("Shape", [image], "input.size")
        wanted = named_node("Mul", [given.outputs[0], factors], "output.size")

        def chain(value: ir.Value) -> list[ir.Node]:
            return [given, wanted, named_node("Reshape", [value, wanted.outputs[0]], "output.size_check")]

        to_bytes = producer(former, "Cast")
        if to_bytes is not None and to_bytes.inputs[0] is not None:
            # TensorRT takes uint8 only at the network's ends, so that the cast stays the last node.
            insert_between(model, to_bytes.inputs[0], chain(to_bytes.inputs[0]))
        else:
            result = extend_output(model, chain)
            result.shape, result.type, former.shape = former.shape, former.type, None
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        if size_check(model) is None:
            raise ir.passes.PostconditionError("no Reshape computes the output")
