"""Makes a dynamic graph static, for one image size."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.graph.editing import add_constant, extend_output, insert_between, named_node
from toolkit.graph.matching import operators
from toolkit.graph.passes.base import GraphPass
from toolkit.sizes import SizeRule, reflected_indices

_HEIGHT_AXIS, _WIDTH_AXIS = 2, 3


class FixShape(GraphPass):
    """Give the input a fixed height and width; sizes that the network does not take as they are,
    such as odd ones, are extended and cropped inside the graph.

    Requires: no node reads a shape (see MergeUnshuffle), input (1, 3, H, W).
    Ensures: every dimension of input and output is a number.
    """

    title = "static shape"

    def __init__(self, height: int, width: int, scale: int, sizes: SizeRule) -> None:
        super().__init__()
        self.height, self.width = height, width
        self.scale, self.sizes = scale, sizes

    def requires(self, model: ir.Model) -> None:
        if "Shape" in operators(model):
            raise ir.passes.PreconditionError("the graph reads its input's shape")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        image, result = model.graph.inputs[0], model.graph.outputs[0]
        image.shape = ir.Shape([1, 3, self.height, self.width])
        extended = image
        for axis, size in ((_HEIGHT_AXIS, self.height), (_WIDTH_AXIS, self.width)):
            target = self.sizes.padded(size)
            if target != size:
                extended = _extend(model, extended, axis, reflected_indices(size, target))
        result.shape = ir.Shape([1, 3, self.height * self.scale, self.width * self.scale])
        if extended is not image:
            self._crop(model)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        for end in (model.graph.inputs[0], model.graph.outputs[0]):
            if end.shape is None or not all(isinstance(size, int) for size in end.shape.dims):
                raise ir.passes.PostconditionError(f"{end.name} still has dynamic dimensions: {end.shape}")

    def _crop(self, model: ir.Model) -> None:
        ends = [self.height * self.scale, self.width * self.scale]
        operands = [
            add_constant(model, f"output.crop.{name}", np.array(values, np.int64))
            for name, values in (("starts", [0, 0]), ("ends", ends), ("axes", [_HEIGHT_AXIS, _WIDTH_AXIS]))
        ]
        whole = model.graph.outputs[0]
        result = extend_output(model, lambda value: [named_node("Slice", [value, *operands], "output.crop")])
        result.shape, result.type, whole.shape = whole.shape, whole.type, None


def _extend(model: ir.Model, image: ir.Value, axis: int, rows: list[int]) -> ir.Value:
    """Gather with constant indices: a reflection that also works where Pad's does not, as for a single row."""
    name = "input.extend_rows" if axis == _HEIGHT_AXIS else "input.extend_columns"
    indices = add_constant(model, f"{name}.indices", np.array(rows, np.int64))
    return insert_between(model, image, [named_node("Gather", [image, indices], name, {"axis": axis})])
