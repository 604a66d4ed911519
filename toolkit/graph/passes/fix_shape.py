"""A dynamic graph for one image size."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.graph.passes.matching import GraphPass, add_constant, operators
from toolkit.network.padding import padded_size, reflected_indices

_HEIGHT_AXIS, _WIDTH_AXIS = 2, 3


class FixShape(GraphPass):
    """Give the input a fixed height and width; odd and tiny sizes are extended and cropped inside the graph.

    Requires: no node reads a shape (see MergeUnshuffle), input (1, 3, H, W).
    Ensures: every dimension of input and output is a number.
    """

    title = "static shape"

    def __init__(self, height: int, width: int, scale: int, minimum: int) -> None:
        super().__init__()
        self.height, self.width = height, width
        self.scale, self.minimum = scale, minimum

    def requires(self, model: ir.Model) -> None:
        if "Shape" in operators(model):
            raise ir.passes.PreconditionError("the graph reads its input's shape")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        image, result = model.graph.inputs[0], model.graph.outputs[0]
        image.shape = ir.Shape([1, 3, self.height, self.width])
        for axis, size in ((_HEIGHT_AXIS, self.height), (_WIDTH_AXIS, self.width)):
            target = padded_size(size, self.minimum)
            if target != size:
                self._extend(model, axis, size, target)
        cropped = [size for size in (self.height, self.width) if padded_size(size, self.minimum) != size]
        result.shape = ir.Shape([1, 3, self.height * self.scale, self.width * self.scale])
        if cropped:
            self._crop(model)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        for end in (model.graph.inputs[0], model.graph.outputs[0]):
            if end.shape is None or not all(isinstance(size, int) for size in end.shape.dims):
                raise ir.passes.PostconditionError(f"{end.name} still has dynamic dimensions: {end.shape}")

    def _extend(self, model: ir.Model, axis: int, size: int, target: int) -> None:
        """Gather with constant indices: reflection that also works where Pad's does not (a single row)."""
        image = model.graph.inputs[0]
        name = "input.extend_rows" if axis == _HEIGHT_AXIS else "input.extend_columns"
        indices = add_constant(model, f"{name}.indices", np.array(reflected_indices(size, target), np.int64))
        # The first extension reads the image, the second the first's result.
        source = next((node.outputs[0] for node in model.graph if node.name == "input.extend_rows"), image)
        readers = [(use.node, use.idx) for use in source.uses()]
        gather = ir.node("Gather", [source, indices], {"axis": axis}, name=name)
        gather.outputs[0].name = name
        for node, index in readers:
            node.replace_input_with(index, gather.outputs[0])
        if source is image:
            model.graph.insert_before(next(iter(model.graph)), gather)
        else:
            model.graph.insert_after(source.producer(), gather)  # type: ignore[arg-type]

    def _crop(self, model: ir.Model) -> None:
        whole = model.graph.outputs[0]
        last = whole.producer()
        if last is None:
            raise ir.passes.PreconditionError("the output is not computed")
        ends = [self.height * self.scale, self.width * self.scale]
        operands = [
            add_constant(model, f"output.crop.{name}", np.array(values, np.int64))
            for name, values in (("starts", [0, 0]), ("ends", ends), ("axes", [_HEIGHT_AXIS, _WIDTH_AXIS]))
        ]
        result = ir.Value(name=whole.name, shape=whole.shape, type=whole.type)
        whole.name, whole.shape = last.name, None
        model.graph.insert_after(last, ir.node("Slice", [whole, *operands], name="output.crop", outputs=[result]))
        model.graph.outputs[0] = result
