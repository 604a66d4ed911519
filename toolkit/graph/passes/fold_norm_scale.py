"""A LayerNorm's scale belongs in the weights of the convolution that reads it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.passes.matching import (
    GraphPass,
    constant,
    consumers,
    producer,
    remove_unused_nodes,
    replace_initializer,
)

LARGEST_SHIFT = 1e4
"""bias/scale beyond this would leave the range of half precision in a later rewrite."""


class FoldNormScale(GraphPass):
    """conv(w * n + b) becomes conv'(n + b/w) with conv' = conv scaled by w per input channel.

    The shift must stay before the convolution: at the border the convolution sees zero, not the shift.

    Requires: nothing. Where w is 0 (or b/w enormous) the norm is left alone and the reason kept in `refusals`.
    Ensures: no foldable scale is left.
    """

    title = "norm scale into the next conv"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        folded = [shift for shift in list(model.graph) if shift.op_type == "Add" and self._fold(model, shift)]
        return ir.passes.PassResult(model, modified=bool(folded))

    def ensures(self, model: ir.Model) -> None:
        before = len(self.refusals)
        left = [node.name for node in model.graph if node.op_type == "Add" and self._match(node)]
        del self.refusals[before:]
        if left:
            raise ir.passes.PostconditionError(f"scales left before {left}")

    def _fold(self, model: ir.Model, shift: ir.Node) -> bool:
        match = self._match(shift)
        if match is None:
            return False
        scaling, scale, bias = match
        for conv in consumers(shift.outputs[0]):
            weight = constant(conv.inputs[1])
            assert weight is not None  # noqa: S101  (matched)
            folded = weight.astype(np.float64) * scale.reshape(1, -1, 1, 1)
            replace_initializer(model, conv, 1, folded.astype(weight.dtype), f"{conv.name}.weight")
        norm = (shift.name or "").rpartition(".")[0]
        shift.replace_input_with(0, scaling.inputs[0])
        replace_initializer(model, shift, 1, (bias / scale).astype(np.float32), f"{norm}.shift")
        remove_unused_nodes(model)
        return True

    def _match(self, shift: ir.Node) -> tuple[ir.Node, NDArray[np.float64], NDArray[np.float64]] | None:
        scaling = producer(shift.inputs[0], "Mul")
        if scaling is None or len(consumers(scaling.outputs[0])) != 1:
            return None
        constants = constant(scaling.inputs[1]), constant(shift.inputs[1])
        readers = consumers(shift.outputs[0])
        if constants[0] is None or constants[1] is None or not readers:
            return None
        scale, bias = constants[0].astype(np.float64), constants[1].astype(np.float64)
        if not all(_scalable(conv, scale.size) for conv in readers):
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            shifted = np.abs(bias / scale)
        if not (shifted <= LARGEST_SHIFT).all():
            self.refusals.append(f"{shift.name}: channel {int(np.nanargmin(shifted <= LARGEST_SHIFT))} has scale ~0")
            return None
        return scaling, scale, bias


def _scalable(conv: ir.Node, channels: int) -> bool:
    weight = constant(conv.inputs[1]) if conv.op_type == "Conv" else None
    return weight is not None and weight.shape[1] == channels
